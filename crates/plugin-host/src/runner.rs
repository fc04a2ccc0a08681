//! Processes that run plugins: one for each plugin in use, started when it is first called, replaced when its source
//! changes, ended when it has not been called for a while. A call that hangs is given up, and its process gets nothing
//! more to do; calls beside it go on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{OnceCell, mpsc};

use crate::host::{HostOptions, HostProblem, Plugin, spawn};

/// What a process runs.
const SCRIPT: &str = concat!(include_str!("python/common.py"), include_str!("python/runner.py"));

/// Bytes of a line. A process limits its messages itself; one that says more is broken.
const LONGEST: usize = 160 * 1024 * 1024;

/// How long a process without calls is kept: its plugin may keep things in memory from call to call.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// How long a plugin that could not be loaded is left alone.
const FAILED: Duration = Duration::from_secs(10);

/// Messages of a call after which the process hears that there is room again.
const TAKEN: u32 = 16;

/// One method of a plugin.
#[derive(Debug, Clone, Default)]
pub struct Method {
    /// Names of its parameters.
    pub parameters: Vec<String>,
    /// Its docstring.
    pub doc: Option<String>,
}

/// What a loaded plugin says about itself.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Its methods by name.
    pub methods: HashMap<String, Method>,
    /// Whether it has settings.
    pub has_valves: bool,
    /// Whether users have settings of their own.
    pub has_user_valves: bool,
    /// Whether it stands for several models.
    pub has_pipes: bool,
    /// Its place among others, unless its settings say otherwise.
    pub priority: f64,
    /// Whether users switch a filter on and off.
    pub toggle: bool,
    /// Whether it takes care of files itself.
    pub file_handler: bool,
    /// `name` of a pipe.
    pub name: Option<String>,
    /// Address of its icon.
    pub icon: Value,
    /// `actions`: null, or a list of `{id, name, icon_url}`.
    pub actions: Value,
}

impl Facts {
    fn read(mut told: Value) -> Self {
        let flag = |name: &str| told[name] == true;
        let method = |about: &Value| Method {
            parameters: about["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            doc: about["doc"].as_str().map(str::to_owned),
        };
        let methods = told["methods"].as_object().into_iter().flatten();
        Self {
            methods: methods
                .map(|(name, about)| (name.clone(), method(about)))
                .collect(),
            has_valves: flag("has_valves"),
            has_user_valves: flag("has_user_valves"),
            has_pipes: flag("has_pipes"),
            priority: told["priority"].as_f64().unwrap_or_default(),
            toggle: flag("toggle"),
            file_handler: flag("file_handler"),
            name: told["name"].as_str().map(str::to_owned),
            icon: told["icon"].take(),
            actions: told["actions"].take(),
        }
    }

    /// Whether a method takes a parameter.
    pub fn takes(&self, method: &str, parameter: &str) -> bool {
        self.methods
            .get(method)
            .is_some_and(|method| method.parameters.iter().any(|name| name == parameter))
    }
}

/// What a call says on its way and at its end.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// An event for the chat.
    Event(Value),
    /// A question to the browser, answered with [`Call::reply`].
    Ask {
        /// Names the question.
        number: u64,
        /// `{type, data}`.
        event: Value,
    },
    /// A tool of the run is to be called; answered with [`Call::reply`].
    Tool {
        /// Names the question.
        number: u64,
        /// Name of the tool.
        name: String,
        /// Its arguments.
        arguments: Value,
    },
    /// A piece of a stream: a text, or `{data}` with the fields of an object.
    Piece(Value),
    /// The result, with its `kind`.
    Answer(Value),
}

struct Process {
    facts: Facts,
    lines: mpsc::UnboundedSender<String>,
    calls: Mutex<HashMap<u64, mpsc::UnboundedSender<Value>>>,
    last: AtomicU64,
    retired: AtomicBool,
    used: Mutex<Instant>,
    child: Mutex<Option<Child>>,
}

impl Process {
    async fn start(options: &HostOptions, plugin: Plugin<'_>) -> Result<Arc<Self>, HostProblem> {
        let (child, mut questions, answers) = spawn(options, SCRIPT)?;
        let mut answers = BufReader::new(answers);
        let first = json!({
            "kind": if plugin.is_tool { "tool" } else { "function" }, "name": plugin.id, "source": plugin.source,
        });
        let load = async {
            write(&mut questions, &first.to_string()).await?;
            line(&mut answers).await
        };
        let told = match tokio::time::timeout(options.time_limit, load).await {
            Ok(Some(told)) => told,
            Ok(None) => return Err(HostProblem::Died),
            Err(_) => return Err(HostProblem::TimedOut(options.time_limit)),
        };
        let mut told: Value = serde_json::from_slice(&told).map_err(|_| HostProblem::Died)?;
        if told.get("facts").is_none() {
            let problem = told["problem"].as_str().unwrap_or_default();
            return Err(HostProblem::Plugin(problem.to_owned()));
        }
        let (lines, to_write) = mpsc::unbounded_channel();
        let process = Arc::new(Self {
            facts: Facts::read(told["facts"].take()),
            lines,
            calls: Mutex::default(),
            last: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            used: Mutex::new(Instant::now()),
            child: Mutex::new(Some(child)),
        });
        tokio::spawn(write_all(questions, to_write));
        tokio::spawn(hear(answers, Arc::downgrade(&process)));
        Ok(process)
    }

    fn is_usable(&self) -> bool {
        !self.retired.load(Ordering::Acquire) && !self.lines.is_closed()
    }

    /// Gives the process nothing more to do. It ends with its last call.
    fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.end_if_idle();
    }

    fn end_if_idle(&self) {
        if self.retired.load(Ordering::Acquire) && self.calls.lock().is_empty() {
            // Dropping the child ends it.
            self.child.lock().take();
        }
    }

    fn say(&self, message: &Value) {
        // A process that is gone is noticed by those who wait for it.
        let _ = self.lines.send(message.to_string());
    }
}

async fn write(questions: &mut ChildStdin, text: &str) -> Option<()> {
    questions.write_all(text.as_bytes()).await.ok()?;
    questions.write_all(b"\n").await.ok()?;
    questions.flush().await.ok()
}

async fn write_all(mut questions: ChildStdin, mut lines: mpsc::UnboundedReceiver<String>) {
    while let Some(text) = lines.recv().await {
        if write(&mut questions, &text).await.is_none() {
            return;
        }
    }
}

/// One line, or nothing when the process has ended or says too much.
async fn line(answers: &mut BufReader<ChildStdout>) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    loop {
        let piece = answers.fill_buf().await.ok()?;
        if piece.is_empty() {
            return None;
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        read.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
        let taken = end.map_or(piece.len(), |end| end + 1);
        answers.consume(taken);
        if end.is_some() {
            return Some(read);
        }
        if read.len() > LONGEST {
            return None;
        }
    }
}

async fn hear(mut answers: BufReader<ChildStdout>, process: Weak<Process>) {
    while let Some(text) = line(&mut answers).await {
        let Some(process) = process.upgrade() else { return };
        let Ok(message) = serde_json::from_slice::<Value>(&text) else {
            continue;
        };
        let id = message["id"].as_u64().unwrap_or_default();
        if let Some(call) = process.calls.lock().get(&id) {
            let _ = call.send(message);
        }
    }
    if let Some(process) = process.upgrade() {
        process.retired.store(true, Ordering::Release);
        // Who waits for an answer hears that there will be none; who calls after this sees that the child is gone.
        process.child.lock().take();
        process.calls.lock().clear();
    }
}

/// A call that runs. Dropping it stops it.
pub struct Call {
    process: Arc<Process>,
    id: u64,
    said: mpsc::UnboundedReceiver<Value>,
    limit: Duration,
    taken: u32,
    over: bool,
}

impl Call {
    /// What the call says next. After an answer or a problem there is nothing more.
    pub async fn next(&mut self) -> Result<Said, HostProblem> {
        loop {
            let mut message = match tokio::time::timeout(self.limit, self.said.recv()).await {
                Ok(Some(message)) => message,
                Ok(None) => {
                    self.end();
                    return Err(HostProblem::Died);
                }
                Err(_) => return Err(HostProblem::Silent(self.limit)),
            };
            if let Some(answer) = message.get_mut("answer") {
                let answer = answer.take();
                self.end();
                return Ok(Said::Answer(answer));
            }
            if let Some(problem) = message.get("problem").and_then(Value::as_str) {
                let problem = HostProblem::Plugin(problem.to_owned());
                self.end();
                return Err(problem);
            }
            self.taken += 1;
            if self.taken == TAKEN {
                self.process.say(&json!({ "more": self.id, "count": TAKEN }));
                self.taken = 0;
            }
            if let Some(said) = read(message) {
                return Ok(said);
            }
        }
    }

    /// Answers a question of the call.
    pub fn reply(&self, number: u64, value: &Value) {
        self.process.say(&json!({ "reply": number, "value": value }));
    }

    fn end(&mut self) {
        self.over = true;
        *self.process.used.lock() = Instant::now();
        self.process.calls.lock().remove(&self.id);
        self.process.end_if_idle();
    }
}

fn read(mut message: Value) -> Option<Said> {
    if let Some(number) = message["ask"].as_u64() {
        return Some(match message["tool"].as_str() {
            Some(name) => Said::Tool {
                number,
                name: name.to_owned(),
                arguments: message["arguments"].take(),
            },
            None => Said::Ask {
                number,
                event: message["event"].take(),
            },
        });
    }
    let message = message.as_object_mut()?;
    if let Some(event) = message.shift_remove("event") {
        return Some(Said::Event(event));
    }
    message.shift_remove("piece").map(Said::Piece)
}

/// How long a call that was stopped may take to say so.
const STOPPING: Duration = Duration::from_secs(2);

impl Drop for Call {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.process.say(&json!({ "cancel": self.id }));
        let (process, id) = (self.process.clone(), self.id);
        let (_, nothing) = mpsc::unbounded_channel();
        let mut said = std::mem::replace(&mut self.said, nothing);
        let stopped = async move {
            let end = async {
                loop {
                    match said.recv().await {
                        Some(message) if message.get("problem").is_some() => {
                            return message["stuck"] == true;
                        }
                        Some(message) if message.get("answer").is_some() => return false,
                        Some(_) => {}
                        None => return true,
                    }
                }
            };
            let stuck = tokio::time::timeout(STOPPING, end).await.unwrap_or(true);
            process.calls.lock().remove(&id);
            if stuck {
                process.retire();
            }
            process.end_if_idle();
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(stopped);
        }
    }
}

type Started = Result<Arc<Process>, HostProblem>;

struct Slot {
    source: String,
    at: Instant,
    process: OnceCell<Started>,
}

impl Slot {
    /// Whether the slot still serves this source.
    fn serves(&self, source: &str) -> bool {
        self.source == source
            && match self.process.get() {
                None => true,
                Some(Ok(process)) => process.is_usable(),
                Some(Err(_)) => self.at.elapsed() < FAILED,
            }
    }
}

/// By whether it is a tool, and by id.
type Slots = HashMap<(bool, String), Arc<Slot>>;

/// The processes by plugin. Cheap to clone.
#[derive(Clone)]
pub struct Runners {
    options: Arc<HostOptions>,
    slots: Arc<Mutex<Slots>>,
}

/// A loaded plugin.
#[derive(Clone)]
pub struct Runner {
    process: Arc<Process>,
    limit: Duration,
}

impl Runner {
    /// What the plugin says about itself.
    pub fn facts(&self) -> &Facts {
        &self.process.facts
    }

    /// Calls a method. `question` has `given` (arguments), `extra` (parameters that the server fills in), `valves`,
    /// `user_valves`, `request`, `tools` and whether the call `emits` events and `asks` browsers.
    pub fn call(&self, method: &str, mut question: Map<String, Value>) -> Call {
        let process = self.process.clone();
        let id = process.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, said) = mpsc::unbounded_channel();
        process.calls.lock().insert(id, sender);
        if !process.is_usable() && process.child.lock().is_none() {
            // It ended in between: nobody else will tell the call.
            process.calls.lock().remove(&id);
        }
        question.insert("call".into(), json!(id));
        question.insert("method".into(), json!(method));
        process.say(&Value::Object(question));
        Call {
            process,
            id,
            said,
            limit: self.limit,
            taken: 0,
            over: false,
        }
    }
}

impl Runners {
    /// Processes that are started with these options.
    pub fn new(options: HostOptions) -> Self {
        Self {
            options: Arc::new(options),
            slots: Arc::default(),
        }
    }

    /// The process of a plugin, started when there is none for its present source.
    pub async fn of(&self, plugin: Plugin<'_>) -> Result<Runner, HostProblem> {
        let key = (plugin.is_tool, plugin.id.to_owned());
        let (slot, before) = {
            let mut slots = self.slots.lock();
            match slots.get(&key).filter(|slot| slot.serves(plugin.source)) {
                Some(slot) => (slot.clone(), None),
                None => {
                    let slot = Arc::new(Slot {
                        source: plugin.source.to_owned(),
                        at: Instant::now(),
                        process: OnceCell::new(),
                    });
                    (slot.clone(), slots.insert(key, slot))
                }
            }
        };
        if let Some(Ok(process)) = before.as_ref().and_then(|slot| slot.process.get()) {
            process.retire();
        }
        self.end_idle();
        let started = slot
            .process
            .get_or_init(|| Process::start(&self.options, plugin))
            .await;
        let process = started.clone()?;
        Ok(Runner {
            process,
            limit: self.options.call_limit,
        })
    }

    /// Ends the processes of plugins that nobody has called for a while.
    fn end_idle(&self) {
        self.slots.lock().retain(|_, slot| match slot.process.get() {
            Some(Ok(process)) => {
                let idle = process.calls.lock().is_empty() && process.used.lock().elapsed() > IDLE;
                if idle {
                    process.retire();
                }
                !idle
            }
            Some(Err(_)) => slot.at.elapsed() < FAILED,
            None => true,
        });
    }
}
