//! Many at once.

use futures::future::join_all;
use oui_core::{Emitter, Room};
use serde_json::json;

use crate::client::{Client, TestServer};

const CLIENTS: usize = 200;
const EVENTS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sockets_hear_everything_in_order() {
    let it = TestServer::start().await;
    for n in 0..CLIENTS {
        it.backend.add_user(&format!("user{n}"), "user");
    }
    let tokens: Vec<String> = (0..CLIENTS).map(|n| format!("user{n}")).collect();
    let mut clients: Vec<Client> = join_all(tokens.iter().map(|token| it.join(token))).await;
    assert_eq!(it.server.active_users(), CLIENTS);
    let room = Room::Channel("all".into());
    it.server.enter_room(&room, &tokens);
    let skipped = clients[0].sid.clone();
    for n in 0..EVENTS {
        it.server.emit(&room, "n", &json!(n), Some(&skipped)).await;
    }
    join_all(clients[1..].iter_mut().map(|client| async move {
        for n in 0..EVENTS {
            assert_eq!(client.event().await, json!(["n", n]));
        }
    }))
    .await;
    clients[0].hears_nothing().await;

    // Half of them leave; the others stay.
    clients.truncate(CLIENTS / 2);
    it.until(|| it.server.active_users() == CLIENTS / 2).await;
    it.server.emit(&room, "n", &json!("rest"), None).await;
    join_all(clients.iter_mut().map(|client| async move {
        assert_eq!(client.event().await, json!(["n", "rest"]));
    }))
    .await;
}
