//! Every route is asked by people of every kind; the answer must follow from the policy that its table row names.

use http::Method;
use oui_testkit::{Client, both};
use serde_json::{Value, json};

/// Routes open to anybody. This list may only shrink.
const PUBLIC: &str = include_str!("public_endpoints.txt");

/// A path with every parameter filled.
fn concrete(path: &str) -> String {
    path.split('/')
        .map(|part| {
            if part.starts_with('{') {
                "00000000-0000-4000-8000-000000000000"
            } else {
                part
            }
        })
        .collect::<Vec<_>>()
        .join("/")
}

async fn status(client: &Client, method: &Method, path: &str) -> u16 {
    let body = if method == Method::GET || method == Method::DELETE {
        Value::Null
    } else {
        json!({})
    };
    client.send(method.clone(), &concrete(path), &body).await.status
}

fn refused(status: u16) -> bool {
    status == 401 || status == 403
}

#[test]
fn the_list_of_public_routes_only_shrinks() {
    let listed: Vec<&str> = PUBLIC
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut open = Vec::new();
    for area in oui_server::areas() {
        for (method, path, policy, _) in area.rows() {
            if policy == "Public" || policy == "Optional" {
                open.push(format!("{method} {path}"));
            }
        }
    }
    for route in &open {
        assert!(
            listed.contains(&route.as_str()),
            "{route} is open to anybody but is not in public_endpoints.txt"
        );
    }
    for route in listed {
        assert!(
            open.iter().any(|known| known == route),
            "{route} is closed now; take it out of public_endpoints.txt"
        );
    }
}

both! {
    async fn nobody_reaches_what_they_may_not(app: TestApp) {
        let admin = app.admin().await;
        let pending = app.member(&admin, "pending", "pending").await;
        let user = app.member(&admin, "user", "user").await;
        let nobody = app.anonymous();
        let mut checked = 0;
        for area in oui_server::areas() {
            for (method, path, policy, _) in area.rows() {
                let at = format!("{method} {path} ({policy})");
                if policy == "Public" || policy == "Optional" {
                    continue;
                }
                checked += 1;
                assert_eq!(status(&nobody, method, &path).await, 401, "{at} as nobody");
                if policy != "Authenticated" && policy != "Human" {
                    assert_eq!(status(&pending, method, &path).await, 401, "{at} as pending");
                }
                if policy == "Admin" {
                    assert!(refused(status(&user, method, &path).await), "{at} as user");
                }
            }
        }
        assert!(checked > 50, "only {checked} guarded routes were found");
        // Nothing above may have ended the administrator's session.
        assert_eq!(admin.get("/api/v1/auths/").await.status, 200);
    }
}
