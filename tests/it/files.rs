//! Uploaded files from the form to their removal, as the official client handles them.

use http::Method;
use oui_testkit::{Client, Reply, TestApp, both};
use serde_json::{Value, json};

/// A form with one file, as a browser sends it.
pub(crate) async fn upload(client: &Client, query: &str, name: &str, kind: &str, bytes: &[u8]) -> Reply {
    let mut body = format!(
        "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\ncontent-type: {kind}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    let request = client
        .request(Method::POST, &format!("/api/v1/files/{query}"))
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(body);
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    Reply {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
}

/// The file when the work on it has ended.
async fn ended(client: &Client, id: &str) -> Value {
    let stream = client
        .get(&format!("/api/v1/files/{id}/process/status?stream=true"))
        .await;
    assert_eq!(stream.status, 200);
    client.get(&format!("/api/v1/files/{id}")).await.ok()
}

/// Names in the folder of uploads.
fn stored(app: &TestApp) -> usize {
    let folder = app.running().app.settings.server.upload_dir();
    std::fs::read_dir(folder).unwrap().count()
}

both! {
    async fn a_file_is_kept_read_and_removed(app: TestApp) {
        let admin = app.admin().await;
        let alice = app.member(&admin, "alice", "user").await;
        let bob = app.member(&admin, "bob", "user").await;
        let file = upload(&alice, "", "notes.txt", "text/plain", b"The quick brown fox").await.ok();
        let id = file["id"].as_str().unwrap();
        assert_eq!((&file["status"], &file["data"]), (&json!(true), &json!({"status": "pending"})));
        assert_eq!(file["meta"]["size"], 19);
        let file = ended(&alice, id).await;
        assert_eq!(file["data"]["content"], "The quick brown fox");
        assert_eq!(file["data"]["status"], "completed");
        let part = alice.request(Method::GET, &format!("/api/v1/files/{id}/content")).header("range", "bytes=4-8");
        let part = part.send().await.unwrap();
        assert_eq!(part.status(), 206);
        assert_eq!(part.headers()["content-range"], "bytes 4-8/19");
        assert_eq!(part.text().await.unwrap(), "quick");
        for path in ["", "/content", "/data/content", "/process/status"] {
            assert_eq!(bob.get(&format!("/api/v1/files/{id}{path}")).await.status, 404, "{path}");
        }
        assert_eq!(bob.delete(&format!("/api/v1/files/{id}")).await.status, 404);
        assert_eq!(stored(&app), 1);
        alice.delete(&format!("/api/v1/files/{id}")).await.ok();
        assert_eq!(alice.get(&format!("/api/v1/files/{id}")).await.status, 404);
        assert_eq!(stored(&app), 0);
    }

    async fn refused_uploads_leave_nothing(app: TestApp) {
        let admin = app.admin().await;
        let empty = upload(&admin, "", "a.txt", "text/plain", b"").await;
        assert_eq!(empty.status, 400);
        assert_eq!(admin.post("/api/v1/files/", json!({})).await.status, 422);
        assert_eq!(stored(&app), 0);
        assert_eq!(admin.get("/api/v1/files/count").await.ok(), 0);
    }

    async fn uploads_that_break_off_leave_nothing(app: TestApp) {
        use tokio::io::AsyncWriteExt;

        let admin = app.admin().await;
        let url = admin.request(Method::POST, "/api/v1/files/").build().unwrap().url().clone();
        let place = (url.host_str().unwrap().to_owned(), url.port().unwrap());
        let mut stream = tokio::net::TcpStream::connect(place).await.unwrap();
        let head = format!(
            "POST /api/v1/files/ HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {}\r\ncontent-length: 9000000\r\n\
             content-type: multipart/form-data; boundary=edge\r\n\r\n--edge\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n",
            admin.token.as_deref().unwrap()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&[b'a'; 500_000]).await.unwrap();
        // The part is there while the rest is awaited, and goes with the connection.
        while stored(&app) == 0 {
            tokio::task::yield_now().await;
        }
        drop(stream);
        while stored(&app) > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(admin.get("/api/v1/files/count").await.ok(), 0);
    }

    async fn damaged_documents_fail_with_a_reason(app: TestApp) {
        let admin = app.admin().await;
        let file = upload(&admin, "", "a.pdf", "application/pdf", b"no pdf at all").await.ok();
        let file = ended(&admin, file["id"].as_str().unwrap()).await;
        assert_eq!(file["data"]["status"], "failed");
        assert!(file["data"]["error"].as_str().unwrap().contains("damaged"), "{file}");
        let image = upload(&admin, "", "a.png", "image/png", b"\x89PNG\0").await.ok();
        let image = ended(&admin, image["id"].as_str().unwrap()).await;
        assert_eq!(image["data"]["error"], "File type image/png is not supported for processing");
    }

    async fn addresses_inside_are_not_fetched(app: TestApp) {
        let admin = app.admin().await;
        for path in ["web", "url", "youtube"] {
            let body = json!({"url": "http://127.0.0.1:1/secret"});
            let reply = admin.post(&format!("/api/v1/retrieval/process/{path}"), body).await;
            assert_eq!(reply.status, 400);
            assert_eq!(
                reply.body["detail"],
                "[ERROR: Could not read content from http://127.0.0.1:1/secret]"
            );
        }
        let reply = admin.post("/api/v1/retrieval/process/web/search", json!({"queries": ["x"]})).await;
        assert_eq!(reply.status, 403);
    }
}
