//! Chats as documents: lists, search, reading and changing, tags, sharing, copies, exports and statistics. The table
//! is here, the handlers are in the modules; running a model in a chat is the chat router's affair.

mod config;
mod copies;
mod documents;
mod export;
mod import;
pub(crate) mod lists;
mod loaded;
pub(crate) mod marks;
mod messages;
pub(crate) mod sharing;
mod shown;
mod stats;
mod tags;

use oui_web::{Admin, Area, Optional, Verified, endpoints};

use self::loaded::{
    Apologise, Chat, Deleter, Importer, Keeper, Missing, Organizer, Owner, Prohibit, Reader, Sharer,
    StatsReader, Unknown,
};

/// The table of this area.
pub fn area() -> Area {
    endpoints! { "chats" at "/api/v1/chats";
        GET    "/"                          Verified                     => lists::sidebar,
        GET    "/list"                      Verified                     => lists::sidebar,
        GET    "/list/user/{user_id}"       Admin                        => lists::of_user,
        GET    "/search"                    Verified                     => lists::search,
        GET    "/pinned"                    Verified                     => lists::pinned,
        GET    "/archived"                  Verified                     => lists::archived,
        GET    "/archived/count"            Verified                     => lists::count_archived,
        GET    "/folder/{folder_id}"        Verified                     => export::of_folder,
        GET    "/folder/{folder_id}/list"   Verified                     => lists::of_folder,
        POST   "/tags"                      Verified                     => tags::chats_with,
        GET    "/all/tags"                  Verified                     => tags::all,

        GET    "/all"                       Verified                     => export::all,
        GET    "/all/archived"              Verified                     => export::archived,
        GET    "/all/db"                    Admin                        => export::everybody,
        GET    "/stats/usage"               Verified                     => stats::usage,
        GET    "/stats/export"              Verified                     => stats::export,
        GET    "/stats/export/{id}"         Chat<StatsReader, Missing>   => stats::export_one,

        GET    "/config"                    Admin                        => config::show,
        POST   "/config"                    Admin                        => config::save,

        POST   "/new"                       Verified                     => documents::create,
        POST   "/import"                    Verified                     => import::import,
        DELETE "/"                          Verified                     => documents::delete_all,
        POST   "/read"                      Verified                     => marks::read_all,
        POST   "/archive/all"               Verified                     => marks::archive_all,
        POST   "/unarchive/all"             Verified                     => marks::unarchive_all,

        DELETE "/share/all"                 Verified                     => sharing::unshare_all,
        GET    "/share/{share_id}"          Optional                     => sharing::open,
        GET    "/shared"                    Verified                     => sharing::list,
        GET    "/shared/{id}/access"        Chat<Keeper, Missing>        => sharing::access,
        POST   "/shared/{id}/access/update" Chat<Keeper, Missing>        => sharing::set_access,

        GET    "/{id}"                      Chat<Reader, Unknown>        => documents::get,
        POST   "/{id}"                      Chat<Organizer, Prohibit>    => documents::update,
        DELETE "/{id}"                      Chat<Deleter, Missing>       => documents::delete,
        PATCH  "/{id}/params"               Chat<Owner, Prohibit>        => documents::merge_params,
        POST   "/{id}/folder"               Chat<Organizer, Apologise>   => documents::move_to_folder,
        GET    "/{id}/pinned"               Chat<Owner, Apologise>       => marks::is_pinned,
        POST   "/{id}/pin"                  Chat<Owner, Apologise>       => marks::pin,
        POST   "/{id}/archive"              Chat<Owner, Apologise>       => marks::archive,
        POST   "/{id}/unread"               Chat<Owner, Missing>         => marks::unread,

        POST   "/{id}/messages/{message_id}"       Chat<Keeper, Prohibit> => messages::update,
        DELETE "/{id}/messages/{message_id}"       Chat<Keeper, Prohibit> => messages::delete,
        POST   "/{id}/messages/{message_id}/event" Chat<Keeper, Prohibit> => messages::event,

        GET    "/{id}/tags"                 Chat<Reader, Unknown>        => tags::of_chat,
        POST   "/{id}/tags"                 Chat<Owner, Apologise>       => tags::add,
        DELETE "/{id}/tags"                 Chat<Owner, Unknown>         => tags::remove,

        POST   "/{id}/share"                Chat<Sharer, Prohibit>       => sharing::share,
        DELETE "/{id}/share"                Chat<Owner, Prohibit>        => sharing::unshare,
        POST   "/{id}/clone"                Chat<Importer, Apologise>    => copies::clone,
        POST   "/{id}/clone/shared"         Verified                     => copies::clone_shared,
        POST   "/{id}/fork"                 Verified                     => copies::fork,
    }
}
