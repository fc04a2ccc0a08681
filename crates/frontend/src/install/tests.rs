//! Installations from small wheels made here, and downloads through programs that play pip.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

use super::*;

/// A wheel under construction: entries, and what RECORD claims of them.
struct FakeWheel {
    entries: Vec<(String, Vec<u8>)>,
    /// Entries whose RECORD line is wrong.
    lies: Vec<&'static str>,
    name: &'static str,
    version: &'static str,
}

impl FakeWheel {
    fn new() -> Self {
        let script = "export const a = 1;\n".repeat(200);
        let entries = [
            ("open_webui/frontend/index.html", "<!doctype html>client"),
            ("open_webui/frontend/_app/immutable/a.js", script.as_str()),
            ("open_webui/frontend/static/user.png", "png"),
            ("open_webui/static/swagger-ui/swagger-ui.css", "css"),
            (
                "open_webui/CHANGELOG.md",
                "## [0.12.4] - 2026-10-25\n\n### Added\n\n- x\n",
            ),
            ("open_webui/main.py", "print()"),
            ("open_webui-0.12.4.dist-info/licenses/LICENSE", "terms"),
        ];
        let entries = entries
            .map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec()))
            .to_vec();
        Self {
            entries,
            lies: Vec::new(),
            name: "open-webui",
            version: crate::FRONTEND_VERSION,
        }
    }

    fn with(mut self, name: &str, content: &str) -> Self {
        self.entries.push((name.to_owned(), content.as_bytes().to_vec()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.entries.retain(|(entry, _)| entry != name);
        self
    }

    fn write(&self, dir: &Path) -> PathBuf {
        let path = dir.join("open_webui-0.12.4-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        let options = SimpleFileOptions::default();
        let mut record = String::new();
        for (name, content) in &self.entries {
            zip.start_file(name.as_str(), options).unwrap();
            zip.write_all(content).unwrap();
            let claimed = if self.lies.contains(&name.as_str()) {
                b"other"
            } else {
                content.as_slice()
            };
            let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(claimed));
            record.push_str(&format!("{name},sha256={digest},{}\n", content.len()));
        }
        let info = "open_webui-0.12.4.dist-info";
        record.push_str(&format!("{info}/RECORD,,\n"));
        let metadata = format!(
            "Metadata-Version: 2.4\nName: {}\nVersion: {}\n\nText\n",
            self.name, self.version
        );
        for (name, content) in [("METADATA", metadata), ("RECORD", record)] {
            zip.start_file(format!("{info}/{name}"), options).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        path
    }
}

/// A data folder and a place for wheels, installing and what was reported.
struct Setup {
    dir: tempfile::TempDir,
    steps: Mutex<Vec<Step>>,
}

impl Setup {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            steps: Mutex::default(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn options(&self) -> InstallOptions {
        InstallOptions {
            data_dir: self.data(),
            compression: Compression::Fast,
            ..InstallOptions::default()
        }
    }

    async fn install(&self, options: InstallOptions) -> Result<Installed, InstallError> {
        install(options, &|step: Step| self.steps.lock().push(step)).await
    }

    async fn install_wheel(&self, wheel: &FakeWheel) -> Result<Installed, InstallError> {
        let wheel = Some(wheel.write(self.dir.path()));
        self.install(InstallOptions {
            wheel,
            ..self.options()
        })
        .await
    }

    /// Names in the data folder.
    fn left_behind(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.data()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

#[tokio::test]
async fn a_wheel_is_unpacked_compressed_and_sealed() {
    let setup = Setup::new();
    let installed = setup.install_wheel(&FakeWheel::new()).await.unwrap();
    assert_eq!(installed.dir, setup.data().join("frontend-0.12.4"));
    assert_eq!((installed.files, installed.already_there), (6, false));
    let read = |name: &str| std::fs::read_to_string(installed.dir.join(name)).unwrap();
    assert_eq!(read("frontend/index.html"), "<!doctype html>client");
    assert_eq!(read("static/swagger-ui/swagger-ui.css"), "css");
    assert_eq!(read("licenses/LICENSE"), "terms");
    assert!(!installed.dir.join("main.py").exists() && !installed.dir.join("frontend/main.py").exists());
    let packed = std::fs::read_dir(installed.dir.join("compressed/frontend/_app/immutable"))
        .unwrap()
        .count();
    assert_eq!(packed, 2, "a.js as br and gz");
    assert_eq!(setup.left_behind(), ["frontend-0.12.4"]);
    assert_eq!(
        setup.steps.lock().last(),
        Some(&Step::Compressing { done: 1, total: 1 })
    );
}

#[tokio::test]
async fn a_second_run_does_nothing_unless_forced() {
    let setup = Setup::new();
    setup.install_wheel(&FakeWheel::new()).await.unwrap();
    let missing = Some(PathBuf::from("/nowhere.whl"));
    let again = setup
        .install(InstallOptions {
            wheel: missing,
            ..setup.options()
        })
        .await
        .unwrap();
    assert!(again.already_there);

    let newer = FakeWheel::new().with("open_webui/frontend/more.txt", "more");
    let wheel = Some(newer.write(setup.dir.path()));
    let forced = setup
        .install(InstallOptions {
            wheel,
            force: true,
            ..setup.options()
        })
        .await
        .unwrap();
    assert_eq!((forced.files, forced.already_there), (7, false));
    assert_eq!(setup.left_behind(), ["frontend-0.12.4"]);
}

#[tokio::test]
async fn a_broken_installation_is_replaced() {
    let setup = Setup::new();
    let broken = setup.data().join("frontend-0.12.4/frontend");
    std::fs::create_dir_all(&broken).unwrap();
    std::fs::write(broken.join("leftover.js"), "x").unwrap();
    let installed = setup.install_wheel(&FakeWheel::new()).await.unwrap();
    assert!(!installed.already_there && !broken.join("leftover.js").exists());
}

#[tokio::test]
async fn bad_wheels_are_refused_and_leave_nothing() {
    let cases: Vec<(&str, FakeWheel)> = vec![
        (
            "is other 0.12.4, but",
            FakeWheel {
                name: "other",
                ..FakeWheel::new()
            },
        ),
        (
            "is open-webui 0.12.5, but",
            FakeWheel {
                version: "0.12.5",
                ..FakeWheel::new()
            },
        ),
        (
            "does not match its checksum",
            FakeWheel {
                lies: vec!["open_webui/frontend/index.html"],
                ..FakeWheel::new()
            },
        ),
        (
            "unsafe entry",
            FakeWheel::new().with("open_webui/frontend/../../../evil", "x"),
        ),
        (
            "unsafe entry",
            FakeWheel::new().with("open_webui/frontend/a\\..\\evil", "x"),
        ),
        (
            "no web client",
            FakeWheel::new().without("open_webui/frontend/index.html"),
        ),
        (
            "no web client",
            FakeWheel::new().without("open_webui/CHANGELOG.md"),
        ),
    ];
    for (text, wheel) in cases {
        let setup = Setup::new();
        let error = setup.install_wheel(&wheel).await.unwrap_err().to_string();
        assert!(error.contains(text), "{text}: {error}");
        assert!(setup.left_behind().is_empty(), "{text}");
        assert!(!setup.dir.path().join("evil").exists());
    }
}

#[tokio::test]
async fn files_that_are_no_wheels_are_refused() {
    let setup = Setup::new();
    let path = setup.dir.path().join("x.whl");
    std::fs::write(&path, "not a zip").unwrap();
    let error = setup
        .install(InstallOptions {
            wheel: Some(path),
            ..setup.options()
        })
        .await
        .unwrap_err();
    assert!(matches!(error, InstallError::Unreadable { .. }), "{error}");

    let missing = Some(setup.dir.path().join("missing.whl"));
    let error = setup
        .install(InstallOptions {
            wheel: missing,
            ..setup.options()
        })
        .await
        .unwrap_err();
    assert!(matches!(error, InstallError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_stream_is_the_wheels_fault() {
    let setup = Setup::new();
    let path = FakeWheel::new().write(setup.dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let name = b"open_webui/frontend/_app/immutable/a.js";
    let at = bytes
        .windows(name.len())
        .position(|window| window == name)
        .unwrap()
        + name.len();
    bytes[at..at + 12].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let error = setup
        .install(InstallOptions {
            wheel: Some(path),
            ..setup.options()
        })
        .await
        .unwrap_err();
    assert!(
        matches!(&error, InstallError::Damaged { entry, .. } if entry.ends_with("a.js")),
        "{error}"
    );
}

/// Programs that play a Python with pip: `pip --version` answers, `pip download` does `download`.
#[cfg(unix)]
mod with_pip {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn python(setup: &Setup, version: &str, download: &str) -> PathBuf {
        let path = setup.dir.path().join("python");
        let script = format!(
            "#!/bin/sh\nshift 2\nif [ \"$1\" = --version ]; then {version}; exit; fi\n\
             while [ \"$1\" != --dest ]; do shift; done; dest=$2; wanted=$3\n{download}\n"
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    const PIP: &str = "echo 'pip 23.0.1 from /x (python 3.11)'";

    async fn run(setup: &Setup, version: &str, download: &str) -> Result<Installed, InstallError> {
        let python = Some(python(setup, version, download));
        setup
            .install(InstallOptions {
                python,
                ..setup.options()
            })
            .await
    }

    #[tokio::test]
    async fn pip_downloads_into_the_data_folder() {
        let setup = Setup::new();
        let wheel = FakeWheel::new().write(setup.dir.path());
        let download = format!(
            "[ \"$wanted\" = open-webui==0.12.4 ] || exit 9\ncase $TMPDIR in {}/*) ;; *) exit 8;; esac\n\
             cp {} \"$dest\"",
            setup.data().display(),
            wheel.display()
        );
        let installed = run(&setup, PIP, &download).await.unwrap();
        assert_eq!(installed.files, 6);
        assert_eq!(setup.left_behind(), ["frontend-0.12.4"]);
        let steps = setup.steps.lock();
        assert_eq!(steps[0], Step::FindingPip);
        assert_eq!(steps[1], Step::Downloading { bytes: 0 });
    }

    #[tokio::test]
    async fn failures_of_pip_are_told_apart() {
        let network = "echo 'WARNING: Retrying after connection broken by NewConnectionError' >&2; \
                       echo 'ERROR: No matching distribution found for open-webui==0.12.4' >&2; exit 1";
        let offered = "echo 'ERROR: No matching distribution found for open-webui==0.12.4' >&2; exit 1";
        let full = "echo 'ERROR: [Errno 28] No space left on device' >&2; exit 1";
        let check = |text: &'static str, version: &'static str, download: &'static str| async move {
            let setup = Setup::new();
            let error = run(&setup, version, download).await.unwrap_err().to_string();
            assert!(error.contains(text), "{text}: {error}");
            assert!(setup.left_behind().is_empty());
        };
        check("could not reach the package index", PIP, network).await;
        check("pip found no open-webui 0.12.4", PIP, offered).await;
        check("is full", PIP, full).await;
        check("pip said:\nbroken", PIP, "echo broken; exit 3").await;
        check("could not download", PIP, "true").await;
        check("has no pip", "echo 'No module named pip' >&2; exit 1", "").await;
        check("is too old", "echo 'pip 9.0 from /x (python 2.7)'", "").await;
    }

    #[tokio::test]
    async fn a_missing_python_is_named() {
        let setup = Setup::new();
        let python = Some(PathBuf::from("/nowhere/python3"));
        let error = setup
            .install(InstallOptions {
                python,
                ..setup.options()
            })
            .await
            .unwrap_err();
        assert!(error.to_string().contains("tried /nowhere/python3"), "{error}");
    }
}
