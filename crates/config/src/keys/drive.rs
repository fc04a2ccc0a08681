//! Keys of the cloud file pickers.

use crate::key::{Key, keys};

keys! {
    "Google Drive and OneDrive";

    /// Offers Google Drive as a source of files.
    pub static ENABLE_GOOGLE_DRIVE_INTEGRATION: Key<bool> = Key::bool("google_drive.enable", false);
    /// OAuth client of the Google Drive picker.
    pub static GOOGLE_DRIVE_CLIENT_ID: Key<String> = Key::text("google_drive.client_id", "");
    /// Browser key of the Google Drive picker.
    pub static GOOGLE_DRIVE_API_KEY: Key<String> = Key::text("google_drive.api_key", "").secret();
    /// Offers OneDrive as a source of files.
    pub static ENABLE_ONEDRIVE_INTEGRATION: Key<bool> = Key::bool("onedrive.enable", false);
    /// SharePoint site for business accounts.
    pub static ONEDRIVE_SHAREPOINT_URL: Key<String> = Key::text("onedrive.sharepoint_url", "");
    /// Tenant for business accounts.
    pub static ONEDRIVE_SHAREPOINT_TENANT_ID: Key<String> = Key::text("onedrive.sharepoint_tenant_id", "");
}
