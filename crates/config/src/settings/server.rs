//! Address, folders and identity of the process, and which origins may call it.

use std::path::PathBuf;

use super::spec::{Spec, flag, int, list, optional_path, optional_text, path, settings, text};

settings! {
    "Server";
    /// Where the server listens, what it is called and where its files are.
    pub struct Server {
        /// Address to listen on.
        HOST => pub host: String = text("0.0.0.0");
        /// Port to listen on.
        PORT => pub port: u16 = int("8080").strict();
        /// `dev` publishes the API description at `/docs` and `/openapi.json`; `prod` does not.
        ENV => pub environment: String = text("dev");
        /// Name shown to users. Another name than the product's is followed by the product's in parentheses.
        WEBUI_NAME => pub name: String = Spec::new("a text", PRODUCT, |name| Some(displayed_name(name)));
        /// Build identifier in `GET /api/config`.
        WEBUI_BUILD_HASH => pub build_hash: String = text("dev-build");
        /// Identifier of this deployment in `GET /api/version`.
        DEPLOYMENT_ID => pub deployment_id: String = text("");
        /// Identifier of this process; empty lets the server choose one.
        INSTANCE_ID => pub instance_id: Option<String> = optional_text();
        /// Folder of the database, uploads and caches.
        DATA_DIR => pub data_dir: PathBuf = path("data");
        /// Folder of the built web client.
        FRONTEND_BUILD_DIR => pub frontend_dir: PathBuf = path("build");
        /// Folder served at `/static`; empty uses `static` inside the web client.
        STATIC_DIR => pub(crate) static_override: Option<PathBuf> = optional_path();
        /// Manifest used instead of the built-in one.
        EXTERNAL_PWA_MANIFEST_URL => pub external_manifest_url: Option<String> = optional_text();
        /// Proxies whose forwarded headers are trusted, separated by commas; `*` trusts all.
        FORWARDED_ALLOW_IPS => pub trusted_proxies: Vec<String> = list("*");
        /// Origins that may call the server, separated by semicolons, or `*` for all.
        CORS_ALLOW_ORIGIN => pub cors_origins: Vec<String> =
            Spec::new("a list with semicolons", "*", semicolons);
        /// Schemes besides `http` and `https` that such an origin may have, separated by semicolons.
        CORS_ALLOW_CUSTOM_SCHEME => pub(crate) cors_schemes: Vec<String> =
            Spec::new("a list with semicolons", "", semicolons);
        /// Compresses responses.
        ENABLE_COMPRESSION_MIDDLEWARE => pub compression: bool = flag("true");
        /// Makes no calls that are not asked for: no update check, no downloads.
        OFFLINE_MODE => pub offline: bool = flag("false");
        /// Looks for newer releases.
        ENABLE_VERSION_UPDATE_CHECK => pub version_check: bool = flag("true");
        /// Starts with all functions switched off.
        SAFE_MODE => pub safe_mode: bool = flag("false");
        /// Shows small surprises in the client.
        ENABLE_EASTER_EGGS => pub easter_eggs: bool = flag("true");
        /// Content policy of embedded artefacts.
        IFRAME_CSP => pub iframe_csp: String = text("");
    }
}

const PRODUCT: &str = "Open WebUI";

/// The product's licence asks for its name to stay visible.
fn displayed_name(name: &str) -> String {
    if name == PRODUCT {
        name.to_owned()
    } else {
        format!("{name} ({PRODUCT})")
    }
}

fn semicolons(text: &str) -> Option<Vec<String>> {
    Some(text.split(';').map(str::to_owned).collect())
}

impl Server {
    /// Whether the API description is published.
    pub fn is_dev(&self) -> bool {
        self.environment == "dev"
    }

    /// Whether every origin may call the server.
    pub fn allows_any_origin(&self) -> bool {
        self.cors_origins == ["*"]
    }

    /// Folder served at `/static`.
    pub fn static_dir(&self) -> PathBuf {
        self.static_override
            .clone()
            .unwrap_or_else(|| self.frontend_dir.join("static"))
    }

    /// Folder of uploaded files.
    pub fn upload_dir(&self) -> PathBuf {
        self.data_dir.join("uploads")
    }

    /// Folder of caches.
    pub fn cache_dir(&self) -> PathBuf {
        self.data_dir.join("cache")
    }
}
