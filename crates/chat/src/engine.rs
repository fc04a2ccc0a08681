//! The engine: everything a run needs, built once, and the way in for requests.

use oui_core::boxed;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use http::HeaderMap;
use oui_access::Authenticator;
use oui_config::{Config, Settings};
use oui_core::{ApiError, ApiResult, Clock, Emitter, Notice, Notices, ids, messages};
use oui_models::users::UserRow;
use oui_models::{Db, DbResult};
use oui_plugins::servers::Patience;
use oui_plugins::{FileKeeper, Notifier, Python, ToolServers};
use oui_providers::{ByteStream, Http, HttpOptions, ModelCatalogue, ProviderClient, StreamError, TlsVerify};
use oui_retrieval::Retrieval;
use oui_web_search::Web;
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, Model, Models};
use crate::delegation::{self, Agents};
use crate::emit::{ChatEmitter, ToolReporter};
use crate::run::Run;
use crate::streams::Streams;
use crate::tasks::TaskRegistry;
use crate::turn::truthy;
use crate::turn::{ChatKind, Internal, Object, Resume, RunUser, Turn};
use crate::web_search::Reader;
use crate::{inbox, journal, place, timers};

/// What an engine is built from.
pub struct EngineParts {
    /// Database.
    pub db: Db,
    /// Configuration keys.
    pub config: Arc<Config>,
    /// Process settings.
    pub settings: Arc<Settings>,
    /// Permissions of users.
    pub auth: Arc<Authenticator>,
    /// Reaches browsers.
    pub emitter: Arc<dyn Emitter>,
    /// Reaches providers.
    pub providers: ProviderClient,
    /// Finds passages of documents.
    pub retrieval: Arc<Retrieval>,
    /// Pages and search engines.
    pub web: Arc<Web>,
}

/// Chat runs, the model catalogue and the provider connections.
pub struct Engine {
    /// Itself, for what goes on after a run.
    pub(crate) me: Weak<Self>,
    pub(crate) db: Db,
    pub(crate) config: Arc<Config>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Clock,
    pub(crate) auth: Arc<Authenticator>,
    pub(crate) emitter: Arc<dyn Emitter>,
    pub(crate) retrieval: Arc<Retrieval>,
    pub(crate) web: Arc<Web>,
    pub(crate) pages: Arc<Reader>,
    /// Reaches providers.
    pub providers: ProviderClient,
    /// Which models there are.
    pub catalogue: Catalogue,
    /// OpenAPI servers with tools.
    pub tool_servers: Arc<ToolServers>,
    /// Runs tools and functions that are Python source.
    pub python: Python,
    /// Keeps files that come with results of tools.
    pub(crate) files: OnceLock<Arc<dyn FileKeeper>>,
    /// Hears of finished and failed replies.
    notices: OnceLock<Arc<dyn Notices>>,
    /// Reaches users outside their chats.
    pub(crate) notifier: OnceLock<Arc<dyn Notifier>>,
    /// Running tasks.
    pub tasks: Arc<TaskRegistry>,
    /// Replies in flight.
    pub streams: Arc<Streams>,
    /// Sub-agents at work.
    pub(crate) agents: Agents,
}

/// What a completion request is answered with.
pub enum Completion {
    /// A JSON body with status 200: a whole reply, or the ids of the started tasks.
    Json(Value),
    /// A stream of events.
    Stream {
        /// Headers of the provider that are passed on.
        headers: HeaderMap,
        /// Bytes as they come.
        body: ByteStream,
    },
}

impl Engine {
    /// Puts an engine together. Call it inside the async runtime.
    pub fn new(parts: EngineParts) -> Arc<Self> {
        let EngineParts {
            db,
            config,
            settings,
            auth,
            emitter,
            providers,
            retrieval,
            web,
        } = parts;
        let clock = db.clock().clone();
        let config_of_pages = config.clone();
        let upstream = ModelCatalogue::new(providers.http.clone(), clock.clone());
        let python = Python::new(settings.clone());
        let catalogue = Catalogue::new(
            db.clone(),
            config.clone(),
            settings.clone(),
            python.clone(),
            upstream,
        );
        let tool_servers = Arc::new(tool_servers(&settings, &providers, &clock));
        let streams = Arc::new(Streams::default());
        let tasks = Arc::new(TaskRegistry::default());
        let alone = is_alone(&settings);
        tokio::spawn(journal::run(db.clone(), streams.clone(), tasks.clone(), alone));
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            db,
            config,
            settings,
            clock,
            auth,
            emitter,
            pages: Arc::new(Reader::new(web.clone(), config_of_pages)),
            retrieval,
            web,
            providers,
            catalogue,
            tool_servers,
            python,
            files: OnceLock::new(),
            notices: OnceLock::new(),
            notifier: OnceLock::new(),
            tasks,
            streams,
            agents: Agents::default(),
        })
    }

    /// Lets files that come with results of tools be kept. Without this they stay in the chat as data.
    pub fn keep_files_with(&self, files: Arc<dyn FileKeeper>) {
        // The first one stays.
        let _ = self.files.set(files);
    }

    /// Tells these of replies. Without this nobody hears of them.
    pub fn tell_through(&self, notices: Arc<dyn Notices>) {
        // The first one stays.
        let _ = self.notices.set(notices);
    }

    /// Those who hear of events.
    pub(crate) fn notices(&self) -> Option<Arc<dyn Notices>> {
        self.notices.get().cloned()
    }

    /// Whether anybody wants to hear of an event.
    pub(crate) fn is_wanted(&self, name: &str) -> bool {
        self.notices.get().is_some_and(|notices| notices.is_wanted(name))
    }

    /// Tells those who want to hear of it.
    pub(crate) fn tell(&self, notice: Notice) {
        if let Some(notices) = self.notices.get() {
            notices.publish(notice);
        }
    }

    /// Lets models send notifications. Without this they have no tool for it.
    pub fn notify_with(&self, notifier: Arc<dyn Notifier>) {
        // The first one stays.
        let _ = self.notifier.set(notifier);
    }

    /// Completes replies that a crash cut off and forgets old counters. Call it once, before serving. With other servers
    /// on the database it goes on to look for replies of those that are gone.
    #[boxed]
    pub async fn recover(self: &Arc<Self>) -> DbResult<usize> {
        oui_models::quotas::forget_old(&self.db).await?;
        let alone = is_alone(&self.settings);
        if !alone {
            tokio::spawn(look_for_lost(Arc::downgrade(self)));
        }
        self.complete_lost(alone).await
    }

    async fn complete_lost(self: &Arc<Self>, alone: bool) -> DbResult<usize> {
        let chats = journal::recover(&self.db, alone).await?;
        for chat_id in &chats {
            if let Err(error) = delegation::recovered(self, chat_id).await {
                tracing::error!(%error, chat_id, "the end of a sub-agent could not be told");
            }
            inbox::watch(self.clone(), chat_id.clone(), Object::new());
        }
        Ok(chats.len())
    }

    /// Stops every run; each saves what it has.
    #[boxed]
    pub async fn shut_down(&self) {
        self.tasks.stop_all().await;
    }

    /// Answers a completion request.
    #[boxed]
    pub async fn complete(self: &Arc<Self>, user: RunUser, body: Object) -> ApiResult<Completion> {
        self.complete_as(user, body, None, None).await
    }

    /// [`Engine::complete`] for a sub-agent.
    pub(crate) async fn complete_internal(
        self: &Arc<Self>,
        user: RunUser,
        body: Object,
        internal: Internal,
    ) -> ApiResult<Completion> {
        self.complete_as(user, body, None, Some(internal)).await
    }

    /// [`Engine::complete`] for a reply that goes on after a tool call was resolved.
    pub(crate) async fn complete_after(
        self: &Arc<Self>,
        user: RunUser,
        body: Object,
        resume: Option<Resume>,
    ) -> ApiResult<Completion> {
        self.complete_as(user, body, resume, None).await
    }

    async fn complete_as(
        self: &Arc<Self>,
        user: RunUser,
        body: Object,
        resume: Option<Resume>,
        internal: Option<Internal>,
    ) -> ApiResult<Completion> {
        let models = self.catalogue.known(&user.call).await?;
        let requested = body
            .get("model")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let direct = body.get("model_item").and_then(Model::direct);
        let model = match direct.filter(|direct| direct.id == requested) {
            // It is the user's own server.
            Some(direct) => direct,
            None => self.usable(&user.user, &requested, &models).await?,
        };
        if resume.is_none() {
            self.check_quota(&user.user.id, &model).await?;
        }
        let mut turn = Turn::read(user, body)?;
        turn.resume = resume;
        turn.internal = internal;
        if turn.session_id.is_some() && turn.chat != ChatKind::None {
            return self.start_runs(turn, model, models).await;
        }
        if let Some(chat_id) = turn.chat.saved().map(str::to_owned) {
            // A caller without a socket gets its place in the chat and the answer in the response.
            let tasks: Vec<String> = turn.targets.iter().map(|_| ids::uuid()).collect();
            self.place(&mut turn, &chat_id, &tasks).await?;
        }
        Run::inline(self.clone(), turn, model, models).await
    }

    /// The model, if the user may use it.
    #[boxed]
    pub async fn usable(&self, user: &UserRow, id: &str, models: &Models) -> ApiResult<Arc<Model>> {
        let not_found = || ApiError::bad_request("Model not found");
        let model = models.get(id).ok_or_else(not_found)?;
        if !self.catalogue.may_use(user, model).await? {
            return Err(not_found());
        }
        let base = model
            .registered
            .as_ref()
            .and_then(|registered| registered.row.base_model_id.clone());
        let is_orphan = base
            .filter(|base| !base.is_empty())
            .is_some_and(|base| !known_base(models, &base));
        if !is_orphan {
            return Ok(model.clone());
        }
        let fallback = self.fallback(models).ok_or_else(not_found)?;
        if self.catalogue.may_use(user, &fallback).await? {
            Ok(fallback)
        } else {
            Err(not_found())
        }
    }

    /// The first default model, where the operator lets it stand in for models whose base is gone.
    fn fallback(&self, models: &Models) -> Option<Arc<Model>> {
        if !self.settings.chat.model_fallback {
            return None;
        }
        let defaults = self
            .config
            .get(&oui_config::ui::DEFAULT_MODELS)
            .unwrap_or_default();
        let first = defaults.split(',').map(str::trim).find(|id| !id.is_empty())?;
        models.get(first).cloned()
    }

    /// Refuses users who are held to temporary chats.
    #[boxed]
    pub async fn may_create_chats(&self, user: &UserRow) -> ApiResult<()> {
        if user.role == oui_access::ADMIN {
            return Ok(());
        }
        let permissions = self.auth.permissions_of(&user.id).await?;
        if permissions.has("chat.temporary") && permissions.has("chat.temporary_enforced") {
            return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
        }
        Ok(())
    }

    /// Sends an event about a message of a saved chat: to the tabs of `user_id` and, as far as it concerns them, to
    /// others who have the chat open.
    #[boxed]
    pub async fn relay_event(&self, user_id: &str, chat_id: &str, message_id: &str, event: &Value) {
        let chat = ChatKind::Saved(chat_id.to_owned());
        ChatEmitter::new(self.emitter.clone(), user_id, &chat, Some(message_id), None)
            .relay(event)
            .await;
    }

    /// Makes the turn's place in its saved chat and tells the other tabs.
    async fn place(&self, turn: &mut Turn, chat_id: &str, tasks: &[String]) -> ApiResult<()> {
        let emitter = self.emitter_for(turn, None);
        if turn.is_new_chat {
            let placed = place::new_chat(self, turn, tasks).await?;
            let _ = turn.folder.set(turn.folder_id.clone());
            self.tell_new_chat(turn);
            self.emit_chat_list(turn, &emitter).await?;
            self.tell_messages(turn, &placed);
            return Ok(());
        }
        let chat = place::writable(self, turn, chat_id).await?;
        let _ = turn.folder.set(chat.folder_id.clone());
        if chat.is_owned_by(&turn.user.user.id) {
            if turn.chat_variables.is_none() {
                turn.chat_variables = chat.variables.as_ref().and_then(Value::as_object).cloned();
            }
        } else {
            turn.chat_variables = None;
        }
        if let Some(reply_id) = turn.assistant_message_id.clone() {
            turn.user_message_id = place::continued(turn, &chat, &reply_id)?;
            if let (Some(task), true) = (tasks.first(), turn.session_id.is_some()) {
                let user_id = &turn.user.user.id;
                oui_models::chat_edits::resume_reply(&self.db, chat_id, &reply_id, user_id, task).await?;
            }
            return Ok(());
        }
        let placed = place::follow_up(self, turn, chat, tasks).await?;
        turn.has_inbox = placed.has_inbox;
        self.note_user_message(turn, chat_id).await;
        if !placed.owned {
            turn.tasks = turn.tasks.without_chat_tasks();
        }
        emitter
            .about(placed.current_id.as_deref())
            .send(
                "chat:messages",
                json!({ "messages": &placed.messages, "currentId": &placed.current_id }),
            )
            .await;
        self.emit_chat_list(turn, &emitter).await?;
        self.tell_messages(turn, &placed);
        Ok(())
    }

    /// Calls off timers that were only to go off if the user said nothing more.
    async fn note_user_message(&self, turn: &Turn, chat_id: &str) {
        let by_server = |message: &Object| {
            let mark = message.get("meta").and_then(|meta| meta.get("internal"));
            mark.is_some_and(truthy)
        };
        let by_user = turn.internal.is_none()
            && turn
                .user_message
                .as_ref()
                .is_some_and(|message| !by_server(message));
        if !by_user {
            return;
        }
        let user_id = &turn.user.user.id;
        if let Err(error) = oui_models::timers::cancel(&self.db, chat_id, user_id, timers::USER_MESSAGE).await
        {
            tracing::error!(%error, chat_id, "timers of a chat could not be called off");
        }
    }

    async fn emit_chat_list(&self, turn: &Turn, emitter: &ChatEmitter) -> ApiResult<()> {
        let folder_id = self.folder_of(turn).await?;
        emitter
            .about(turn.user_message_id.as_deref())
            .send(
                "chat:list",
                json!({ "chat_id": turn.chat.id(), "folder_id": folder_id }),
            )
            .await;
        Ok(())
    }

    /// Folder of the turn's chat, as it was when the turn first asked.
    pub(crate) async fn folder_of(&self, turn: &Turn) -> ApiResult<Option<String>> {
        if turn.folder_id.is_some() {
            return Ok(turn.folder_id.clone());
        }
        let Some(chat_id) = turn.chat.saved() else {
            return Ok(None);
        };
        let look_up = || oui_models::chats::folder_id(&self.db, chat_id);
        Ok(turn.folder.get_or_try_init(look_up).await?.clone())
    }

    /// The way back to the chat for a plugin that is called outside a run.
    pub(crate) fn reporter(
        &self,
        user_id: &str,
        chat_id: Option<&str>,
        message_id: Option<&str>,
        session_id: Option<&str>,
    ) -> ToolReporter {
        let chat = ChatKind::read(chat_id.unwrap_or_default());
        ToolReporter {
            emitter: ChatEmitter::new(self.emitter.clone(), user_id, &chat, message_id, session_id),
            db: self.db.clone(),
            limit: self.settings.websocket.call_timeout,
        }
    }

    pub(crate) fn emitter_for(&self, turn: &Turn, message_id: Option<&str>) -> ChatEmitter {
        let session = turn.session_id.as_deref();
        ChatEmitter::new(
            self.emitter.clone(),
            &turn.user.user.id,
            &turn.chat,
            message_id,
            session,
        )
        .internal(turn.internal.is_some())
    }

    /// Starts one run per target and answers at once.
    async fn start_runs(
        self: &Arc<Self>,
        mut turn: Turn,
        model: Arc<Model>,
        models: Arc<Models>,
    ) -> ApiResult<Completion> {
        let tasks: Vec<String> = turn.targets.iter().map(|_| ids::uuid()).collect();
        if let Some(chat_id) = turn.chat.saved().map(str::to_owned) {
            self.place(&mut turn, &chat_id, &tasks).await?;
        }
        let turn = Arc::new(turn);
        let early_title = turn.is_new_chat && turn.tasks.title.is_some();
        let mut runs = Vec::new();
        for (index, (target, task_id)) in turn.targets.iter().zip(&tasks).enumerate() {
            let Some(message_id) = target.message_id.clone() else {
                continue;
            };
            let model = match models.get(&target.model_id) {
                Some(other) if target.model_id != turn.requested_model() => other.clone(),
                _ => model.clone(),
            };
            let mut after = turn.tasks;
            if index > 0 {
                after = after.without_chat_tasks();
            }
            if early_title {
                after.title = None;
            }
            let run = Run {
                engine: self.clone(),
                turn: turn.clone(),
                emitter: self.emitter_for(&turn, Some(&message_id)),
                message_id,
                model,
                models: models.clone(),
                after,
                titled: early_title,
            };
            let ticket = self
                .tasks
                .register(Some(task_id.clone()), turn.chat.id(), &turn.user.user.id);
            runs.push((run, ticket));
        }
        let started: Vec<String> = runs.iter().map(|(_, ticket)| ticket.id.clone()).collect();
        if !started.is_empty() && turn.internal.is_none() {
            let first = turn
                .targets
                .first()
                .and_then(|target| target.message_id.as_deref());
            let folder_id = self.folder_of(&turn).await?;
            self.emitter_for(&turn, first)
                .send("chat:active", json!({ "active": true, "folder_id": folder_id }))
                .await;
        }
        for (index, (run, ticket)) in runs.into_iter().enumerate() {
            if early_title && index == 0 {
                tokio::spawn(run.clone().title_of_new_chat());
            }
            tokio::spawn(run.execute(ticket));
        }
        Ok(Completion::Json(
            json!({ "status": true, "task_ids": started, "chat_id": turn.chat.id() }),
        ))
    }
}

/// Whether no other server writes to the database. Several need Redis.
fn is_alone(settings: &Settings) -> bool {
    settings.redis.url.is_none()
}

/// Completes the replies of servers that are gone, until this one is.
async fn look_for_lost(engine: Weak<Engine>) {
    loop {
        tokio::time::sleep(journal::LOOK).await;
        let Some(engine) = engine.upgrade() else { return };
        match engine.complete_lost(false).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(count, "completed replies of a server that is gone"),
            Err(error) => tracing::error!(%error, "could not look for replies of servers that are gone"),
        }
    }
}

/// The pool for tool servers, which may trust other certificates than providers are held to.
fn tool_servers(settings: &Settings, providers: &ProviderClient, clock: &Clock) -> ToolServers {
    use oui_config::settings::TlsVerify as Wanted;
    let tls = match &settings.upstream.tool_tls {
        Wanted::On => TlsVerify::System,
        Wanted::Off => TlsVerify::Off,
        Wanted::CaFile(path) => TlsVerify::CaFile(path.clone()),
    };
    let options = HttpOptions {
        tls,
        ..providers.http.options().clone()
    };
    let http = Http::new(options, clock.clone()).unwrap_or_else(|error| {
        tracing::error!(
            error,
            "the certificates for tool servers cannot be used; those for providers are"
        );
        providers.http.clone()
    });
    let patience = Patience {
        call: settings.upstream.tool_timeout,
        describe: settings.upstream.tool_data_timeout,
    };
    ToolServers::new(http, patience)
}

/// Whether the base model is there, for Ollama also by its name without tag.
fn known_base(models: &Models, base: &str) -> bool {
    models.contains_key(base) || models.contains_key(&format!("{base}:latest"))
}

/// The end of a stream that broke off: separated from any unfinished event before it.
pub(crate) fn broken_stream_tail(error: &StreamError) -> Bytes {
    let error = match error {
        StreamError::Stopped(text) => {
            json!({ "error": { "message": text, "type": "insufficient_quota", "code": "quota_exceeded" } })
        }
        _ => json!({ "error": { "message": "Chat completion stream failed" } }),
    };
    Bytes::from(format!("\n\ndata: {error}\n\ndata: [DONE]\n\n"))
}
