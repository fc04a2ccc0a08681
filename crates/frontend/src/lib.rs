//! Everything about the official web client's files. The client is not part of this project: its
//! published wheel is fetched through the user's own pip (or given as a file), checked, and its
//! frontend unpacked into the data folder ([`install`]), from where [`FrontendService`] serves it
//! the way the original server does. [`changelog`] turns the release notes of the same wheel into
//! the JSON of `GET /api/changelog`.
//!
//! Not here: `/manifest.json` and `/opensearch.xml` (they depend on the configuration), and the
//! choice of settings (the server passes folders in).

pub mod changelog;
mod compress;
pub mod install;
mod layout;
mod serve;

pub use install::{
    Compression, InstallError, InstallOptions, Installed, Progress, Step, download_wheel, install,
};
pub use layout::installed;
pub use serve::{FrontendOptions, FrontendService};

/// Version of the official client that this server speaks to; the only one [`install`] accepts.
pub const FRONTEND_VERSION: &str = "0.12.4";

/// Name of the Python package that carries the client, in its normal form.
pub const FRONTEND_PACKAGE: &str = "open-webui";
