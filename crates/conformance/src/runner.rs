//! Plays a scenario against a server and yields what it answered, step by step. What is done with
//! the answers, recording or comparing, is decided by the caller.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indexmap::IndexMap;
use oui_core::Clock;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    events, hints,
    http::{self, Payload, Request},
    mask::Masker,
    names::Names,
    path::Path,
    provider::Provider,
    scenario::{Action, Body, Call, Emit, Events, Scenario, Step},
    socket::{Event, Socket},
    vars::Vars,
};

/// How often a request is repeated that does not give the wanted answer.
const ATTEMPTS: u32 = 40;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);
/// Silence after which a socket has nothing more to say.
const SILENCE: Duration = Duration::from_millis(800);

/// A server that a scenario runs on, and the state of the run.
pub struct Runner {
    base_url: String,
    client: Client,
    provider: Provider,
    clock: Clock,
    vars: Vars,
    /// Ids seen in this run.
    pub names: Names,
    tabs: IndexMap<String, Socket>,
    patience: Duration,
}

impl Runner {
    /// A run on the server at `base_url`, whose provider is at `provider_url`. Nothing that a step
    /// waits for may take longer than `patience`.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(base_url: &str, provider_url: &str, patience: Duration) -> Result<Self> {
        let client = http::client(patience)?;
        let provider = Provider::new(provider_url, client.clone());
        let mut vars = Vars::default();
        vars.set("base_url", base_url.trim_end_matches('/'));
        vars.set("provider_url", provider.url.clone());
        Ok(Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            client,
            provider,
            clock: Clock::system(),
            vars,
            names: Names::default(),
            tabs: IndexMap::new(),
            patience,
        })
    }

    /// The masker for answers that came just now.
    #[must_use]
    pub fn masker(&self) -> Masker {
        Masker::new(&self.base_url, &self.provider.url, self.clock.nanos())
    }

    /// Makes the people of a scenario: the admin signs up and adds the others.
    ///
    /// # Errors
    /// When the server is not empty or refuses.
    pub async fn prepare(&mut self, scenario: &Scenario) -> Result<()> {
        for (index, (name, role)) in scenario.actors.iter().enumerate() {
            let (path, token) = match index {
                0 => ("/api/v1/auths/signup", None),
                _ => ("/api/v1/auths/add", Some(self.token("admin")?)),
            };
            let (email, password) = (format!("{name}@example.com"), format!("{name}-password"));
            let body = json!({"name": capitalised(name), "email": email, "password": password, "role": role});
            let answer = self
                .post(path, token, body)
                .await
                .with_context(|| format!("making {name}"))?;
            ensure!(answer["status"] == 200, "making {name}: {answer}");
            let id = answer["json"]["id"].as_str().context("a user without id")?;
            self.names.declare(name, id);
            self.vars.set(format!("{name}.id"), id);
            self.vars.set(format!("{name}.email"), email);
            self.vars.set(format!("{name}.password"), password);
            self.vars
                .set(format!("{name}.token"), answer["json"]["token"].clone());
        }
        Ok(())
    }

    async fn post(&self, path: &str, token: Option<String>, body: Value) -> Result<Value> {
        let url = format!("{}{path}", self.base_url);
        let request = Request {
            method: "POST".to_owned(),
            url,
            token,
            headers: IndexMap::new(),
            body: Payload::Json(body),
        };
        http::send(&self.client, request).await
    }

    fn token(&mut self, actor: &str) -> Result<String> {
        self.vars.text(&format!("{{{{{actor}.token}}}}"), &mut self.names)
    }

    /// Plays one step. Returns the answer with the step's hints applied, not yet masked; nothing
    /// when there is nothing to record.
    ///
    /// # Errors
    /// When the step cannot be played at all; an unexpected answer is not an error.
    pub async fn play(&mut self, step: &Step) -> Result<Option<Value>> {
        let answer = match &step.action {
            Action::Call(call) => Some(self.call(call).await?),
            Action::Connect(connect) => {
                let token = match (&connect.token, &connect.r#as) {
                    (Some(token), _) => Some(self.vars.text(token, &mut self.names)?),
                    (None, Some(actor)) => Some(self.token(actor)?),
                    (None, None) => None,
                };
                let socket = Socket::connect(&self.base_url, token.as_deref(), self.patience).await?;
                self.names.declare_literal(&connect.tab, &socket.sid);
                self.vars.set(format!("{}.sid", connect.tab), socket.sid.clone());
                let answer = json!({ "open": socket.open });
                self.tabs.insert(connect.tab.clone(), socket);
                Some(answer)
            }
            Action::Emit(emit) => self.emit(emit).await?,
            Action::Events(spec) => Some(self.events(spec).await?),
            Action::Disconnect(tab) => {
                self.tabs
                    .shift_remove(tab)
                    .with_context(|| format!("no connection {tab}"))?;
                None
            }
            Action::Upstream(wanted) => Some(json!({ "requests": self.provider.requests(wanted).await? })),
            Action::Script(script) => {
                let script = self.vars.json(script, &mut self.names)?;
                self.provider.script(&script).await?;
                None
            }
            Action::Pause(milliseconds) => {
                sleep(Duration::from_millis(*milliseconds)).await;
                None
            }
        };
        let Some(mut answer) = answer else { return Ok(None) };
        let masker = self.masker();
        hints::apply(&mut answer, &step.hints, &|value| {
            masker.blind(value, &self.names)
        })?;
        Ok(Some(answer))
    }

    async fn call(&mut self, call: &Call) -> Result<Value> {
        let mut attempts = 0;
        let answer = loop {
            let request = self.request(call)?;
            let answer = http::send(&self.client, request).await?;
            let Some(until) = &call.until else { break answer };
            let until = self.vars.json(until, &mut self.names)?;
            attempts += 1;
            if events::matches(&until, &answer["json"]) || attempts == ATTEMPTS {
                break answer;
            }
            sleep(BETWEEN_ATTEMPTS).await;
        };
        for (name, path) in &call.save {
            let found = Path::parse(path)?
                .select(&answer["json"])
                .into_iter()
                .next()
                .cloned();
            // A missing value shows up as a difference here and stops the steps that need it.
            if let Some(value) = found {
                if let Some(id) = value.as_str().filter(|text| looks_like_id(text)) {
                    self.names.declare(name, id);
                }
                self.vars.set(name, value);
            }
        }
        Ok(answer)
    }

    fn request(&mut self, call: &Call) -> Result<Request> {
        let (vars, names) = (&mut self.vars, &mut self.names);
        let path = vars.text(&call.path, names)?;
        let token = match (&call.token, call.actor.as_str()) {
            (Some(token), _) => Some(vars.text(token, names)?),
            (None, "anonymous") => None,
            (None, actor) => Some(vars.text(&format!("{{{{{actor}.token}}}}"), names)?),
        };
        let headers = call
            .headers
            .iter()
            .map(|(name, value)| Ok((name.clone(), vars.text(value, names)?)))
            .collect::<Result<_>>()?;
        let body = match &call.body {
            Body::None => Payload::None,
            Body::Json(json) => Payload::Json(vars.json(json, names)?),
            Body::Raw(text) => Payload::Raw(vars.text(text, names)?),
            Body::Form(fields) => Payload::Form(fields.clone().into_iter().collect()),
        };
        Ok(Request {
            method: call.method.clone(),
            url: format!("{}{path}", self.base_url),
            token,
            headers,
            body,
        })
    }

    async fn emit(&mut self, emit: &Emit) -> Result<Option<Value>> {
        let data = self.vars.json(&emit.data, &mut self.names)?;
        let socket = self
            .tabs
            .get(&emit.tab)
            .with_context(|| format!("no connection {}", emit.tab))?;
        let acknowledgement = socket.emit(&emit.event, &data, emit.ack).await?;
        Ok(emit.ack.then(|| json!({ "acknowledgement": acknowledgement })))
    }

    fn answers(&mut self, spec: &Events) -> Result<IndexMap<String, Value>> {
        spec.answers
            .iter()
            .map(|(kind, answer)| Ok((kind.clone(), self.vars.json(answer, &mut self.names)?)))
            .collect()
    }

    /// Gets ready for the first of these steps: what the server asks may come before the step that reads the events,
    /// so the answers of the next such step are given to its connection now. Those with values that are still to
    /// come have to wait for the step.
    pub fn foresee(&mut self, steps: &[Step]) {
        let next = steps.iter().find_map(|step| match &step.action {
            Action::Events(spec) if !spec.answers.is_empty() => Some(spec),
            _ => None,
        });
        if let Some(spec) = next
            && let Ok(answers) = self.answers(spec)
            && let Some(socket) = self.tabs.get(&spec.tab)
        {
            socket.answer(answers);
        }
    }

    async fn events(&mut self, spec: &Events) -> Result<Value> {
        let until = spec
            .until
            .as_ref()
            .map(|until| self.vars.json(until, &mut self.names))
            .transpose()?;
        let answers = self.answers(spec)?;
        let socket = self
            .tabs
            .get(&spec.tab)
            .with_context(|| format!("no connection {}", spec.tab))?;
        socket.answer(answers);
        let came = match until {
            Some(until) => {
                let is_last = |event: &Event| {
                    event
                        .arguments
                        .first()
                        .is_some_and(|payload| events::matches(&until, payload))
                        || until == json!(event.name)
                };
                let enough = |came: &[Event]| {
                    came.iter().filter(|event| is_last(event)).count() >= spec.count
                        && spec
                            .also
                            .iter()
                            .all(|kind| came.iter().any(|event| event.kind() == kind))
                };
                socket.take_until(enough).await?
            }
            None => socket.take_rest(SILENCE).await,
        };
        let mut answer = json!({ "events": events::describe(&came, spec) });
        if socket.is_closed() {
            answer["closed"] = json!(true);
        }
        if let Some(Value::Array(floating)) = answer.pointer_mut("/events/at any place") {
            let masker = self.masker();
            hints::sort(floating, &|value| masker.blind(value, &self.names));
        }
        Ok(answer)
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Whether a saved text is worth a name of its own: ids are, titles and emails are not.
fn looks_like_id(text: &str) -> bool {
    text.len() >= 16
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-' || byte == b'_')
        || text.starts_with("msg_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_get_names() {
        assert!(looks_like_id("3f2b4c6d-0000-4000-8000-000000000001"));
        assert!(!looks_like_id("A new title"));
        assert!(!looks_like_id("eyJhbGciOi"));
    }

    #[test]
    fn people_are_called_after_their_actor() {
        assert_eq!(capitalised("alice"), "Alice");
        assert_eq!(capitalised(""), "");
    }
}
