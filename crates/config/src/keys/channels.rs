//! Keys of channels and connected apps.

use crate::key::{Key, keys};

keys! {
    "Channels and apps";

    /// Turns channels on.
    pub static ENABLE_CHANNELS: Key<bool> = Key::bool("channels.enable", false);
    /// Allows end-to-end encrypted channels.
    pub static ENABLE_ENCRYPTED_CHANNELS: Key<bool> = Key::bool("channels.encryption.enable", false);
    /// Where a mentioned model answers: `thread` or `channel`.
    pub static CHANNEL_MODEL_RESPONSE_MODE: Key<String> = Key::text("channels.model_response_mode", "thread");
    /// Allows connected app servers.
    pub static ENABLE_APPS: Key<bool> = Key::bool("apps.enable", false);
}
