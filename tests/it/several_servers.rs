//! Two servers on one database and one Redis: what one of them does is known to the other.

use oui_models::{chat_messages, stream_journal};
use oui_testkit::{Backend, TestApp};
use serde_json::json;

use crate::durability::open_reply;

/// Two servers, the second on the database of the first; `None` without the services for tests.
#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the test run, not of the server"
)]
async fn two() -> Option<(TestApp, TestApp)> {
    let Ok(redis) = std::env::var("OUI_TEST_REDIS_URL") else {
        eprintln!("left out: no OUI_TEST_REDIS_URL");
        return None;
    };
    let prefix = format!("oui-test-{}", oui_core::ids::uuid());
    let variables = [
        ("REDIS_URL", redis.as_str()),
        ("REDIS_KEY_PREFIX", prefix.as_str()),
    ];
    let first = TestApp::with_environment(Backend::Postgres, &variables).await?;
    let second = first.beside(&variables).await;
    Some((first, second))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_does_the_other_knows() {
    let Some((first, second)) = two().await else {
        return;
    };
    let admin = first.admin().await;
    let there = second.sign_in("admin@example.org", "admin-password").await;

    // Settings.
    let banners = json!({ "banners": [{
        "id": "b", "type": "info", "title": "", "content": "Hello", "dismissible": true, "timestamp": 1,
    }] });
    admin.post("/api/v1/configs/banners", banners).await.ok();
    for _ in 0..100 {
        if there.get("/api/v1/configs/banners").await.ok()[0]["content"] == "Hello" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(
        there.get("/api/v1/configs/banners").await.ok()[0]["content"],
        "Hello"
    );

    // A token that is signed out at one server is void at both.
    admin
        .post("/api/v1/auths/signout", serde_json::Value::Null)
        .await
        .ok();
    let mut elsewhere = second.anonymous();
    elsewhere.token.clone_from(&admin.token);
    assert_eq!(elsewhere.get("/api/v1/auths/").await.status, 401);
    assert_eq!(
        there.get("/api/v1/auths/").await.status,
        200,
        "another session goes on"
    );

    // Tries to sign in are counted together.
    let wrong = json!({ "email": "admin@example.org", "password": "wrong" });
    let (a, b) = (first.anonymous(), second.anonymous());
    let mut last = 0;
    for turn in 0..16 {
        let client = if turn % 2 == 0 { &a } else { &b };
        last = client.post("/api/v1/auths/signin", wrong.clone()).await.status;
    }
    assert_eq!(last, 429);
    // The database goes with the first.
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_leaves_the_replies_of_others_alone() {
    let Some((first, second)) = two().await else {
        return;
    };
    first.admin().await;
    let db = first.db();
    open_reply(&first, None, db.now() - 80).await;
    assert_eq!(second.running().app.chat.recover().await.unwrap(), 0);

    // Somebody who writes it gives signs of life, by its task or by itself; those of others do not count.
    let ids = |id: &str| [id.to_owned()];
    for (task, message, counts) in [("t", "x", true), ("x", "a", true), ("x", "x", false)] {
        let mut row = stream_journal::all(db).await.unwrap().remove(0);
        row.updated_at = 1;
        stream_journal::update(db, &[row]).await.unwrap();
        stream_journal::touch(db, &ids(task), &ids(message))
            .await
            .unwrap();
        let touched = stream_journal::all(db).await.unwrap()[0].updated_at;
        assert_eq!(touched > 1, counts, "{task} {message}");
    }

    // One that nobody writes any more is completed, once.
    let mut row = stream_journal::all(db).await.unwrap().remove(0);
    row.updated_at = db.now() - 100;
    stream_journal::update(db, &[row]).await.unwrap();
    assert_eq!(second.running().app.chat.recover().await.unwrap(), 1);
    assert_eq!(first.running().app.chat.recover().await.unwrap(), 0);
    let messages = chat_messages::map(db, "chat-1").await.unwrap().unwrap();
    assert_eq!(messages["a"]["done"], true);
    second.stop().await;
    first.stop().await;
}
