//! The child process and the questions it answers.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

/// What the child runs.
const SCRIPT: &str = concat!(
    include_str!("python/common.py"),
    include_str!("python/inspect.py")
);

/// Variables that plugins do not get to see: with them they could sign tokens and read the database.
const SECRETS: &[&str] = &[
    "WEBUI_SECRET_KEY",
    "WEBUI_JWT_SECRET_KEY",
    "DATABASE_URL",
    "DATABASE_PASSWORD",
    "REDIS_URL",
];

/// How the child is run.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Interpreter: a name that is looked up, or a path.
    pub python: String,
    /// Longest wait for an answer; after it the child is ended.
    pub time_limit: Duration,
    /// Longest silence of a call to a plugin; after it the call has failed.
    pub call_limit: Duration,
    /// Most memory, in megabytes; 0 for no limit.
    pub memory_limit: u64,
    /// Variables that the child gets in addition.
    pub environment: HashMap<String, String>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            python: "python3".into(),
            // Plugins import large packages when they are loaded.
            time_limit: Duration::from_secs(60),
            call_limit: Duration::from_secs(300),
            memory_limit: 4096,
            environment: HashMap::new(),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostProblem {
    /// The interpreter could not be started.
    NoPython {
        /// The interpreter asked for.
        python: String,
        /// What the system said.
        cause: String,
    },
    /// The plugin took too long.
    TimedOut(Duration),
    /// A call was silent for too long.
    Silent(Duration),
    /// The child ended before it answered.
    Died,
    /// The plugin is wrong: what Python says.
    Plugin(String),
}

impl fmt::Display for HostProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPython { python, cause } => write!(
                out,
                "Tools and functions need Python 3, but '{python}' could not be started ({cause}). Install it with \
                 the package pydantic, or name another interpreter in OUI_PYTHON."
            ),
            Self::TimedOut(limit) => {
                write!(out, "The plugin did not load within {} seconds", limit.as_secs())
            }
            Self::Silent(limit) => {
                write!(
                    out,
                    "The plugin did not answer within {} seconds",
                    limit.as_secs()
                )
            }
            Self::Died => out.write_str("The Python process of the plugin ended before it answered"),
            Self::Plugin(text) => out.write_str(text),
        }
    }
}

impl std::error::Error for HostProblem {}

/// A source.
#[derive(Debug, Clone, Copy)]
pub struct Plugin<'a> {
    /// Whether it is a tool; a function otherwise.
    pub is_tool: bool,
    /// Its id.
    pub id: &'a str,
    /// Python source.
    pub source: &'a str,
}

/// Which settings of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The administrator's.
    Valves,
    /// Those that each user has.
    UserValves,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Valves => "Valves",
            Self::UserValves => "UserValves",
        }
    }
}

/// What a source holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// `tools`, `pipe`, `filter`, `action` or `event`.
    pub class: String,
    /// What a model is told of a tool's methods: `[{name, description, parameters}]`.
    pub specs: Value,
    /// Whether users have settings of their own.
    pub has_user_valves: bool,
    /// Whether users may switch a filter on and off.
    pub toggle: bool,
    /// What is wrong with the stored settings for this source.
    pub valves_problem: Option<String>,
}

/// Starts a script. What it prints beside its answers goes to the log.
pub(crate) fn spawn(
    options: &HostOptions,
    script: &str,
) -> Result<(Child, ChildStdin, ChildStdout), HostProblem> {
    let problem = |cause: String| HostProblem::NoPython {
        python: options.python.clone(),
        cause,
    };
    let mut command = Command::new(&options.python);
    command
        .args(["-u", "-c", script, &options.memory_limit.to_string()])
        .envs(&options.environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in SECRETS {
        command.env_remove(name);
    }
    let mut child = command.spawn().map_err(|error| problem(error.to_string()))?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(questions), Some(answers), Some(printed)) = pipes else {
        return Err(problem("no pipes".into()));
    };
    tokio::spawn(async move {
        let mut lines = BufReader::new(printed).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            tracing::debug!(target: "oui_plugin_host", "{line}");
        }
    });
    Ok((child, questions, answers))
}

struct Running {
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    last: u64,
    // Ends the child when dropped.
    _child: Child,
}

impl Running {
    fn start(options: &HostOptions) -> Result<Self, HostProblem> {
        let (child, questions, answers) = spawn(options, SCRIPT)?;
        Ok(Self {
            questions,
            answers: BufReader::new(answers).lines(),
            last: 0,
            _child: child,
        })
    }

    /// One question and its answer. `None`: the child is gone.
    async fn ask(&mut self, mut question: Map<String, Value>) -> Option<Result<Value, HostProblem>> {
        self.last += 1;
        question.insert("id".into(), json!(self.last));
        let mut line = Value::Object(question).to_string();
        line.push('\n');
        self.questions.write_all(line.as_bytes()).await.ok()?;
        self.questions.flush().await.ok()?;
        loop {
            let line = self.answers.next_line().await.ok()??;
            let Ok(mut reply) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            if reply["id"] != json!(self.last) {
                continue;
            }
            return Some(match reply.get_mut("answer") {
                Some(answer) => Ok(answer.take()),
                None => Err(HostProblem::Plugin(
                    reply["problem"].as_str().unwrap_or_default().to_owned(),
                )),
            });
        }
    }
}

/// The host. Questions are answered one after the other; cheap to clone.
#[derive(Clone)]
pub struct Host {
    options: Arc<HostOptions>,
    running: Arc<Mutex<Option<Running>>>,
    installed: Arc<Mutex<HashSet<String>>>,
}

impl Host {
    /// A host whose child is not started yet.
    pub fn new(options: HostOptions) -> Self {
        Self {
            options: Arc::new(options),
            running: Arc::default(),
            installed: Arc::default(),
        }
    }

    /// Asks, in a task of its own: a caller that goes away must not leave half a question in the pipe.
    async fn ask(&self, question: Map<String, Value>) -> Result<Value, HostProblem> {
        let host = self.clone();
        let task = tokio::spawn(async move { host.exchange(question).await });
        task.await.unwrap_or(Err(HostProblem::Died))
    }

    async fn exchange(&self, question: Map<String, Value>) -> Result<Value, HostProblem> {
        let mut running = self.running.lock().await;
        // A child that died since the last question is replaced once, one that dies of this question is not.
        for started_for_this in [running.is_none(), true] {
            let child = match &mut *running {
                Some(child) => child,
                none => none.insert(Running::start(&self.options)?),
            };
            let answer = tokio::time::timeout(self.options.time_limit, child.ask(question.clone())).await;
            match answer {
                Ok(Some(answer)) => return answer,
                Ok(None) => *running = None,
                Err(_) => {
                    *running = None;
                    return Err(HostProblem::TimedOut(self.options.time_limit));
                }
            }
            if started_for_this {
                break;
            }
        }
        Err(HostProblem::Died)
    }

    /// Installs Python packages that this host has not installed yet.
    pub async fn install(
        &self,
        packages: &[String],
        options: &[String],
        index: &[String],
    ) -> Result<(), HostProblem> {
        let mut installed = self.installed.lock().await;
        let missing: Vec<&String> = packages
            .iter()
            .filter(|name| !installed.contains(*name))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let run = Command::new(&self.options.python)
            .args(["-m", "pip", "install"])
            .args(options)
            .args(&missing)
            .args(index)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        let done = run.map_err(|error| HostProblem::NoPython {
            python: self.options.python.clone(),
            cause: error.to_string(),
        })?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            tracing::warn!("pip: {said}");
            return Err(HostProblem::Plugin(format!(
                "Packages could not be installed: {said}"
            )));
        }
        installed.extend(missing.into_iter().cloned());
        Ok(())
    }

    fn question(ask: &str, plugin: Plugin<'_>) -> Map<String, Value> {
        Map::from_iter([
            ("ask".to_owned(), json!(ask)),
            (
                "kind".to_owned(),
                json!(if plugin.is_tool { "tool" } else { "function" }),
            ),
            ("name".to_owned(), json!(plugin.id)),
            ("source".to_owned(), json!(plugin.source)),
        ])
    }

    /// What a source holds; `valves` are the stored settings, which it has to take.
    pub async fn inspect(&self, plugin: Plugin<'_>, valves: &Value) -> Result<Inspection, HostProblem> {
        let mut question = Self::question("inspect", plugin);
        question.insert("valves".into(), valves.clone());
        let mut answer = self.ask(question).await?;
        let class = answer["class"].as_str().unwrap_or_default().to_lowercase();
        Ok(Inspection {
            class,
            specs: answer["specs"].take(),
            has_user_valves: answer["has_user_valves"] == true,
            toggle: answer["toggle"] == true,
            valves_problem: answer["valves_problem"].as_str().map(str::to_owned),
        })
    }

    /// JSON schema of a plugin's settings, null when it has none. `user` is for lists of choices that depend on who
    /// asks.
    pub async fn schema(&self, plugin: Plugin<'_>, which: Which, user: &Value) -> Result<Value, HostProblem> {
        let mut question = Self::question("schema", plugin);
        question.insert("which".into(), json!(which.name()));
        question.insert("user".into(), user.clone());
        Ok(self.ask(question).await?["schema"].take())
    }

    /// The settings as the plugin reads these values, or `None` when it has no settings.
    pub async fn check(
        &self,
        plugin: Plugin<'_>,
        which: Which,
        values: &Value,
    ) -> Result<Option<Value>, HostProblem> {
        let mut question = Self::question("check", plugin);
        question.insert("which".into(), json!(which.name()));
        question.insert("values".into(), values.clone());
        let mut answer = self.ask(question).await?;
        Ok((answer["known"] == true).then(|| answer["values"].take()))
    }
}
