//! From a request path to a file: which folders are behind which paths, and the safe lookup inside
//! them. Does not build responses.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::FrontendOptions;
use crate::compress::Variants;
use crate::layout::{FRONTEND, Layout, STATIC};

/// One folder that is served, with the place of its compressed variants.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    /// Canonical, so that symbolic links leading out of it can be told.
    root: PathBuf,
    pub(super) variants: Variants,
}

/// A file found in a folder.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Path below the folder, which names the variants.
    pub(super) relative: PathBuf,
    pub(super) meta: Metadata,
    pub(super) variants: Variants,
}

/// The folders behind the client's paths.
#[derive(Debug)]
pub(super) struct Site {
    /// Behind `/`; `None` when there is no client.
    frontend: Option<Folder>,
    /// Behind `/static/`, first match wins.
    statics: Vec<Folder>,
}

/// The three mounts of the original, which differ in fallback and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mount {
    /// `/`: unknown names get `index.html`, HTML is never cached unasked.
    Client,
    /// `/static/`: unknown names are 404.
    Static,
    /// `/pyodide/`: unknown names are 404; workers of other origins may load these files.
    Pyodide,
}

impl Folder {
    fn open(root: &Path, variants: PathBuf) -> Option<Self> {
        let root = root.canonicalize().ok().filter(|root| root.is_dir())?;
        Some(Self {
            root,
            variants: Variants::new(variants),
        })
    }

    /// A regular file below the folder. `relative` comes from [`normalize`]. Anything that cannot be
    /// read as a name or leads out of the folder is not there.
    fn find(&self, relative: &Path) -> Option<Found> {
        let path = self.root.join(relative).canonicalize().ok()?;
        if !path.starts_with(&self.root) {
            return None;
        }
        let meta = path.metadata().ok().filter(Metadata::is_file)?;
        Some(Found {
            path,
            relative: relative.to_path_buf(),
            meta,
            variants: self.variants.clone(),
        })
    }
}

impl Site {
    /// Looks which of the folders are there. With a build folder of the user's own, that one is the
    /// client (or none is); otherwise the installation in the data folder is.
    ///
    /// The original empties the static folder at each start and copies the build's files there. Here
    /// nothing is deleted or copied: the folders are searched in the order that leads to the same
    /// answers (build, the user's static folder, what the wheel has beside the build).
    pub(super) fn locate(options: &FrontendOptions) -> Self {
        let install = Layout::in_data_dir(&options.data_dir);
        let installed = install.installed().is_some();
        let own = |root: &Path| Folder::open(root, own_variants(&options.data_dir, root));
        let (frontend, build_statics) = match &options.build_dir {
            Some(build) => (own(build), own(&build.join("static"))),
            None if installed => (
                Folder::open(&install.frontend(), install.compressed(FRONTEND)),
                Folder::open(
                    &install.frontend().join("static"),
                    install.compressed(FRONTEND).join("static"),
                ),
            ),
            None => (None, None),
        };
        let frontend = frontend.filter(|folder| folder.root.join("index.html").is_file());
        let user_statics = options
            .static_dir
            .as_deref()
            .filter(|dir| !holds_data(dir, &options.data_dir));
        let packaged = if installed {
            Folder::open(&install.statics(), install.compressed(STATIC))
        } else {
            None
        };
        let statics = [
            build_statics.filter(|_| frontend.is_some()),
            user_statics.and_then(own),
            packaged,
        ]
        .into_iter()
        .flatten();
        Self {
            statics: statics.collect(),
            frontend,
        }
    }

    /// Whether there is a client.
    pub(super) fn has_client(&self) -> bool {
        self.frontend.is_some()
    }

    /// Finds the file for a decoded request path, and the mount it belongs to. The file is `None`
    /// when the answer is 404.
    pub(super) fn resolve(&self, path: &str) -> (Mount, Option<Found>) {
        let pyodide = self
            .frontend
            .as_ref()
            .filter(|client| client.root.join("pyodide").is_dir());
        if let Some(rest) = path.strip_prefix("/static/") {
            (Mount::Static, self.find_static(rest))
        } else if let (Some(rest), Some(client)) = (path.strip_prefix("/pyodide/"), pyodide) {
            let relative = normalize(rest).filter(|relative| !relative.as_os_str().is_empty());
            (
                Mount::Pyodide,
                relative.and_then(|relative| client.find(&Path::new("pyodide").join(relative))),
            )
        } else {
            (Mount::Client, self.find_client(path))
        }
    }

    /// A file of `/static/` by its name below it.
    pub(super) fn find_static(&self, name: &str) -> Option<Found> {
        let relative = normalize(name)?;
        self.statics.iter().find_map(|folder| folder.find(&relative))
    }

    /// The file itself, or `index.html`, in which the client then finds its own page. A missing
    /// script must not become HTML: browsers would report a wrong type instead of a missing file.
    fn find_client(&self, path: &str) -> Option<Found> {
        let client = self.frontend.as_ref()?;
        let relative = normalize(path);
        if let Some(found) = relative.as_deref().and_then(|relative| client.find(relative)) {
            return Some(found);
        }
        let script = path.trim_end_matches('/').ends_with(".js");
        if script {
            None
        } else {
            client.find(Path::new("index.html"))
        }
    }
}

/// Turns the rest of a request path into a relative path of plain names: empty and `.` parts vanish,
/// `..` takes back one part. `None` when it would leave the folder or holds what no name may hold.
fn normalize(path: &str) -> Option<PathBuf> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ if part.contains('\0') || (cfg!(windows) && part.contains(['\\', ':'])) => return None,
            _ => parts.push(part),
        }
    }
    Some(parts.iter().collect())
}

/// Variants of a folder of the user's own live in the data folder: theirs may be read-only.
fn own_variants(data_dir: &Path, root: &Path) -> PathBuf {
    let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
    data_dir
        .join("frontend-compressed")
        .join(hex::encode(&digest[..8]))
}

/// Whether serving `dir` would serve the data folder: databases and keys are no static files.
fn holds_data(dir: &Path, data_dir: &Path) -> bool {
    let holds = match (dir.canonicalize(), data_dir.canonicalize()) {
        (Ok(dir), Ok(data)) => data.starts_with(dir),
        _ => false,
    };
    if holds {
        tracing::warn!(dir = %dir.display(), "the static folder contains the data folder and is not served");
    }
    holds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized_without_leaving_the_folder() {
        for (path, wanted) in [
            ("/", Some("")),
            ("/a//b/./c/", Some("a/b/c")),
            ("/a/../b", Some("b")),
            ("/../etc/passwd", None),
            ("a/../../b", None),
            ("/a\0b", None),
        ] {
            assert_eq!(normalize(path), wanted.map(PathBuf::from), "{path:?}");
        }
    }

    #[test]
    fn a_folder_around_the_data_is_not_served() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        assert!(holds_data(&data, &data));
        assert!(holds_data(dir.path(), &data));
        assert!(!holds_data(&data.join("static"), &data));
    }
}
