//! Processes that run plugins, with a real Python. Where there is none with pydantic, the tests say so and pass.

use std::time::Duration;

use oui_plugin_host::{Call, HostOptions, HostProblem, Plugin, Runner, Runners, Said};
use serde_json::{Map, Value, json};

const TOOL: &str = r#"
import asyncio, os, time
from typing import Optional
from pydantic import BaseModel
from fastapi.responses import HTMLResponse

class Tools:
    class Valves(BaseModel):
        priority: int = 3
        key: str = ""

    class UserValves(BaseModel):
        unit: str = "C"

    def __init__(self):
        self.valves = self.Valves()
        self.count = 0

    async def all(self, city: str, days: Optional[int] = None, __user__=None, __event_emitter__=None, __event_call__=None):
        """Tells."""
        self.count += 1
        await __event_emitter__({"type": "status", "data": {"city": city}})
        answer = await __event_call__({"type": "input", "data": {}})
        return [city, days, answer, self.valves.key, __user__["valves"].unit, self.count]

    def page(self):
        return HTMLResponse("<p>x</p>", headers={"Content-Disposition": "inline"})

    def words(self):
        for at in range(200):
            yield f"w{at}"

    async def tools(self, __tools__):
        return await __tools__["look"]["callable"](at="sky")

    def hang(self):
        time.sleep(600)

    async def wait(self):
        await asyncio.sleep(600)

    def die(self):
        os._exit(3)

    def large(self):
        return "x" * (40 * 1024 * 1024)

    def wrong(self):
        raise ValueError("not today")
"#;

/// With the Python that `test.sh` names, else the one that is looked up.
fn options() -> HostOptions {
    let mut options = HostOptions::default();
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of the test run, not of the server"
    )]
    let named = std::env::var("OUI_TEST_PYTHON");
    if let Ok(python) = named {
        options.python = python;
    }
    options
}

fn plugin(source: &str) -> Plugin<'_> {
    Plugin {
        is_tool: true,
        id: "weather",
        source,
    }
}

fn question(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

async fn runner(runners: &Runners) -> Option<Runner> {
    match runners.of(plugin(TOOL)).await {
        Ok(runner) => Some(runner),
        Err(problem) => {
            eprintln!("skipped: {problem}");
            None
        }
    }
}

async fn answer(mut call: Call) -> Result<Value, HostProblem> {
    loop {
        if let Said::Answer(answer) = call.next().await? {
            return Ok(answer);
        }
    }
}

#[tokio::test]
async fn calls_see_settings_and_talk_to_the_chat() {
    let runners = Runners::new(options());
    let Some(runner) = runner(&runners).await else {
        return;
    };
    let facts = runner.facts();
    assert!(facts.takes("all", "__user__") && !facts.takes("page", "__user__"));
    assert_eq!(facts.methods["all"].doc.as_deref(), Some("Tells."));
    assert!(facts.priority == 3.0 && facts.has_user_valves && !facts.toggle);
    let mut call = runner.call(
        "all",
        question(json!({
            "given": {"city": 5, "days": "7"}, "extra": {"__user__": {"id": "u"}, "__other__": 1}, "valves": {"key": "k"},
            "user_valves": {"unit": "F"}, "emits": true, "asks": true,
        })),
    );
    let event = json!({"type": "status", "data": {"city": "5"}});
    assert_eq!(call.next().await, Ok(Said::Event(event)));
    let Ok(Said::Ask { number, event }) = call.next().await else {
        panic!("no question")
    };
    assert_eq!(event["type"], "input");
    call.reply(number, &json!("yes"));
    let value = json!({"kind": "value", "value": ["5", 7, "yes", "k", "F", 1]});
    assert_eq!(call.next().await, Ok(Said::Answer(value)));
    let page = answer(runner.call("page", Map::new())).await.unwrap();
    assert_eq!(
        (&page["kind"], &page["body"]),
        (&json!("html"), &json!("<p>x</p>"))
    );
    assert_eq!(page["headers"]["content-disposition"], "inline");
}

#[tokio::test]
async fn streams_go_on_as_they_are_read() {
    let runners = Runners::new(options());
    let Some(runner) = runner(&runners).await else {
        return;
    };
    let mut call = runner.call("words", Map::new());
    for at in 0..200 {
        assert_eq!(call.next().await, Ok(Said::Piece(json!(format!("w{at}")))));
    }
    let end = json!({"kind": "stream", "raw": false});
    assert_eq!(call.next().await, Ok(Said::Answer(end)));
    let look = json!({"look": {"tool_id": "t"}});
    let mut call = runner.call("tools", question(json!({"tools": look})));
    let Ok(Said::Tool {
        number,
        name,
        arguments,
    }) = call.next().await
    else {
        panic!("no call")
    };
    assert_eq!((name.as_str(), &arguments), ("look", &json!({"at": "sky"})));
    call.reply(number, &json!("blue"));
    assert_eq!(answer(call).await.unwrap()["value"], "blue");
}

#[tokio::test]
async fn calls_that_go_wrong_harm_nobody_else() {
    let options = HostOptions {
        call_limit: Duration::from_secs(1),
        ..options()
    };
    let runners = Runners::new(options);
    let Some(first) = runner(&runners).await else {
        return;
    };
    assert_eq!(
        answer(first.call("wrong", Map::new())).await,
        Err(HostProblem::Plugin("not today".into()))
    );
    let large = answer(first.call("large", Map::new())).await.unwrap_err();
    assert!(large.to_string().contains("more than"), "{large}");
    let silent = Err(HostProblem::Silent(Duration::from_secs(1)));
    assert_eq!(answer(first.call("wait", Map::new())).await, silent);
    assert_eq!(answer(first.call("hang", Map::new())).await, silent);
    // The thread that hangs stays behind with its process; the next call gets another one.
    loop {
        // One that is on its way out may answer so.
        let Some(next) = runner(&runners).await else {
            continue;
        };
        let page = answer(next.call("page", Map::new())).await;
        if page.is_ok() && first.call("page", Map::new()).next().await == Err(HostProblem::Died) {
            break;
        }
        tokio::task::yield_now().await;
    }
    let next = runner(&runners).await.unwrap();
    assert_eq!(answer(next.call("die", Map::new())).await, Err(HostProblem::Died));
    let again = runner(&runners).await.unwrap();
    assert!(answer(again.call("page", Map::new())).await.is_ok());
}

#[tokio::test]
async fn a_new_source_gets_a_new_process() {
    let runners = Runners::new(options());
    if runner(&runners).await.is_none() {
        return;
    }
    let source = "class Tools:\n    def page(self): return 'new'";
    let changed = runners.of(plugin(source)).await.unwrap();
    assert_eq!(
        answer(changed.call("page", Map::new())).await.unwrap()["value"],
        "new"
    );
    let wrong = runners.of(plugin("class Other: pass")).await.err();
    assert_eq!(
        wrong,
        Some(HostProblem::Plugin("No Tools class found in the module".into()))
    );
}
