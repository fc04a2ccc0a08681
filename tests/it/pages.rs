//! Pages that are attached to a question or fetched by a model: what they say is told and cited, redirects are
//! followed as far as they may be, and addresses inside are refused whichever way they are named.

use std::net::SocketAddr;

use axum::Router;
use axum::response::{Html, Redirect};
use axum::routing::{get, post};
use oui_testkit::{Client, Reply, both};
use serde_json::{Value, json};

const PAGE: &str = "<html><head><title>Birds</title></head><body><h1>Birds</h1><p>The robin sings in winter.</p>\
                    <script>hidden()</script></body></html>";

/// A site on this machine.
async fn site() -> SocketAddr {
    let router = Router::new()
        .route("/birds", get(async || Html(PAGE)))
        .route("/moved", get(async || Redirect::permanent("/birds")))
        .route(
            "/inside",
            get(async || Redirect::temporary("http://169.254.169.254/latest")),
        )
        .route("/around", get(async || Redirect::temporary("/around")));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Plays the site of videos: one has words, the others have none.
async fn videos() -> SocketAddr {
    let player = async |body: axum::Json<Value>| {
        let mut player = json!({ "playabilityStatus": { "status": "OK" } });
        if body.0["videoId"] == "abcdefghijk" {
            let track = json!({ "languageCode": "en", "baseUrl": "/words?lang=en&fmt=srv3" });
            player["captions"] = json!({ "playerCaptionsTracklistRenderer": { "captionTracks": [track] } });
        }
        axum::Json(player)
    };
    let words = async || {
        "<?xml version=\"1.0\"?><transcript><text start=\"0\" dur=\"1\">The robin sings</text>\
         <text start=\"1\" dur=\"1\">&amp;amp; the wren sleeps</text></transcript>"
    };
    let router = Router::new()
        .route(
            "/watch",
            get(async || r#"<script>{"INNERTUBE_API_KEY":"k"}</script>"#),
        )
        .route("/youtubei/v1/player", post(player))
        .route("/words", get(words));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn load(client: &Client, url: &str) -> Reply {
    client
        .post("/api/v1/retrieval/process/web", json!({ "url": url }))
        .await
}

/// What a model that repeats the question says, with a page as the web client attaches it.
async fn ask_about(client: &Client, url: &str, page: &Value) -> Value {
    let file = json!({
        "type": "text", "name": url, "collection_name": page["collection_name"], "status": "uploaded", "url": url,
        "error": "", "file": page["file"],
    });
    let body = json!({
        "model": "echo", "stream": false, "files": [file], "params": { "function_calling": "legacy" },
        "messages": [{ "role": "user", "content": "Which bird sings?" }],
    });
    client.post("/api/chat/completions", body).await.ok()
}

both! {
    async fn pages_are_told_and_cited(app: TestApp) {
        app.admin().await;
        let open = app.beside(&[("ENABLE_RAG_LOCAL_WEB_FETCH", "true")]).await;
        let admin = open.admin().await;
        let url = format!("http://{}/moved", site().await);
        let page = load(&admin, &url).await.ok();
        assert_eq!(page["filename"], url);
        let content = page["content"].as_str().unwrap();
        assert!(content.contains("The robin sings in winter."), "{content}");
        assert!(!content.contains("hidden"), "{content}");
        let answer = ask_about(&admin, &url, &page).await;
        let said = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(said.contains("The robin sings in winter."), "{said}");
        let source = &answer["sources"][0];
        assert_eq!(source["source"]["name"], url);
        assert_eq!(source["metadata"][0]["source"], url);
        assert!(source["document"][0].as_str().unwrap().contains("robin"));

        // Redirects are checked where they lead, and end.
        let base = url.trim_end_matches("/moved");
        for path in ["/inside", "/around"] {
            assert_eq!(load(&admin, &format!("{base}{path}")).await.status, 400, "{path}");
        }
        open.stop().await;
    }

    async fn videos_are_told_and_cited(app: TestApp) {
        app.admin().await;
        let base = format!("http://{}", videos().await);
        let open = app.beside(&[("OUI_YOUTUBE_URL", &base)]).await;
        let admin = open.admin().await;
        let url = "https://www.youtube.com/watch?v=abcdefghijk";
        let video = load(&admin, url).await.ok();
        assert_eq!(video["content"], "The robin sings & the wren sleeps");
        let answer = ask_about(&admin, url, &video).await;
        let said = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(said.contains("The robin sings & the wren sleeps"), "{said}");
        let source = &answer["sources"][0];
        assert_eq!((&source["source"]["name"], &source["metadata"][0]["source"]), (&json!(url), &json!(url)));

        let silent = load(&admin, "https://youtu.be/silent-film").await;
        assert_eq!(silent.status, 400);
        let told = silent.body["detail"].as_str().unwrap();
        assert!(told.contains("Transcripts are disabled for the YouTube video silent-film"), "{told}");
        open.stop().await;
    }

    async fn addresses_inside_are_refused(app: TestApp) {
        let admin = app.admin().await;
        let site = site().await;
        let port = site.port();
        for url in [
            format!("http://127.0.0.1:{port}/birds"),
            format!("http://localhost:{port}/birds"),
            format!("http://2130706433:{port}/birds"),
            format!("http://0x7f000001:{port}/birds"),
            format!("http://0177.0.0.1:{port}/birds"),
            format!("http://[::1]:{port}/birds"),
            format!("http://[::ffff:127.0.0.1]:{port}/birds"),
            format!("http://0.0.0.0:{port}/birds"),
            "http://169.254.169.254/latest".to_owned(),
            "http://10.0.0.1/".to_owned(),
            "file:///etc/passwd".to_owned(),
        ] {
            for path in ["web", "url", "youtube"] {
                let answer = admin.post(&format!("/api/v1/retrieval/process/{path}"), json!({ "url": url })).await;
                assert_eq!(answer.status, 400, "{path} {url}");
                assert!(!answer.body.to_string().contains("robin"), "{path} {url}");
            }
        }
    }
}
