//! The host with a real Python. Where there is none, or none with pydantic, the tests that need it say so and pass.

use std::time::Duration;

use oui_plugin_host::{Host, HostOptions, HostProblem, Plugin, Which};
use serde_json::{Value, json};

const TOOL: &str = r#"
from typing import Literal, Optional
from pydantic import BaseModel, Field

class Tools:
    class Valves(BaseModel):
        key: str = Field("", description="Key.")
        size: int = 3
        place: str = Field("a", json_schema_extra={"input": {"type": "select", "options": "places"}})

        @classmethod
        def places(cls, __user__=None):
            return ["a", (__user__ or {}).get("name", "nobody")]

    class UserValves(BaseModel):
        unit: Literal["C", "F"] = "C"

    def __init__(self):
        print("noise on standard output")

    async def weather(self, city: str, days: Optional[int] = None) -> str:
        """
        Tells the weather.

        :param city: Name of the city,
            in English.
        :param days: How many days.
        :return: A sentence.
        """
        return city
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

/// A host, if there is a Python with pydantic.
async fn host(options: HostOptions) -> Option<Host> {
    let host = Host::new(options);
    let probe = host
        .inspect(plugin("import pydantic\nclass Tools: pass"), &Value::Null)
        .await;
    if let Err(problem) = &probe {
        eprintln!("skipped: {problem}");
    }
    probe.is_ok().then_some(host)
}

#[tokio::test]
async fn a_tool_is_described() {
    let Some(host) = host(options()).await else {
        return;
    };
    let found = host.inspect(plugin(TOOL), &json!({"size": "x"})).await.unwrap();
    assert_eq!(
        found.specs,
        json!([{
            "name": "weather",
            "description": "Tells the weather.",
            "parameters": {
                "properties": {
                    "city": {"description": "Name of the city,\nin English.", "type": "string"},
                    "days": {"description": "How many days.", "type": "integer"},
                },
                "required": ["city"],
                "type": "object",
            },
        }])
    );
    assert!(found.has_user_valves);
    assert_eq!(found.class, "tools");
    let problem = found.valves_problem.unwrap();
    assert!(
        problem.starts_with("size: Input should be a valid integer"),
        "{problem}"
    );
    let schema = host
        .schema(plugin(TOOL), Which::Valves, &json!({"name": "Ann"}))
        .await
        .unwrap();
    assert_eq!(
        schema["properties"]["place"]["input"],
        json!({"type": "select", "options": ["a", "Ann"]})
    );
    let values = json!({"size": "4", "key": null});
    let kept = host.check(plugin(TOOL), Which::Valves, &values).await.unwrap();
    assert_eq!(kept, Some(json!({"size": 4})));
    let wrong = host
        .check(plugin(TOOL), Which::UserValves, &json!({"unit": "K"}))
        .await;
    assert!(matches!(wrong, Err(HostProblem::Plugin(_))));
    let none = plugin("class Tools: pass");
    assert_eq!(host.check(none, Which::Valves, &json!({})).await.unwrap(), None);
}

#[tokio::test]
async fn functions_are_told_apart() {
    let Some(host) = host(options()).await else {
        return;
    };
    let source = "class Filter:\n    toggle = True\n    def inlet(self, body): return body\n";
    let filter = Plugin {
        is_tool: false,
        id: "f",
        source,
    };
    let found = host.inspect(filter, &Value::Null).await.unwrap();
    assert_eq!((found.class.as_str(), found.toggle), ("filter", true));
    let error = host
        .inspect(
            Plugin {
                source: "x = 1",
                ..filter
            },
            &Value::Null,
        )
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "No Function class found in the module");
    let error = host
        .inspect(plugin("def broken(:"), &Value::Null)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("invalid syntax"), "{error}");
}

#[tokio::test]
async fn a_dead_or_hanging_child_is_replaced() {
    let options = HostOptions {
        time_limit: Duration::from_secs(5),
        ..options()
    };
    let Some(host) = host(options).await else { return };
    let dies = host.inspect(plugin("import os\nos._exit(3)"), &Value::Null).await;
    assert_eq!(dies, Err(HostProblem::Died));
    assert!(host.inspect(plugin(TOOL), &Value::Null).await.is_ok());
    let hangs = host.inspect(plugin("while True: pass"), &Value::Null).await;
    assert_eq!(hangs, Err(HostProblem::TimedOut(Duration::from_secs(5))));
    assert!(host.inspect(plugin(TOOL), &Value::Null).await.is_ok());
    let memory = host
        .inspect(plugin("x = bytearray(64 * 1024 ** 3)"), &Value::Null)
        .await;
    assert!(matches!(memory, Err(HostProblem::Plugin(_))), "{memory:?}");
}

#[tokio::test]
async fn a_missing_interpreter_is_named() {
    let host = Host::new(HostOptions {
        python: "/nowhere/python3".into(),
        ..options()
    });
    let error = host.inspect(plugin(TOOL), &Value::Null).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("'/nowhere/python3' could not be started"),
        "{error}"
    );
}
