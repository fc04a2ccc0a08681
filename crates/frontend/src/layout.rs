//! Where the unpacked client lives inside the data folder, and how a whole installation is told
//! from a broken one. Does not live here: unpacking and serving.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::FRONTEND_VERSION;
use crate::install::Installed;

/// Raised when the layout of the folder changes, so that older installations are made anew.
const FORMAT: u32 = 1;

/// Folder names inside an installation.
pub(crate) const FRONTEND: &str = "frontend";
pub(crate) const STATIC: &str = "static";
pub(crate) const CHANGELOG: &str = "CHANGELOG.md";
pub(crate) const LICENSES: &str = "licenses";
const COMPRESSED: &str = "compressed";
const MARKER: &str = "installed.json";

/// Written last, so that its presence says the installation is whole.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format: u32,
    version: String,
    files: u64,
    bytes: u64,
}

/// One installation folder (finished, or still under construction).
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The installation of this version in a data folder.
    pub(crate) fn in_data_dir(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join(format!("frontend-{FRONTEND_VERSION}")),
        }
    }

    /// An installation under construction at `dir`.
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The client's build: `index.html`, `_app` and so on.
    pub(crate) fn frontend(&self) -> PathBuf {
        self.dir.join(FRONTEND)
    }

    /// The server-side static files that the wheel carries beside the build.
    pub(crate) fn statics(&self) -> PathBuf {
        self.dir.join(STATIC)
    }

    pub(crate) fn changelog(&self) -> PathBuf {
        self.dir.join(CHANGELOG)
    }

    /// Compressed variants of one of the two file trees (`FRONTEND` or `STATIC`).
    pub(crate) fn compressed(&self, tree: &str) -> PathBuf {
        self.dir.join(COMPRESSED).join(tree)
    }

    /// Declares the installation whole.
    pub(crate) fn seal(&self, files: u64, bytes: u64) -> std::io::Result<()> {
        let marker = Marker {
            format: FORMAT,
            version: FRONTEND_VERSION.to_owned(),
            files,
            bytes,
        };
        std::fs::write(self.dir.join(MARKER), serde_json::to_vec_pretty(&marker)?)
    }

    /// What is installed here, or `None` when the folder is absent, broken or of another format.
    pub(crate) fn installed(&self) -> Option<Installed> {
        let marker: Marker = serde_json::from_slice(&std::fs::read(self.dir.join(MARKER)).ok()?).ok()?;
        let whole = marker.format == FORMAT
            && marker.version == FRONTEND_VERSION
            && self.frontend().join("index.html").is_file();
        whole.then(|| Installed {
            dir: self.dir.clone(),
            version: marker.version,
            files: marker.files,
            bytes: marker.bytes,
            already_there: true,
        })
    }
}

/// The client installed in a data folder, if there is one. Reads two small files.
pub fn installed(data_dir: &Path) -> Option<Installed> {
    Layout::in_data_dir(data_dir).installed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sealed_folder_with_an_index_counts() {
        let data = tempfile::tempdir().unwrap();
        let layout = Layout::in_data_dir(data.path());
        std::fs::create_dir_all(layout.frontend()).unwrap();
        std::fs::write(layout.frontend().join("index.html"), "x").unwrap();
        assert!(installed(data.path()).is_none(), "not sealed yet");

        layout.seal(3, 12).unwrap();
        let found = installed(data.path()).unwrap();
        assert_eq!((found.files, found.bytes, found.already_there), (3, 12, true));

        std::fs::remove_file(layout.frontend().join("index.html")).unwrap();
        assert!(installed(data.path()).is_none(), "index.html is gone");
    }

    #[test]
    fn another_version_or_format_does_not_count() {
        let data = tempfile::tempdir().unwrap();
        let layout = Layout::in_data_dir(data.path());
        std::fs::create_dir_all(layout.frontend()).unwrap();
        std::fs::write(layout.frontend().join("index.html"), "x").unwrap();
        for marker in [
            r#"{"format":99,"version":"0.12.4","files":1,"bytes":1}"#,
            r#"{"format":1,"version":"0.1","files":1,"bytes":1}"#,
            "{",
        ] {
            std::fs::write(layout.dir().join(MARKER), marker).unwrap();
            assert!(layout.installed().is_none(), "{marker}");
        }
    }
}
