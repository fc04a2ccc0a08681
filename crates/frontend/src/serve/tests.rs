//! The service over small folders made here: paths, headers, conditional requests, ranges, encodings.

use std::io::Read;
use std::path::Path;

use axum::body::Body;
use http::HeaderMap;
use http_body_util::BodyExt;

use super::*;

/// A build and a data folder, and a service over them.
struct Setup {
    dir: tempfile::TempDir,
    service: FrontendService,
}

struct Got {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Header names in order.
    fn names(&self) -> Vec<&str> {
        self.headers.keys().map(http::HeaderName::as_str).collect()
    }
}

fn script() -> String {
    "export const answer = 42;\n".repeat(300)
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

impl Setup {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut FrontendOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let build = dir.path().join("build");
        write(
            &build.join("index.html"),
            format!("<!doctype html>{}", "x".repeat(600)),
        );
        write(&build.join("robots.txt"), "User-agent: *\n");
        write(&build.join("_app/immutable/a.js"), script());
        write(&build.join("pyodide/pyodide.js"), "py");
        write(&build.join("pyodide/console.html"), "console");
        write(&build.join("static/user.png"), "from build");
        write(&dir.path().join("secret"), "secret");
        let data_dir = dir.path().join("data");
        std::fs::create_dir_all(&data_dir).unwrap();
        let mut options = FrontendOptions {
            data_dir,
            build_dir: Some(build),
            static_dir: None,
            compress: true,
        };
        change(&mut options);
        Self {
            dir,
            service: FrontendService::new(options),
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.service.respond(request.body(Body::empty()).unwrap()).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Got {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    async fn get(&self, path: &str) -> Got {
        self.ask("GET", path, &[]).await
    }
}

#[tokio::test]
async fn unknown_pages_are_the_client_and_unknown_scripts_are_not() {
    let setup = Setup::new();
    let root = setup.get("/").await;
    assert_eq!((root.status, root.header("cache-control")), (200, "no-cache"));
    for path in [
        "/c/123",
        "/api/v1/nothing",
        "/static",
        "/pyodide",
        "/a%00b",
        "/%2e%2e/secret",
        "/../secret",
        "/assets/x.css",
    ] {
        let got = setup.get(path).await;
        assert_eq!((got.status, &got.body), (200, &root.body), "{path}");
    }
    for path in [
        "/x.js",
        "/_app/immutable/gone.js",
        "/static/",
        "/static/x.png",
        "/pyodide/x.html",
        "/pyodide/",
        "/static/../robots.txt",
    ] {
        let got = setup.get(path).await;
        assert_eq!(
            (got.status, got.text()),
            (404, r#"{"detail":"Not Found"}"#),
            "{path}"
        );
    }
}

#[tokio::test]
async fn other_methods_are_refused() {
    let setup = Setup::new();
    for path in ["/", "/api/nothing", "/static/user.png", "/pyodide/pyodide.js"] {
        let got = setup.ask("POST", path, &[]).await;
        assert_eq!((got.status, got.header("allow")), (405, "GET, HEAD"), "{path}");
        assert_eq!(got.text(), r#"{"detail":"Method Not Allowed"}"#);
    }
}

#[tokio::test]
async fn headers_are_those_of_the_original_in_its_order() {
    let setup = Setup::new();
    let root = setup.get("/").await;
    assert_eq!(
        root.names(),
        [
            "content-type",
            "accept-ranges",
            "content-length",
            "last-modified",
            "etag",
            "cache-control",
            "vary"
        ]
    );
    let robots = setup.get("/robots.txt").await;
    assert_eq!(
        robots.names(),
        [
            "content-type",
            "accept-ranges",
            "content-length",
            "last-modified",
            "etag"
        ]
    );
    let pyodide = setup.get("/pyodide/console.html").await;
    assert_eq!(
        (
            pyodide.header("access-control-allow-origin"),
            pyodide.header("cache-control")
        ),
        ("*", "")
    );

    let head = setup.ask("HEAD", "/", &[("accept-encoding", "br")]).await;
    assert_eq!((head.body.len(), head.header("content-length")), (0, "615"));
    assert_eq!((head.header("vary"), head.header("content-encoding")), ("", ""));
}

#[tokio::test]
async fn unchanged_files_are_not_sent_again() {
    let setup = Setup::new();
    let first = setup.get("/").await;
    let (etag, modified) = (first.header("etag"), first.header("last-modified"));
    for headers in [
        [("if-none-match", etag)].as_slice(),
        &[("if-none-match", &format!("\"x\", W/{etag}"))],
        &[("if-none-match", "*")],
        &[("if-modified-since", modified)],
        &[
            ("if-none-match", etag),
            ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ],
    ] {
        let got = setup.ask("GET", "/", headers).await;
        assert_eq!(
            (got.status, got.names(), got.body.len()),
            (304, vec!["etag", "cache-control"], 0),
            "{headers:?}"
        );
    }
    for headers in [
        [("if-none-match", "\"x\""), ("if-modified-since", modified)].as_slice(),
        &[("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
        &[("if-modified-since", "never")],
    ] {
        assert_eq!(setup.ask("GET", "/", headers).await.status, 200, "{headers:?}");
    }
}

#[tokio::test]
async fn ranges_are_sent_uncompressed() {
    let setup = Setup::new();
    let full = setup.get("/_app/immutable/a.js").await;
    let range = |range: &'static str| {
        let setup = &setup;
        async move {
            setup
                .ask(
                    "GET",
                    "/_app/immutable/a.js",
                    &[("range", range), ("accept-encoding", "br")],
                )
                .await
        }
    };
    let one = range("bytes=5-9").await;
    assert_eq!(
        (one.status, one.header("content-range"), one.body.as_slice()),
        (206, "bytes 5-9/7800", &full.body[5..10])
    );
    assert_eq!(
        (one.header("content-encoding"), one.header("content-length")),
        ("", "5")
    );

    let two = range("bytes=0-1,-2").await;
    let boundary = two
        .header("content-type")
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let kind = "Content-Type: text/javascript; charset=utf-8\r\n";
    let expected = format!(
        "--{boundary}\r\n{kind}Content-Range: bytes 0-1/7800\r\n\r\nex\r\n\
         --{boundary}\r\n{kind}Content-Range: bytes 7798-7799/7800\r\n\r\n;\n\r\n--{boundary}--"
    );
    assert_eq!((two.status, two.text()), (206, expected.as_str()));
    assert_eq!(two.header("content-length"), expected.len().to_string());

    let bad = range("bytes=x").await;
    assert_eq!(
        (bad.status, bad.text()),
        (400, "Range header: range must be requested")
    );
    let beyond = range("bytes=9999-").await;
    assert_eq!(
        (beyond.status, beyond.header("content-range"), beyond.body.len()),
        (416, "bytes */7800", 0)
    );
}

#[tokio::test]
async fn if_range_decides_whether_a_range_counts() {
    let setup = Setup::new();
    let full = setup.get("/robots.txt").await;
    for (tag, status) in [
        (full.header("etag"), 206),
        (full.header("last-modified"), 206),
        ("\"x\"", 200),
    ] {
        let got = setup
            .ask("GET", "/robots.txt", &[("range", "bytes=0-3"), ("if-range", tag)])
            .await;
        assert_eq!(got.status, status, "{tag}");
    }
}

/// Asks until the background has made the variant.
async fn compressed(setup: &Setup, path: &str, encoding: &str) -> Got {
    for _ in 0..2000 {
        let got = setup.ask("GET", path, &[("accept-encoding", encoding)]).await;
        if got.header("content-encoding") == encoding {
            return got;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("no {encoding} variant of {path}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_compressed_once_in_the_background() {
    let setup = Setup::new();
    let first = setup
        .ask("GET", "/_app/immutable/a.js", &[("accept-encoding", "br")])
        .await;
    assert_eq!(
        (first.header("content-encoding"), first.text()),
        ("", script().as_str())
    );
    let packed = compressed(&setup, "/_app/immutable/a.js", "br").await;
    assert_eq!(
        (packed.header("vary"), packed.header("etag")),
        ("Accept-Encoding", first.header("etag"))
    );
    assert_eq!(packed.header("content-length"), packed.body.len().to_string());
    let mut text = String::new();
    brotli::Decompressor::new(packed.body.as_slice(), 4096)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, script());
    compressed(&setup, "/_app/immutable/a.js", "gzip").await;

    // An edited file is not answered with its old variant.
    write(
        &setup.dir.path().join("build/_app/immutable/a.js"),
        format!("{}//", script()),
    );
    let edited = setup
        .ask("GET", "/_app/immutable/a.js", &[("accept-encoding", "br")])
        .await;
    assert!(edited.text().ends_with("//"));
}

#[tokio::test]
async fn compression_can_be_switched_off() {
    let setup = Setup::with(|options| options.compress = false);
    let got = setup
        .ask("GET", "/_app/immutable/a.js", &[("accept-encoding", "br")])
        .await;
    assert_eq!((got.header("content-encoding"), got.header("vary")), ("", ""));
    assert!(setup.service.0.tried.lock().is_empty());
}

#[tokio::test]
async fn static_files_come_from_the_build_first() {
    let setup = Setup::with(|options| options.static_dir = Some(options.data_dir.with_file_name("mine")));
    write(&setup.dir.path().join("mine/user.png"), "mine");
    write(&setup.dir.path().join("mine/extra/logo.png"), "extra");
    assert_eq!(setup.get("/static/user.png").await.text(), "from build");
    assert_eq!(setup.get("/static/extra/logo.png").await.text(), "extra");
    let file = setup.service.static_file("extra/logo.png").await.unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "extra");
    assert_eq!(setup.service.static_file("../secret").await, None);
}

#[cfg(unix)]
#[tokio::test]
async fn links_out_of_the_folder_are_not_followed() {
    let setup = Setup::new();
    std::os::unix::fs::symlink(
        setup.dir.path().join("secret"),
        setup.dir.path().join("build/static/link"),
    )
    .unwrap();
    assert_eq!(setup.get("/static/link").await.status, 404);
}

#[tokio::test]
async fn without_a_client_the_root_explains_and_the_rest_is_not_found() {
    let setup = Setup::with(|options| options.build_dir = None);
    assert!(!setup.service.is_present().await);
    let root = setup.get("/").await;
    assert_eq!(
        (root.status, root.header("content-type")),
        (503, "text/html; charset=utf-8")
    );
    assert!(root.text().contains("oui frontend install"));
    assert_eq!(setup.ask("HEAD", "/", &[]).await.body.len(), 0);
    assert_eq!(setup.get("/auth").await.status, 404);
    assert_eq!(setup.ask("POST", "/api/nothing", &[]).await.status, 404);
    assert_eq!(setup.service.changelog().await.unwrap(), "{}");
}

#[tokio::test]
async fn a_client_installed_later_appears() {
    let setup = Setup::with(|options| options.build_dir = Some(options.data_dir.with_file_name("later")));
    assert_eq!(setup.get("/").await.status, 503);
    write(&setup.dir.path().join("later/index.html"), "here");
    write(
        &setup.dir.path().join("CHANGELOG.md"),
        "## [1.0] - d\n\n### Added\n\n- a\n",
    );
    assert_eq!(setup.get("/").await.text(), "here");
    assert!(setup.service.is_present().await);
    let changelog = setup.service.changelog().await.unwrap();
    assert_eq!(
        changelog,
        r#"{"1.0":{"date":"d","added":[{"title":"","content":"a","raw":"<li>a</li>"}]}}"#
    );
}
