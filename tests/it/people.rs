//! What administrators see and set that no recorded scenario shows.

use oui_fake_provider::Script;
use oui_testkit::both;
use serde_json::{Value, json};

fn ratings(board: &Value) -> Vec<(&str, i64)> {
    let entries = board["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            (
                entry["model_id"].as_str().unwrap(),
                entry["rating"].as_i64().unwrap(),
            )
        })
        .collect()
}

fn fields(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn described(schema: &Value) -> Vec<&str> {
    let required = schema["required"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap());
    let mut required: Vec<&str> = required.collect();
    required.sort_unstable();
    assert_eq!(fields(&schema["properties"]), required);
    required
}

both! {
    async fn the_leaderboard_of_a_topic_counts_ratings_that_fit_it(app: TestApp) {
        let admin = app.admin().await;
        // One call for all tags.
        admin.post("/api/v1/configs/import", json!({ "config": { "rag.embedding_batch_size": 10 } })).await.ok();
        for (model, opponent, tags) in [("echo", "slow", json!(["sums"])), ("slow", "other", json!(["poems"]))] {
            let data = json!({ "rating": 1, "model_id": model, "sibling_model_ids": [opponent], "tags": tags });
            admin.post("/api/v1/evaluations/feedback", json!({ "type": "rating", "data": data })).await.ok();
        }
        let vector = |at: usize, vector: [f64; 2]| json!({ "object": "embedding", "index": at, "embedding": vector });
        // The topic, then the tags in their order: poems are half of what is asked for, sums none of it.
        let half = (0.5_f64, 0.75_f64.sqrt());
        let answer = json!({ "object": "list", "data": [vector(0, [1.0, 0.0]), vector(1, [half.0, half.1]), vector(2, [0.0, 1.0])] });
        app.provider.script(Script::json(200, &answer).for_path("/v1/embeddings"));
        let board = admin.get("/api/v1/evaluations/leaderboard?query=%20rhymes%20").await.ok();
        assert_eq!(ratings(&board), [("slow", 1008), ("echo", 1000), ("other", 992)]);
        let asked = &app.provider.requests_to("/v1/embeddings")[0];
        assert_eq!(asked.body["input"], json!(["rhymes", "poems", "sums"]));
        // Without embeddings everything counts.
        app.provider.script(Script::refuse(500).for_path("/v1/embeddings"));
        let board = admin.get("/api/v1/evaluations/leaderboard?query=rhymes").await.ok();
        assert_eq!(ratings(&board), ratings(&admin.get("/api/v1/evaluations/leaderboard").await.ok()));
    }

    async fn the_description_of_the_api_tells_what_quotas_take_and_answer(app: TestApp, &[("ENV", "dev")]) {
        let admin = app.admin().await;
        let document = admin.get("/openapi.json").await.ok();
        let schema = |path: &str, method: &str, place: &str| {
            document["paths"][path][method].pointer(place).unwrap_or_else(|| panic!("{method} {path}")).clone()
        };
        const ANSWER: &str = "/responses/200/content/application~1json/schema";
        const BODY: &str = "/requestBody/content/application~1json/schema";
        let body = schema("/api/v1/quotas", "post", BODY);
        assert_eq!(body["required"], json!(["name", "subject_type", "metric", "period", "limit"]));
        assert_eq!(body["properties"]["limit"]["type"], "number");
        let new = json!({ "name": "Few", "subject_type": "everyone", "metric": "messages", "period": "day", "limit": 3 });
        let quota = admin.post("/api/v1/quotas", new).await.ok();
        let usage = admin.get("/api/v1/quotas/usage").await.ok();
        let id = quota["id"].as_str().unwrap();
        let counters = admin.get(&format!("/api/v1/quotas/id/{id}/usage")).await.ok();
        let reset = admin.delete(&format!("/api/v1/quotas/id/{id}/usage")).await.ok();
        let prices = admin.get("/api/v1/quotas/prices").await.ok();
        for (path, method, answer) in [
            ("/api/v1/quotas", "post", &quota),
            ("/api/v1/quotas/usage", "get", &usage),
            ("/api/v1/quotas/id/{id}/usage", "get", &counters),
            ("/api/v1/quotas/id/{id}/usage", "delete", &reset),
            ("/api/v1/quotas/prices", "get", &prices),
        ] {
            assert_eq!(fields(answer), described(&schema(path, method, ANSWER)), "{method} {path}");
        }
        let used = &schema("/api/v1/quotas/usage", "get", ANSWER)["properties"]["quotas"]["items"];
        assert_eq!(fields(&usage["quotas"][0]), described(used));
        let query = schema("/api/v1/quotas/id/{id}/usage", "delete", "/parameters");
        assert_eq!((&query[1]["name"], &query[1]["in"], &query[1]["required"]), (&json!("user_id"), &json!("query"), &json!(false)));
        // The page that shows the document.
        let page = admin.request(http::Method::GET, "/docs").send().await.unwrap();
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        assert!(page.text().await.unwrap().contains("/openapi.json"));
    }
}
