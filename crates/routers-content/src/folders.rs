//! Folders of chats: the tree in the sidebar, sharing folders, reading and deleting what is in them. The table is
//! here, the handlers are in the modules.

mod changes;
mod contents;
mod loaded;
mod views;

use oui_web::{Area, endpoints};

use self::loaded::{Editor, Folder, FolderOwner, FolderUser, Forbid, Manager, Missing, Visitor};

/// The table of this area.
pub fn area() -> Area {
    endpoints! { "folders" at "/api/v1/folders";
        GET    "/"                     FolderUser                    => views::list,
        POST   "/"                     FolderUser                    => changes::create,
        GET    "/shared"               FolderUser                    => views::shared,
        GET    "/{id}"                 Folder<Visitor, Missing>      => views::get,
        POST   "/{id}/update"          Folder<Editor, Missing>       => changes::update,
        POST   "/{id}/update/parent"   Folder<FolderOwner, Missing>  => changes::move_to,
        POST   "/{id}/update/expanded" Folder<Visitor, Missing>      => changes::expand,
        POST   "/{id}/access/update"   Folder<Manager, Forbid>       => changes::set_access,
        GET    "/{id}/shared/chats"    Folder<Visitor, Forbid>       => contents::chats,
        POST   "/{id}/read"            Folder<Visitor, Forbid>       => contents::read,
        DELETE "/{id}"                 Folder<Manager, Forbid>       => contents::delete,
    }
}
