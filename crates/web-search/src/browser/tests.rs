//! With a real Chromium, started here and behind a real Playwright server, where they are installed; and with a
//! scripted Playwright server, which shows what is said.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::response::{Html, Redirect};
use axum::routing::get;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;
use crate::address::AddressRules;

const PAGE: &str = r#"<html><head><link rel="stylesheet" href="/style.css"></head>
<body><p>before</p><img src="/picture.png"><main id="place"></main>
<script src="/script.js"></script></body></html>"#;

/// Fetches what it may and what it may not; tells of each.
const SCRIPT: &str = r#"
const say = text => { const line = document.createElement('p'); line.textContent = text; place.append(line); };
const wait = fetch('/data', { method: 'POST', body: 'question', headers: { 'x-own': 'yes' } }).then(a => a.text()).then(say)
  .then(() => fetch('http://169.254.169.254/latest')).then(() => say('inside'), () => say('kept out'))
  .then(() => new Promise(done => { const socket = new WebSocket('ws://' + location.host + '/socket');
      socket.onopen = () => done(say('socket open')); socket.onerror = done; setTimeout(done, 300); }))
  .then(() => say('end'));
// The page has loaded when this has.
const late = document.createElement('script'); late.src = '/late.js'; document.body.append(late);
"#;

type Seen = Arc<Mutex<Vec<String>>>;

/// A site that notes what was asked for.
async fn site() -> (String, Seen) {
    let seen = Seen::default();
    let noted = seen.clone();
    let note = axum::middleware::from_fn(
        move |request: axum::extract::Request, next: axum::middleware::Next| {
            let line = format!("{} {}", request.method(), request.uri().path());
            noted.lock().push(line);
            next.run(request)
        },
    );
    let data = |headers: HeaderMap, body: String| async move {
        format!(
            "answer to {body} {}",
            headers["x-own"].to_str().unwrap_or_default()
        )
    };
    let late = || async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        ([("content-type", "text/javascript")], "say('late')")
    };
    let app = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/moved", get(|| async { Redirect::temporary("/") }))
        .route(
            "/inside",
            get(|| async { Redirect::temporary("http://169.254.169.254/") }),
        )
        .route(
            "/script.js",
            get(|| async { ([("content-type", "text/javascript")], SCRIPT) }),
        )
        .route("/late.js", get(late))
        .route("/data", axum::routing::post(data))
        .layer(note);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}"), seen)
}

fn http() -> CheckedHttp {
    let _ = rustls::crypto::ring::default_provider().install_default();
    CheckedHttp::new(AddressRules::new(true, &[]), true).unwrap()
}

/// Shows pages of the site with a browser, and looks at what came and what was asked for.
async fn shows_pages(url: &str, folder: &Path) {
    let (base, seen) = site().await;
    let http = http();
    let options = Options {
        url,
        folder: folder.to_owned(),
        patience: Duration::from_secs(20),
    };
    let mut browser = Browser::open(&http, options).await.unwrap();
    let html = browser.page(&format!("{base}/moved")).await.unwrap();
    for part in ["before", "answer to question yes", "kept out", "late"] {
        assert!(html.contains(&format!("<p>{part}</p>")), "{part}: {html}");
    }
    assert!(!html.contains("socket open"), "{html}");
    let asked = seen.lock().clone();
    for line in [
        "GET /moved",
        "GET /",
        "GET /script.js",
        "POST /data",
        "GET /style.css",
    ] {
        assert!(asked.iter().any(|asked| asked == line), "{line}: {asked:?}");
    }
    for line in ["GET /picture.png", "GET /socket"] {
        assert!(!asked.iter().any(|asked| asked == line), "{line}: {asked:?}");
    }
    // The browser itself does not get where the client does not.
    assert!(browser.page(&format!("{base}/inside")).await.is_err());
    assert!(browser.page("http://169.254.169.254/").await.is_err());
    assert!(browser.page("http://127.0.0.1:1/").await.is_err());
    // And is still there.
    let again = browser.page(&format!("{base}/")).await.unwrap();
    assert!(again.contains("late"));
    browser.close().await;
}

/// Waits until no profile is left: a browser's helpers may write for a moment longer than it runs.
async fn is_emptied(folder: &Path) -> bool {
    for _ in 0..100 {
        if std::fs::read_dir(folder).unwrap().count() == 0 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

#[tokio::test]
async fn a_browser_of_this_machine_shows_pages() {
    let folder = tempfile::tempdir().unwrap();
    match launch::start(folder.path()).await {
        Ok(started) => started.end().await,
        Err(_) => {
            eprintln!("skipped: no Chromium");
            return;
        }
    }
    shows_pages("", folder.path()).await;
    assert!(is_emptied(folder.path()).await);
    // Also that of one that is given up without an end.
    drop(launch::start(folder.path()).await.unwrap());
    assert!(is_emptied(folder.path()).await);
}

#[tokio::test]
async fn a_browser_that_is_open_for_debugging_shows_pages() {
    let folder = tempfile::tempdir().unwrap();
    let Ok(started) = launch::start(folder.path()).await else {
        eprintln!("skipped: no Chromium");
        return;
    };
    let host = started
        .url
        .strip_prefix("ws://")
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    let url = format!("http://{host}/");
    shows_pages(&url, folder.path()).await;
    started.end().await;
}

#[tokio::test]
async fn the_browser_of_a_playwright_server_shows_pages() {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/node_modules/playwright-core");
    if !packages.is_dir() {
        eprintln!("skipped: no Playwright; npm ci in e2e");
        return;
    }
    let script = format!(
        "const {{ chromium }} = require({:?}); chromium.launchServer({{ executablePath: '/usr/bin/chromium', \
         args: ['--no-sandbox'] }}).then(server => console.log(server.wsEndpoint()))",
        packages.display().to_string()
    );
    let mut command = tokio::process::Command::new("node");
    let command = command
        .args(["-e", &script])
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let Ok(mut server) = command.spawn() else {
        eprintln!("skipped: no Node.js");
        return;
    };
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let Some(url) = lines.next_line().await.unwrap() else {
        eprintln!("skipped: no Chromium");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    shows_pages(&url, folder.path()).await;
    server.kill().await.unwrap();
}

/// A server that plays its part from these lines: what it is told, and what it then says.
async fn scripted(lines: Vec<(&'static str, Vec<Value>)>) -> (String, Arc<Mutex<Vec<Value>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = heard.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            let message: Value = serde_json::from_str(&text).unwrap();
            let (id, method) = (
                message["id"].clone(),
                message["method"].as_str().unwrap().to_owned(),
            );
            noted.lock().push(message);
            let answers = lines
                .iter()
                .find(|(told, _)| *told == method)
                .map(|(_, answers)| answers.clone());
            let answers = answers.unwrap_or_else(|| vec![json!({ "result": {} })]);
            for mut answer in answers {
                if answer["method"].is_null() && answer["id"].is_null() {
                    answer["id"] = id.clone();
                }
                socket.send(Message::text(answer.to_string())).await.unwrap();
            }
        }
    });
    (format!("ws://{address}/"), heard)
}

fn create(guid: &str, initializer: Value) -> Value {
    json!({ "guid": "", "method": "__create__", "params": { "type": "T", "guid": guid, "initializer": initializer } })
}

#[tokio::test]
async fn a_scripted_playwright_server_hears_the_right_things() {
    let (base, _) = site().await;
    let request = json!({
        "url": format!("{base}/data"), "resourceType": "fetch", "method": "POST", "postData": STANDARD.encode("q"),
        "headers": [{ "name": "X-Own", "value": "own" }, { "name": "Content-Length", "value": "7" }],
    });
    let picture =
        json!({ "url": format!("{base}/p"), "resourceType": "image", "method": "GET", "headers": [] });
    let route =
        |guid: &str| json!({ "guid": "page", "method": "route", "params": { "route": { "guid": guid } } });
    let lines = vec![
        (
            "initialize",
            vec![
                create(
                    "Playwright",
                    json!({ "preLaunchedBrowser": { "guid": "browser" } }),
                ),
                json!({ "result": { "playwright": { "guid": "Playwright" } } }),
            ],
        ),
        (
            "newContext",
            vec![json!({ "result": { "context": { "guid": "context" } } })],
        ),
        (
            "newPage",
            vec![
                create("page", json!({ "mainFrame": { "guid": "frame" } })),
                json!({ "result": { "page": { "guid": "page" } } }),
            ],
        ),
        // The answer comes when the route was fulfilled: id 6 is that of `goto`.
        (
            "goto",
            vec![
                create("request", request),
                create("route", json!({ "request": { "guid": "request" } })),
                create("picture", picture),
                create("route2", json!({ "request": { "guid": "picture" } })),
                route("route2"),
                route("route"),
            ],
        ),
        (
            "fulfill",
            vec![json!({ "id": 6, "result": { "response": { "guid": "response" } } })],
        ),
        (
            "content",
            vec![json!({ "result": { "value": "<html>done</html>" } })],
        ),
    ];
    let (url, heard) = scripted(lines).await;
    let http = http();
    let options = Options {
        url: &url,
        folder: PathBuf::new(),
        patience: Duration::from_secs(20),
    };
    let mut browser = Browser::open(&http, options).await.unwrap();
    assert_eq!(browser.page(&base).await.unwrap(), "<html>done</html>");
    browser.close().await;
    let heard = heard.lock().clone();
    let said = |method: &str| {
        heard
            .iter()
            .find(|message| message["method"] == method)
            .unwrap()
            .clone()
    };
    assert_eq!(said("initialize")["guid"], "");
    let context = said("newContext");
    assert_eq!(context["guid"], "browser");
    assert_eq!(
        context["params"],
        json!({
            "serviceWorkers": "block", "proxy": { "server": "http://127.0.0.1:1", "bypass": "<-loopback>" },
        })
    );
    let gone = said("goto");
    assert_eq!(
        (&gone["guid"], &gone["id"], &gone["params"]["timeout"]),
        (&json!("frame"), &json!(6), &json!(20_000))
    );
    assert_eq!(said("abort")["guid"], "route2");
    let fulfilled = said("fulfill");
    assert_eq!(fulfilled["guid"], "route");
    assert_eq!(fulfilled["params"]["status"], 200);
    let body = STANDARD
        .decode(fulfilled["params"]["body"].as_str().unwrap())
        .unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), "answer to q own");
    assert_eq!(said("close")["guid"], "context");
}

#[tokio::test]
async fn addresses_that_are_none_are_told() {
    let http = http();
    let open = async |url: &str| {
        let options = Options {
            url,
            folder: PathBuf::new(),
            patience: Duration::from_secs(1),
        };
        Browser::open(&http, options).await.err().unwrap().to_string()
    };
    assert!(
        open("ftp://somewhere")
            .await
            .contains("PLAYWRIGHT_WS_URL begins with ws://")
    );
    let (base, _) = site().await;
    assert!(
        open(&base.replace("http", "ws"))
            .await
            .ends_with("it answers 200")
    );
}
