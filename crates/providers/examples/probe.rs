use axum::response::IntoResponse;
use futures::StreamExt;
use oui_core::Clock;
use oui_providers::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

async fn out(reply: Result<ChatReply, ProviderError>) -> Value {
    match reply {
        Ok(ChatReply::Json(v)) => json!({"status": 200, "body": v}),
        Ok(ChatReply::Stream(mut s)) => {
            let mut text = Vec::new();
            let mut error = Value::Null;
            while let Some(p) = s.body.next().await {
                match p {
                    Ok(p) => text.extend_from_slice(&p),
                    Err(e) => error = json!(e.to_string()),
                }
            }
            json!({"status": s.status.as_u16(), "ct": s.headers.get("content-type").map(|v| v.to_str().unwrap().to_owned()), "stream": String::from_utf8_lossy(&text), "error": error})
        }
        Err(e) => {
            let r = e.into_response();
            let status = r.status().as_u16();
            let ct = r
                .headers()
                .get("content-type")
                .map(|v| v.to_str().unwrap().to_owned());
            let retry = r
                .headers()
                .get("retry-after")
                .map(|v| v.to_str().unwrap().to_owned());
            let b = axum::body::to_bytes(r.into_body(), 1 << 30).await.unwrap();
            let body = serde_json::from_slice(&b).unwrap_or_else(|_| json!(String::from_utf8_lossy(&b)));
            json!({"status": status, "ct": ct, "retry": retry, "body": body})
        }
    }
}

#[tokio::main]
async fn main() {
    let http = Http::new(
        HttpOptions {
            timeouts: Timeouts {
                model_list: Some(Duration::from_secs(2)),
                ..Timeouts::default()
            },
            ..HttpOptions::default()
        },
        Clock::system(),
    )
    .unwrap();
    let client = ProviderClient::new(http.clone(), Clock::system());
    let catalogue = ModelCatalogue::new(http.clone(), Clock::system());
    let ctx = CallContext::for_user(CallUser {
        id: "u".into(),
        name: "Admin".into(),
        email: "a@b.c".into(),
        role: "admin".into(),
    });
    let mut settings = Arc::new(ProviderSettings::default());
    for line in std::io::stdin().lines() {
        let c: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let s = |n: &str| c[n].as_str().unwrap_or_default().to_owned();
        let r = match c["op"].as_str().unwrap() {
            "settings" => {
                let v = c["values"].clone();
                settings = Arc::new(ProviderSettings::read(|k| v.get(k).cloned()));
                catalogue.invalidate();
                json!(null)
            }
            "models" => {
                let snap = catalogue.refresh(&settings, &ctx).await;
                json!({"openai": snap.openai.values().collect::<Vec<_>>(), "ollama": snap.ollama.values().collect::<Vec<_>>(), "base": snap.base_models()})
            }
            "chat" => {
                let snap = catalogue.refresh(&settings, &ctx).await;
                let kind = if c["kind"] == "openai" {
                    ProviderKind::OpenAi
                } else {
                    ProviderKind::Ollama
                };
                match snap.connection(&settings, kind, c["payload"]["model"].as_str().unwrap()) {
                    Some(conn) => out(client.chat(conn, c["payload"].clone(), &ctx).await).await,
                    None => json!("no model"),
                }
            }
            "native" => {
                let snap = catalogue.refresh(&settings, &ctx).await;
                let conn = snap
                    .connection(
                        &settings,
                        ProviderKind::Ollama,
                        c["payload"]["model"].as_str().unwrap(),
                    )
                    .unwrap();
                out(client.ollama.native_chat(conn, c["payload"].clone(), &ctx).await).await
            }
            "verify_openai" => {
                out(
                    verify_openai(&http, &s("url"), &s("key"), Some(&c["config"]), &ctx)
                        .await
                        .map(ChatReply::Json),
                )
                .await
            }
            "verify_ollama" => {
                out(
                    verify_ollama(&http, &s("url"), &s("key"), Some(&c["config"]), &ctx)
                        .await
                        .map(ChatReply::Json)
                        .map_err(Into::into),
                )
                .await
            }
            "params_openai" => {
                let mut b = c["body"].as_object().unwrap().clone();
                params::apply_openai(c["params"].as_object().unwrap().clone(), &mut b);
                json!(b)
            }
            "params_ollama" => {
                let mut b = c["body"].as_object().unwrap().clone();
                params::apply_ollama(c["params"].as_object().unwrap().clone(), &mut b);
                json!(b)
            }
            "usage" => json!(usage::merge(
                c["a"].as_object().unwrap(),
                c["b"].as_object().unwrap()
            )),
            "to_ollama" => json!(ollama_payload::from_openai(c["p"].as_object().unwrap())),
            "to_responses" => json!(responses::from_chat(c["p"].as_object().unwrap().clone())),
            "reduce" => {
                let mut o = responses_stream::OutputItems::default();
                let effects: Vec<Value> = c["events"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|e| match o.apply(e) {
                        None => Value::Null,
                        Some(f) => {
                            json!({"usage": f.usage, "id": f.response_id, "done": f.done, "error": f.error})
                        }
                    })
                    .collect();
                json!({"items": o.items(), "effects": effects})
            }
            other => panic!("{other}"),
        };
        println!("{r}");
    }
}
