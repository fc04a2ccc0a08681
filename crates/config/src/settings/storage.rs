//! Where the bytes of uploaded files are kept.

use super::spec::{flag, optional_secret, optional_text, settings, text};
use crate::secret::Secret;

settings! {
    "Storage";
    /// The store for uploaded files.
    pub struct Storage {
        /// Kind of store: `local`, `s3`, `gcs` or `azure`.
        STORAGE_PROVIDER => pub provider: String = text("local");
        /// Access key for S3; without it the usual places of credentials are asked.
        S3_ACCESS_KEY_ID => pub s3_key_id: Option<Secret> = optional_secret();
        /// Secret of that key.
        S3_SECRET_ACCESS_KEY => pub s3_secret: Option<Secret> = optional_secret();
        /// Region of the bucket.
        S3_REGION_NAME => pub s3_region: Option<String> = optional_text();
        /// Bucket for files.
        S3_BUCKET_NAME => pub s3_bucket: Option<String> = optional_text();
        /// Put before the names of objects.
        S3_KEY_PREFIX => pub s3_prefix: Option<String> = optional_text();
        /// Address of the S3 server, for other servers than Amazon's.
        S3_ENDPOINT_URL => pub s3_endpoint: Option<String> = optional_text();
        /// Uses Amazon's accelerated addresses.
        S3_USE_ACCELERATE_ENDPOINT => pub s3_accelerate: bool = flag("false");
        /// `path` or `virtual`: whether the bucket is part of the path or of the host name.
        S3_ADDRESSING_STYLE => pub s3_addressing: Option<String> = optional_text();
        /// Marks objects with the file's and the user's id, name and address.
        S3_ENABLE_TAGGING => pub s3_tagging: bool = flag("false");
        /// Bucket of Google Cloud Storage.
        GCS_BUCKET_NAME => pub gcs_bucket: Option<String> = optional_text();
        /// Service account for it, as a JSON text; without it the usual places are asked.
        GOOGLE_APPLICATION_CREDENTIALS_JSON => pub gcs_credentials: Option<Secret> = optional_secret();
        /// Address of the Azure storage account.
        AZURE_STORAGE_ENDPOINT => pub azure_endpoint: Option<String> = optional_text();
        /// Container in it.
        AZURE_STORAGE_CONTAINER_NAME => pub azure_container: Option<String> = optional_text();
        /// Key of the account; without it the machine's identity is used.
        AZURE_STORAGE_KEY => pub azure_key: Option<Secret> = optional_secret();
    }
}
