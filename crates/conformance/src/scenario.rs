//! Scenario files: what is sent to a server, by whom, in which order. One YAML file per area below
//! `conformance/scenarios/`, each with scenarios that run on an empty server of their own.
//!
//! `conformance/README.md` describes the format for people who write scenarios.

use std::path::Path as FilePath;

use anyhow::{Context, Result, bail, ensure};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

/// Text by key, in the order of the file.
pub type Table = IndexMap<String, String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The profile of scenarios that name none.
    #[serde(default = "default_profile")]
    profile: String,
    /// Values to refer to by YAML anchors.
    #[serde(default, rename = "values")]
    _values: Value,
    scenarios: Vec<Written>,
}

fn default_profile() -> String {
    "default".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    about: String,
    profile: Option<String>,
    actors: Option<Table>,
    #[serde(default)]
    anonymous_only: bool,
    steps: Vec<WrittenStep>,
}

/// A step as written; one of `call`, `calls`, `connect`, `emit`, `events`, `disconnect`,
/// `upstream`, `script` or `pause` says what it does.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenStep {
    name: Option<String>,
    r#as: Actors,
    call: Option<String>,
    calls: Vec<String>,
    headers: Table,
    token: Option<String>,
    json: Option<Value>,
    cases: IndexMap<String, Value>,
    form: IndexMap<String, FormField>,
    body: Option<String>,
    save: Table,
    until: Option<Value>,
    ignore: Table,
    mask: Table,
    unordered: Table,
    only: Vec<String>,
    connect: Option<Connect>,
    emit: Option<Emit>,
    events: Option<Events>,
    disconnect: Option<String>,
    upstream: Option<Upstream>,
    script: Option<Value>,
    pause: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Actors {
    #[default]
    Default,
    One(String),
    Many(Vec<String>),
}

/// A multipart field: a plain value, or a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum FormField {
    /// A text value.
    Text(String),
    /// A file of this text.
    File {
        /// Its file name.
        file: String,
        /// Its content type.
        r#type: String,
        /// Its content.
        text: String,
    },
}

/// Opens a Socket.IO connection under a name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// The name of the connection; `{{NAME.sid}}` is its socket id.
    pub tab: String,
    /// Whose token it carries; nobody's when absent.
    #[serde(default)]
    pub r#as: Option<String>,
    /// A token to send instead.
    #[serde(default)]
    pub token: Option<String>,
}

/// Sends an event on a connection.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emit {
    /// The connection.
    pub tab: String,
    /// The event's name.
    pub event: String,
    /// Its payload.
    #[serde(default)]
    pub data: Value,
    /// Whether to ask for an acknowledgement and record it.
    #[serde(default)]
    pub ack: bool,
}

/// Waits for events on a connection and records all that came since the last such step.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// The connection.
    pub tab: String,
    /// The last event to wait for: every member given here must be equal. Without it, what has
    /// come when the server has been silent for a moment is recorded.
    #[serde(default)]
    pub until: Option<Value>,
    /// How many events like `until` to wait for.
    #[serde(default = "once")]
    pub count: usize,
    /// Event types that must have come as well, in any order.
    #[serde(default)]
    pub also: Vec<String>,
    /// Event types recorded apart, sorted, because their place depends on timing; with the reason.
    #[serde(default)]
    pub float: Table,
    /// Event types not recorded, with the reason.
    #[serde(default)]
    pub drop: Table,
    /// Event types of which only the last of a row is recorded, with the reason.
    #[serde(default)]
    pub last_of: Table,
    /// Whether only the types in order are recorded, each once per row of equal ones.
    #[serde(default)]
    pub types_only: bool,
    /// Answers to events that ask for one, by type; the recording shows the question.
    #[serde(default)]
    pub answers: IndexMap<String, Value>,
}

fn once() -> usize {
    1
}

/// Records the requests that the provider got since the last such step.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Only requests to this path of the provider; all when absent.
    #[serde(default)]
    pub path: Option<String>,
    /// Members that a request must have, for example `body: {stream: true}`.
    #[serde(default)]
    pub matching: Value,
    /// Whether offered tools are recorded whole, not only by name.
    #[serde(default)]
    pub whole_tools: bool,
    /// How many of them to wait for; without it, what has come by now is recorded.
    #[serde(default)]
    pub count: usize,
}

/// How a recorded answer is treated before it is stored or compared. Paths with their reasons.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// Replaced by `<any>`.
    pub ignore: Table,
    /// Replaced by the type of what is there.
    pub mask: Table,
    /// Lists whose order means nothing.
    pub unordered: Table,
    /// When not empty: only these values are kept.
    pub only: Vec<String>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Call {
    /// Upper case.
    pub method: String,
    /// Path and query, with variables.
    pub path: String,
    /// Who asks; `anonymous` sends no token.
    pub actor: String,
    /// A token sent instead of the actor's.
    pub token: Option<String>,
    /// Further headers.
    pub headers: Table,
    /// What is sent.
    pub body: Body,
    /// Variables to take from the answer, by path.
    pub save: Table,
    /// Members that the JSON answer must have; the request is repeated until then.
    pub until: Option<Value>,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub enum Body {
    /// None at all.
    None,
    /// JSON with variables.
    Json(Value),
    /// This text as it is.
    Raw(String),
    /// `multipart/form-data`.
    Form(IndexMap<String, FormField>),
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// A request.
    Call(Box<Call>),
    /// See [`Connect`].
    Connect(Connect),
    /// See [`Emit`].
    Emit(Emit),
    /// See [`Events`].
    Events(Box<Events>),
    /// Closes the connection of this name.
    Disconnect(String),
    /// See [`Upstream`].
    Upstream(Upstream),
    /// Queues a reply of the provider, in its own script format.
    Script(Value),
    /// Waits this many milliseconds, so that things get different times (most are in seconds).
    Pause(u64),
}

/// One step, fully expanded.
#[derive(Debug, Clone)]
pub struct Step {
    /// Unique enough to find it in the file: what is done by whom.
    pub label: String,
    /// What it does.
    pub action: Action,
    /// Treatment of the answer.
    pub hints: Hints,
}

/// A sequence of steps on an empty server.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file's stem.
    pub area: String,
    /// Unique within the area.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// The environment of the server, see [`crate::profiles`].
    pub profile: String,
    /// People that exist before the first step, with their roles. The first is the admin who signs
    /// up, the others are added by that admin.
    pub actors: Table,
    /// In order.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// `area/name`, as used on the command line and in `pending.txt`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.area, self.name)
    }
}

/// Reads every scenario file of a folder, sorted by area.
///
/// # Errors
/// When a file cannot be read or is not a valid scenario file.
pub fn load_all(folder: &FilePath) -> Result<Vec<Scenario>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
        .collect();
    files.sort();
    let mut scenarios: Vec<Scenario> = Vec::new();
    for path in files {
        let area = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let text = std::fs::read_to_string(&path)?;
        scenarios.extend(parse(&area, &text).with_context(|| format!("in {}", path.display()))?);
    }
    Ok(scenarios)
}

/// Parses one scenario file.
///
/// # Errors
/// When it is not valid; the message names the place.
pub fn parse(area: &str, text: &str) -> Result<Vec<Scenario>> {
    let file: File = serde_saphyr::from_str(text)?;
    let mut scenarios: Vec<Scenario> = Vec::new();
    for written in file.scenarios {
        ensure!(
            scenarios.iter().all(|known| known.name != written.name),
            "two scenarios named {}",
            written.name
        );
        let name = written.name.clone();
        scenarios.push(scenario(area, &file.profile, written).with_context(|| format!("scenario {name}"))?);
    }
    Ok(scenarios)
}

fn scenario(area: &str, profile: &str, written: Written) -> Result<Scenario> {
    let mut actors = Table::new();
    if !written.anonymous_only {
        actors.insert("admin".to_owned(), "admin".to_owned());
        actors.extend(written.actors.unwrap_or_default());
    }
    let mut steps = Vec::new();
    for (index, step) in written.steps.into_iter().enumerate() {
        steps.extend(expand(step).with_context(|| format!("step {}", index + 1))?);
    }
    Ok(Scenario {
        area: area.to_owned(),
        name: written.name,
        about: written.about,
        profile: written.profile.unwrap_or_else(|| profile.to_owned()),
        actors,
        steps,
    })
}

/// One written step becomes one step per call, case and actor.
fn expand(written: WrittenStep) -> Result<Vec<Step>> {
    let hints = Hints {
        ignore: written.ignore.clone(),
        mask: written.mask.clone(),
        unordered: written.unordered.clone(),
        only: written.only.clone(),
    };
    let calls: Vec<String> = written.call.iter().chain(&written.calls).cloned().collect();
    if let Some((label, action)) = other_action(&written)? {
        ensure!(calls.is_empty(), "the step does several things");
        let label = written.name.clone().unwrap_or(label);
        return Ok(vec![Step { label, action, hints }]);
    }
    ensure!(!calls.is_empty(), "the step does nothing");
    let actors = match &written.r#as {
        Actors::Default => vec!["admin".to_owned()],
        Actors::One(actor) => vec![actor.clone()],
        Actors::Many(actors) => actors.clone(),
    };
    let mut steps = Vec::new();
    for call in &calls {
        for actor in &actors {
            for (case, body) in bodies(&written)? {
                steps.push(call_step(
                    &written,
                    call,
                    actor,
                    case.as_deref(),
                    body,
                    hints.clone(),
                )?);
            }
        }
    }
    Ok(steps)
}

fn other_action(written: &WrittenStep) -> Result<Option<(String, Action)>> {
    let mut found = Vec::new();
    if let Some(connect) = written.connect.clone() {
        found.push((format!("connect {}", connect.tab), Action::Connect(connect)));
    }
    if let Some(emit) = written.emit.clone() {
        found.push((format!("emit {} on {}", emit.event, emit.tab), Action::Emit(emit)));
    }
    if let Some(events) = written.events.clone() {
        found.push((
            format!("events on {}", events.tab),
            Action::Events(Box::new(events)),
        ));
    }
    if let Some(tab) = written.disconnect.clone() {
        found.push((format!("disconnect {tab}"), Action::Disconnect(tab)));
    }
    if let Some(upstream) = written.upstream.clone() {
        found.push(("requests to the provider".to_owned(), Action::Upstream(upstream)));
    }
    if let Some(script) = written.script.clone() {
        found.push(("script the provider".to_owned(), Action::Script(script)));
    }
    if let Some(milliseconds) = written.pause {
        found.push(("pause".to_owned(), Action::Pause(milliseconds)));
    }
    ensure!(found.len() <= 1, "the step does several things");
    Ok(found.pop())
}

fn bodies(written: &WrittenStep) -> Result<Vec<(Option<String>, Body)>> {
    let mut found = Vec::new();
    if let Some(json) = &written.json {
        found.push((None, Body::Json(json.clone())));
    }
    if let Some(raw) = &written.body {
        found.push((None, Body::Raw(raw.clone())));
    }
    if !written.form.is_empty() {
        found.push((None, Body::Form(written.form.clone())));
    }
    ensure!(found.len() <= 1, "the step has several bodies");
    let cases = written
        .cases
        .iter()
        .map(|(case, json)| (Some(case.clone()), Body::Json(json.clone())));
    found.extend(cases);
    if found.is_empty() {
        found.push((None, Body::None));
    }
    Ok(found)
}

fn call_step(
    written: &WrittenStep,
    call: &str,
    actor: &str,
    case: Option<&str>,
    body: Body,
    hints: Hints,
) -> Result<Step> {
    let Some((method, path)) = call.split_once(' ') else {
        bail!("{call:?} is not METHOD /path")
    };
    ensure!(path.starts_with('/'), "{call:?} is not METHOD /path");
    let mut label = format!("{call} as {actor}");
    for part in written.name.iter().map(String::as_str).chain(case) {
        label = format!("{label}: {part}");
    }
    let call = Call {
        method: method.to_ascii_uppercase(),
        path: path.trim().to_owned(),
        actor: actor.to_owned(),
        token: written.token.clone(),
        headers: written.headers.clone(),
        body,
        save: written.save.clone(),
        until: written.until.clone(),
    };
    Ok(Step {
        label,
        action: Action::Call(Box::new(call)),
        hints,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
scenarios:
  - name: first
    actors: {alice: user}
    steps:
      - calls: [GET /a, GET /b]
        as: [admin, alice]
      - call: POST /c
        as: anonymous
        cases: {empty: {}, list: []}
        mask: {"$.x": because}
      - emit: {tab: t, event: heartbeat}
  - name: second
    anonymous_only: true
    profile: noauth
    steps: [{call: HEAD /}]
"#;

    #[test]
    fn steps_expand_over_calls_actors_and_cases() {
        let scenarios = parse("area", TEXT).unwrap();
        let labels: Vec<_> = scenarios[0]
            .steps
            .iter()
            .map(|step| step.label.as_str())
            .collect();
        assert_eq!(
            labels,
            [
                "GET /a as admin",
                "GET /a as alice",
                "GET /b as admin",
                "GET /b as alice",
                "POST /c as anonymous: empty",
                "POST /c as anonymous: list",
                "emit heartbeat on t",
            ]
        );
        assert_eq!(scenarios[0].id(), "area/first");
        assert_eq!(scenarios[0].actors.keys().collect::<Vec<_>>(), ["admin", "alice"]);
        assert_eq!(scenarios[0].steps[4].hints.mask["$.x"], "because");
        assert_eq!(
            (scenarios[1].profile.as_str(), scenarios[1].actors.len()),
            ("noauth", 0)
        );
    }

    #[test]
    fn mistakes_are_refused() {
        for steps in [
            "[{calls: []}]",
            "[{call: GET}]",
            "[{call: GET /a, emit: {tab: t, event: e}}]",
            "[{cal: GET /a}]",
        ] {
            let text = format!("scenarios: [{{name: x, steps: {steps}}}]");
            assert!(parse("area", &text).is_err(), "{steps}");
        }
    }
}
