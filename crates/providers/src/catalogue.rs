//! The models that all providers offer together, as last fetched. Refreshing and forgetting are explicit;
//! how long a list stays good is the caller's decision. Concurrent refreshes share one round of requests,
//! and a provider that does not answer costs the others its time once, not every time.

use oui_core::boxed;
use std::collections::{HashMap, hash_map::Entry};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::{BoxFuture, FutureExt, Shared, join_all};
use indexmap::IndexMap;
use oui_core::Clock;
use parking_lot::Mutex;
use rand::seq::IndexedRandom;
use serde_json::Value;

use crate::connections::{Connection, ProviderKind, ProviderSettings};
use crate::context::CallContext;
use crate::http::Http;
use crate::models::{self, ListError};
use crate::secret::loggable_url;

/// How long a refresh waits for a provider that did not answer the last time.
const SECOND_CHANCE: Duration = Duration::from_secs(1);

/// A provider whose list is missing from a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueWarning {
    /// What it speaks.
    pub kind: ProviderKind,
    /// Position of the connection.
    pub index: usize,
    /// Its address, fit for logs.
    pub url: String,
    /// What went wrong.
    pub message: String,
}

/// All base models of one round.
#[derive(Debug, Clone, Default)]
pub struct ModelSnapshot {
    /// Models of OpenAI-compatible connections by id, in the form clients see.
    pub openai: IndexMap<String, Value>,
    /// Ollama models by id, in the form of `/ollama/api/tags`.
    pub ollama: IndexMap<String, Value>,
    /// Providers whose lists are missing.
    pub warnings: Vec<CatalogueWarning>,
    /// When the round began, in nanoseconds since the epoch; 0 when nothing was fetched yet.
    pub fetched_at: i64,
}

impl ModelSnapshot {
    /// Models of all providers in the form of the list of models: OpenAI's first, then Ollama's.
    pub fn base_models(&self) -> Vec<Value> {
        let mut found: Vec<_> = self.openai.values().cloned().collect();
        found.extend(models::ollama_base_models(self.ollama.values()));
        found
    }

    /// Position of the connection that an OpenAI model belongs to.
    pub fn openai_index(&self, model: &str) -> Option<usize> {
        self.openai.get(model)?.get("urlIdx")?.as_u64()?.try_into().ok()
    }

    /// Positions of the Ollama servers that have a model.
    pub fn ollama_indices(&self, model: &str) -> Vec<usize> {
        let urls = self
            .ollama
            .get(model)
            .and_then(|model| model.get("urls"))
            .and_then(Value::as_array);
        urls.into_iter()
            .flatten()
            .filter_map(|index| index.as_u64()?.try_into().ok())
            .collect()
    }

    /// The connection to use for a model; among several Ollama servers one by chance.
    pub fn connection<'a>(
        &self,
        settings: &'a ProviderSettings,
        kind: ProviderKind,
        model: &str,
    ) -> Option<&'a Connection> {
        let index = match kind {
            ProviderKind::OpenAi => self.openai_index(model)?,
            ProviderKind::Ollama => *self.ollama_indices(model).choose(&mut rand::rng())?,
        };
        settings.get(kind, index)
    }
}

/// Fetches and keeps the models. Share it by `Arc` or clone it; clones are the same catalogue.
#[derive(Clone)]
pub struct ModelCatalogue {
    shared: Arc<Inner>,
}

struct Inner {
    http: Http,
    clock: Clock,
    current: ArcSwap<ModelSnapshot>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts invalidations: a round that began before one must not be kept after it.
    epoch: u64,
    next_flight: u64,
    flights: Vec<Flight>,
    /// Addresses that did not answer in time, and whether a request to one is still under way.
    silent: HashMap<String, bool>,
}

struct Flight {
    id: u64,
    settings: Arc<ProviderSettings>,
    asker: Option<String>,
    result: Shared<BoxFuture<'static, Arc<ModelSnapshot>>>,
}

impl ModelCatalogue {
    /// An empty catalogue.
    pub fn new(http: Http, clock: Clock) -> Self {
        let shared = Inner {
            http,
            clock,
            current: ArcSwap::default(),
            state: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The models of the last round; empty before the first and after [`ModelCatalogue::invalidate`].
    pub fn snapshot(&self) -> Arc<ModelSnapshot> {
        self.shared.current.load_full()
    }

    /// Forgets everything. Call it when a connection was changed.
    pub fn invalidate(&self) {
        let mut state = self.shared.state.lock();
        state.epoch += 1;
        state.flights.clear();
        state.silent.clear();
        self.shared.current.store(Arc::default());
    }

    /// Asks all providers that are switched on and keeps what they say. Never fails: a provider without an
    /// answer contributes nothing but a warning. Who asks at the same time gets the same round, unless the
    /// providers are told who asks. The round goes on when the caller stops waiting.
    #[boxed]
    pub async fn refresh(
        &self,
        settings: &Arc<ProviderSettings>,
        context: &CallContext,
    ) -> Arc<ModelSnapshot> {
        self.flight(settings, context).await
    }

    /// The models that the Ollama servers hold in memory, asked for now. Servers without an answer are left out.
    #[boxed]
    pub async fn loaded(&self, settings: &ProviderSettings, context: &CallContext) -> Vec<Value> {
        if !settings.ollama_enabled {
            return Vec::new();
        }
        let context = Arc::new(context.clone());
        let (lists, _) = self
            .shared
            .lists(&settings.ollama, &context, Listing::Loaded)
            .await;
        models::merge_ollama(lists).into_values().collect()
    }

    fn flight(
        &self,
        settings: &Arc<ProviderSettings>,
        context: &CallContext,
    ) -> Shared<BoxFuture<'static, Arc<ModelSnapshot>>> {
        let personal = settings.depends_on_user() || self.shared.http.options().forward.enabled;
        let asker = context
            .user
            .as_ref()
            .filter(|_| personal)
            .map(|user| user.id.clone());
        let mut state = self.shared.state.lock();
        let known = state
            .flights
            .iter()
            .find(|flight| flight.asker == asker && flight.settings == *settings);
        if let Some(flight) = known {
            return flight.result.clone();
        }
        let (id, epoch) = (state.next_flight, state.epoch);
        state.next_flight += 1;
        let round =
            Arc::clone(&self.shared).round(id, epoch, Arc::clone(settings), Arc::new(context.clone()));
        let task = tokio::spawn(round);
        let shared = Arc::clone(&self.shared);
        let result = async move { task.await.unwrap_or_else(|_| shared.current.load_full()) }
            .boxed()
            .shared();
        state.flights.push(Flight {
            id,
            settings: Arc::clone(settings),
            asker,
            result: result.clone(),
        });
        result
    }
}

impl Inner {
    async fn round(
        self: Arc<Self>,
        id: u64,
        epoch: u64,
        settings: Arc<ProviderSettings>,
        context: Arc<CallContext>,
    ) -> Arc<ModelSnapshot> {
        let fetched_at = self.clock.nanos();
        let (openai, ollama) = tokio::join!(
            self.openai_models(&settings, &context),
            self.ollama_models(&settings, &context)
        );
        let snapshot = Arc::new(ModelSnapshot {
            openai: openai.0,
            ollama: ollama.0,
            warnings: [openai.1, ollama.1].concat(),
            fetched_at,
        });
        let mut state = self.state.lock();
        state.flights.retain(|flight| flight.id != id);
        if state.epoch == epoch {
            self.current.store(Arc::clone(&snapshot));
        }
        snapshot
    }

    async fn openai_models(
        self: &Arc<Self>,
        settings: &ProviderSettings,
        context: &Arc<CallContext>,
    ) -> (IndexMap<String, Value>, Vec<CatalogueWarning>) {
        if !settings.openai_enabled {
            return Default::default();
        }
        let (lists, warnings) = self.lists(&settings.openai, context, Listing::OpenAi).await;
        let lists = lists
            .into_iter()
            .map(|(index, models)| (&settings.openai[index], models));
        (models::merge_openai(lists), warnings)
    }

    async fn ollama_models(
        self: &Arc<Self>,
        settings: &ProviderSettings,
        context: &Arc<CallContext>,
    ) -> (IndexMap<String, Value>, Vec<CatalogueWarning>) {
        if !settings.ollama_enabled {
            return Default::default();
        }
        let (lists, mut warnings) = self.lists(&settings.ollama, context, Listing::Tags).await;
        let answered = lists
            .iter()
            .map(|(index, _)| settings.ollama[*index].clone())
            .collect::<Vec<_>>();
        let mut merged = models::merge_ollama(lists);
        let (loaded, more) = self.lists(&answered, context, Listing::Loaded).await;
        warnings.extend(more);
        models::add_expiry(&mut merged, &models::merge_ollama(loaded));
        (merged, warnings)
    }

    /// Asks all `connections` that are switched on at once.
    async fn lists(
        self: &Arc<Self>,
        connections: &[Connection],
        context: &Arc<CallContext>,
        listing: Listing,
    ) -> (Vec<(usize, Vec<Value>)>, Vec<CatalogueWarning>) {
        let asked = connections
            .iter()
            .filter(|connection| connection.enabled())
            .map(|connection| {
                let answer = self.list(connection, context, listing);
                async move { (connection, answer.await) }
            });
        let (mut lists, mut warnings) = (Vec::new(), Vec::new());
        for (connection, answer) in join_all(asked).await {
            match answer {
                Ok(models) => lists.push((connection.index, models)),
                Err(error) => warnings.push(warning(connection, error)),
            }
        }
        (lists, warnings)
    }

    /// Asks one provider. One that was silent the last time is waited for only shortly: the request goes on
    /// without us, and once it succeeds the provider is trusted again.
    async fn list(
        self: &Arc<Self>,
        connection: &Connection,
        context: &Arc<CallContext>,
        listing: Listing,
    ) -> Result<Vec<Value>, ListError> {
        let address = format!("{}{}", connection.url, listing.path());
        let silent = match self.state.lock().silent.entry(address.clone()) {
            Entry::Occupied(known) if *known.get() => return Err(ListError::Timeout),
            Entry::Occupied(mut known) => {
                known.insert(true);
                true
            }
            Entry::Vacant(_) => false,
        };
        let (inner, connection, context) = (Arc::clone(self), connection.clone(), Arc::clone(context));
        let mut task = tokio::spawn(async move {
            let answer = listing.fetch(&inner.http, &connection, &context).await;
            let mut state = inner.state.lock();
            match answer {
                Err(ListError::Timeout) => state.silent.insert(address, false),
                _ => state.silent.remove(&address),
            };
            answer
        });
        let answer = if silent {
            match tokio::time::timeout(SECOND_CHANCE, &mut task).await {
                Ok(answer) => answer,
                Err(_) => return Err(ListError::Timeout),
            }
        } else {
            task.await
        };
        answer.unwrap_or_else(|error| Err(ListError::Failed(error.to_string())))
    }
}

/// What is asked of a provider.
#[derive(Debug, Clone, Copy)]
enum Listing {
    OpenAi,
    Tags,
    Loaded,
}

impl Listing {
    fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "/models",
            Self::Tags => "/api/tags",
            Self::Loaded => "/api/ps",
        }
    }

    async fn fetch(
        self,
        http: &Http,
        connection: &Connection,
        context: &CallContext,
    ) -> Result<Vec<Value>, ListError> {
        match self {
            Self::OpenAi => models::fetch_openai(http, connection, context).await,
            Self::Tags => models::fetch_tags(http, connection, context).await,
            Self::Loaded => models::fetch_loaded(http, connection, context).await,
        }
    }
}

fn warning(connection: &Connection, error: ListError) -> CatalogueWarning {
    let url = loggable_url(&connection.url);
    let message = match error {
        ListError::Timeout => "no answer in time".to_owned(),
        ListError::Failed(message) => message,
    };
    tracing::warn!(
        kind = connection.kind.label(),
        url,
        message,
        "the list of models did not come"
    );
    CatalogueWarning {
        kind: connection.kind,
        index: connection.index,
        url,
        message,
    }
}
