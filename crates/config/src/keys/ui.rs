//! Keys of sign-up, sign-in form, interface defaults, banners and suggestions.

use serde_json::Value;

use crate::derive;
use crate::key::{Key, Literal, keys};

keys! {
    "Interface and sign-up";

    /// Public address of this server, used in links and OAuth callbacks.
    pub static WEBUI_URL: Key<String> = Key::text("webui.url", "");
    /// Lets visitors create an account; always off while `WEBUI_AUTH` is off.
    pub static ENABLE_SIGNUP: Key<bool> =
        Key::bool("ui.enable_signup", true).from(derive::enable_signup, &["WEBUI_AUTH"]);
    /// Shows the form for e-mail and password.
    pub static ENABLE_LOGIN_FORM: Key<bool> = Key::bool("ui.enable_login_form", true);
    /// Lets users change their password in the settings.
    pub static ENABLE_PASSWORD_CHANGE_FORM: Key<bool> = Key::bool("ui.enable_password_change_form", true);
    /// Language of the client before a user chooses one.
    pub static DEFAULT_LOCALE: Key<String> = Key::text("ui.default_locale", "");
    /// Models selected in a new chat, separated by commas.
    pub static DEFAULT_MODELS: Key<Option<String>> = Key::optional_text("ui.default_models");
    /// Models pinned for new users, separated by commas.
    pub static DEFAULT_PINNED_MODELS: Key<Option<String>> = Key::optional_text("ui.default_pinned_models");
    /// Interface settings of new users, as a JSON object.
    pub static DEFAULT_INTERFACE_SETTINGS: Key<Value> =
        Key::object("ui.default_interface_settings").check(derive::object);
    /// Parts of the interface to show or hide, as a JSON object of true and false.
    pub static UI_VISIBILITY: Key<Value> = Key::object("ui.visibility").check(derive::switches);
    /// Own texts of the interface, by language.
    pub static I18N: Key<Value> = Key::object("ui.i18n").no_env();
    /// Suggestions on an empty chat, as a JSON list; unset uses the client's own, an empty list shows none.
    pub static DEFAULT_PROMPT_SUGGESTIONS: Key<Value> = Key::json("ui.prompt_suggestions", Literal::Null);
    /// Translated suggestions, by language.
    pub static DEFAULT_PROMPT_SUGGESTIONS_I18N: Key<Value> =
        Key::object("ui.prompt_suggestions_i18n").no_env();
    /// Order of the models in lists, as a JSON list of ids.
    pub static MODEL_ORDER_LIST: Key<Vec<String>> = Key::json_list("ui.model_order_list");
    /// Role of new accounts: `pending`, `user` or `admin`.
    pub static DEFAULT_USER_ROLE: Key<String> = Key::text("ui.default_user_role", "pending");
    /// Group that new accounts join.
    pub static DEFAULT_GROUP_ID: Key<String> = Key::text("ui.default_group_id", "");
    /// Title shown to accounts that wait for approval.
    pub static PENDING_USER_OVERLAY_TITLE: Key<String> = Key::text("ui.pending_user_overlay_title", "");
    /// Text shown to accounts that wait for approval.
    pub static PENDING_USER_OVERLAY_CONTENT: Key<String> = Key::text("ui.pending_user_overlay_content", "");
    /// Text added when an answer is copied.
    pub static RESPONSE_WATERMARK: Key<String> = Key::text("ui.watermark", "");
    /// Offers sharing with the community site.
    pub static ENABLE_COMMUNITY_SHARING: Key<bool> = Key::bool("ui.enable_community_sharing", true);
    /// Offers thumbs up and down under answers.
    pub static ENABLE_MESSAGE_RATING: Key<bool> = Key::bool("ui.enable_message_rating", true);
    /// Lets users set their own notification target.
    pub static ENABLE_USER_WEBHOOKS: Key<bool> = Key::bool("ui.enable_user_webhooks", false);
    /// Banners at the top of the page, as a JSON list.
    pub static WEBUI_BANNERS: Key<Value> = Key::array("ui.banners").check(derive::banners);
}
