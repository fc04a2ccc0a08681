//! Which models there are: those of the providers, arena models, and workspace models and overrides laid
//! over them; and who may use which. The result is kept for `MODELS_CACHE_TTL` and put together again when a
//! connection, a model or a setting changes.

use oui_core::boxed;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use oui_config::models as keys;
use oui_config::{Config, Settings};
use oui_core::ApiResult;
use oui_models::groups::{self, Membership};
use oui_models::models::{self, Registered};
use oui_models::users::UserRow;
use oui_models::{Db, grants};
use oui_plugins::Python;
use oui_providers::{CallContext, ModelCatalogue, ModelSnapshot, ProviderKind, ProviderSettings};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::pipes;

mod assemble;
mod listing;
mod offers;

/// One model of the list.
#[derive(Debug, Clone)]
pub struct Model {
    /// Id that clients ask for.
    pub id: String,
    /// The model as clients see it.
    pub json: Value,
    /// Workspace row, for models that have one.
    pub registered: Option<Arc<Registered>>,
}

impl Model {
    /// `owned_by`: `openai`, `ollama`, `arena`, ...
    pub fn owned_by(&self) -> &str {
        self.json
            .get("owned_by")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The model of a browser's own connection, if `item` (a request's `model_item`) describes one.
    pub(crate) fn direct(item: &Value) -> Option<Arc<Self>> {
        let id = item.get("id")?.as_str()?.to_owned();
        let direct = item.get("direct").is_some_and(|flag| flag == true);
        direct.then(|| {
            Arc::new(Self {
                id,
                json: item.clone(),
                registered: None,
            })
        })
    }

    /// Whether the browser reaches its server, and we do not.
    pub fn is_direct(&self) -> bool {
        self.json.get("direct").is_some_and(|flag| flag == true)
    }

    /// Whether it stands for a random choice among others.
    pub fn is_arena(&self) -> bool {
        self.json.get("arena").and_then(Value::as_bool).unwrap_or(false)
    }

    /// `info.meta`.
    pub fn meta(&self) -> Option<&Map<String, Value>> {
        self.json.get("info")?.get("meta")?.as_object()
    }

    /// Whether a capability is on; capabilities that are not named are `default`.
    pub fn capability(&self, name: &str, default: bool) -> bool {
        let capabilities = self.meta().and_then(|meta| meta.get("capabilities"));
        capabilities
            .and_then(|all| all.get(name))
            .and_then(Value::as_bool)
            .unwrap_or(default)
    }

    /// Parameters of the workspace row.
    pub fn params(&self) -> Map<String, Value> {
        self.registered
            .as_ref()
            .map(|registered| registered.row.params_object())
            .unwrap_or_default()
    }

    /// Which wire format its provider speaks.
    pub fn provider(&self) -> ProviderKind {
        if self.owned_by() == "ollama" {
            ProviderKind::Ollama
        } else {
            ProviderKind::OpenAi
        }
    }
}

/// All models at one moment, in the order of the list. Later ones win where ids repeat.
pub type Models = IndexMap<String, Arc<Model>>;

struct Cached {
    at: Instant,
    models: Arc<Models>,
}

/// The models and who may use them.
pub struct Catalogue {
    db: Db,
    config: Arc<Config>,
    settings: Arc<Settings>,
    python: Python,
    providers: ModelCatalogue,
    cached: Mutex<Option<Cached>>,
    listings: listing::Listings,
}

impl Catalogue {
    /// A catalogue over the providers' one.
    pub fn new(
        db: Db,
        config: Arc<Config>,
        settings: Arc<Settings>,
        python: Python,
        providers: ModelCatalogue,
    ) -> Self {
        Self {
            db,
            config,
            settings,
            python,
            providers,
            cached: Mutex::default(),
            listings: listing::Listings::default(),
        }
    }

    /// The connections as they are configured now.
    pub fn connections(&self) -> Arc<ProviderSettings> {
        Arc::new(ProviderSettings::read(|path| self.config.value(path)))
    }

    /// The providers' models of the last round.
    pub fn snapshot(&self) -> Arc<ModelSnapshot> {
        self.providers.snapshot()
    }

    /// Forgets everything; called when a connection or a setting about models changes.
    pub fn invalidate(&self) {
        self.providers.invalidate();
        *self.cached.lock() = None;
    }

    /// Forgets what was put together, but not what the providers said; called when a workspace model changes.
    pub fn reassemble(&self) {
        *self.cached.lock() = None;
    }

    /// All models; asks the providers when the last answer is too old or `refresh` says so.
    #[boxed]
    pub async fn all(&self, refresh: bool, context: &CallContext) -> ApiResult<Arc<Models>> {
        if !refresh && let Some(models) = self.fresh() {
            return Ok(models);
        }
        if refresh {
            self.providers.invalidate();
        }
        let keep = self.config.get(&keys::ENABLE_BASE_MODELS_CACHE) && !refresh;
        let before = self.providers.snapshot();
        let snapshot = if keep && before.fetched_at > 0 {
            before
        } else {
            self.providers.refresh(&self.connections(), context).await
        };
        let mut base = self.pipes().await?;
        base.extend(snapshot.base_models());
        let models = Arc::new(self.assemble(&base).await?);
        *self.cached.lock() = Some(Cached {
            at: Instant::now(),
            models: models.clone(),
        });
        Ok(models)
    }

    fn fresh(&self) -> Option<Arc<Models>> {
        let ttl = self.settings.chat.models_cache.map(Duration::from_secs);
        let cached = self.cached.lock();
        let cached = cached.as_ref()?;
        ttl.is_none_or(|ttl| cached.at.elapsed() < ttl)
            .then(|| cached.models.clone())
    }

    /// The models that a run looks in: what is known, however old; the providers are asked only when
    /// nothing is known. Unknown ids cause no further round, as in the reference.
    #[boxed]
    pub async fn known(&self, context: &CallContext) -> ApiResult<Arc<Models>> {
        let known = self.cached.lock().as_ref().map(|cached| cached.models.clone());
        match known.filter(|models| !models.is_empty()) {
            Some(models) => Ok(models),
            None => self.all(false, context).await,
        }
    }

    /// The providers' models as the list of models shows them: asked for again when they are too old.
    #[boxed]
    pub async fn current(&self, context: &CallContext) -> ApiResult<Arc<ModelSnapshot>> {
        let snapshot = self.providers.snapshot();
        if self.fresh().is_some() && snapshot.fetched_at > 0 {
            return Ok(snapshot);
        }
        self.all(false, context).await?;
        Ok(self.providers.snapshot())
    }

    /// The models that the Ollama servers hold in memory, asked for now.
    #[boxed]
    pub async fn loaded(&self, context: &CallContext) -> Vec<Value> {
        self.providers.loaded(&self.connections(), context).await
    }

    /// The providers' models that a user sees: all for administrators, for others those with a workspace row that is
    /// open to them.
    pub async fn registered_only<'m>(
        &self,
        user: &UserRow,
        listed: impl Iterator<Item = (&'m String, &'m Value)>,
    ) -> ApiResult<Vec<&'m Value>> {
        if user.role != "user" || self.settings.access.all_models {
            return Ok(listed.map(|(_, model)| model).collect());
        }
        let membership = groups::membership(&self.db, &user.id).await?;
        let registry = models::registry(&self.db).await?;
        let open: std::collections::HashSet<&str> = registry
            .iter()
            .filter(|registered| registered.opens_to(&user.id, &membership))
            .map(|registered| registered.row.id.as_str())
            .collect();
        Ok(listed
            .filter(|(id, _)| open.contains(id.as_str()))
            .map(|(_, model)| model)
            .collect())
    }

    /// The providers' models, asked for now.
    #[boxed]
    pub async fn refreshed(&self, context: &CallContext) -> Arc<ModelSnapshot> {
        self.providers.refresh(&self.connections(), context).await
    }

    /// Base models only, as administrators see them.
    #[boxed]
    pub async fn base(&self, context: &CallContext) -> ApiResult<Vec<Value>> {
        let mut base = self.pipes().await?;
        let snapshot = self.providers.refresh(&self.connections(), context).await;
        base.extend(snapshot.base_models());
        Ok(base)
    }

    /// The models that functions are.
    async fn pipes(&self) -> ApiResult<Vec<Value>> {
        Ok(pipes::models(&self.db, &self.python, &self.settings).await?)
    }

    async fn assemble(&self, base: &[Value]) -> ApiResult<Models> {
        let registry = models::registry(&self.db).await?;
        let snapshot = self.config.snapshot();
        let offers = if self.settings.plugins.functions() {
            offers::Offers::load(&self.db, &self.python).await?
        } else {
            offers::Offers::default()
        };
        Ok(assemble::assemble(base, &registry, &snapshot, &offers))
    }

    /// Whether the user may use the model: everything for administrators that bypass grants, else ownership or
    /// a read grant, on the base model too.
    #[boxed]
    pub async fn may_use(&self, user: &UserRow, model: &Model) -> ApiResult<bool> {
        let access = &self.settings.access;
        if access.all_models || (user.role == "admin" && access.admin_bypass) {
            return Ok(true);
        }
        let membership = groups::membership(&self.db, &user.id).await?;
        if model.is_arena() {
            return Ok(arena_opens(model, user, &membership));
        }
        let registry = models::registry(&self.db).await?;
        Ok(chain_opens(&registry, &model.id, user, &membership))
    }

    /// The models that a user sees in the list.
    #[boxed]
    pub async fn visible(&self, user: &UserRow, models: &Models) -> ApiResult<Vec<Arc<Model>>> {
        let seen = self.sees(user, models).await?;
        Ok(models
            .values()
            .zip(seen)
            .filter(|(_, seen)| *seen)
            .map(|(model, _)| model.clone())
            .collect())
    }

    /// For each model in order, whether the user sees it in the list.
    async fn sees(&self, user: &UserRow, models: &Models) -> ApiResult<Vec<bool>> {
        let access = &self.settings.access;
        if access.all_models || (user.role == "admin" && access.admin_bypass) {
            return Ok(vec![true; models.len()]);
        }
        let membership = groups::membership(&self.db, &user.id).await?;
        let seen = |model: &Arc<Model>| {
            if model.is_arena() {
                return arena_opens(model, user, &membership);
            }
            match &model.registered {
                Some(registered) => registered.opens_to(&user.id, &membership),
                None => user.role == "admin",
            }
        };
        Ok(models.values().map(seen).collect())
    }
}

/// Arena models keep their grants in the configuration; without any they are the administrators'.
fn arena_opens(model: &Model, user: &UserRow, membership: &Membership) -> bool {
    let listed = model
        .meta()
        .and_then(|meta| meta.get("access_grants"))
        .and_then(Value::as_array);
    let grants = grants::normalize(listed.map(Vec::as_slice).unwrap_or_default());
    (grants.is_empty() && user.role == "admin")
        || grants
            .iter()
            .any(|grant| grant.permission == "read" && grant.reaches(&user.id, membership))
}

/// Walks from a model to its base models; every registered one must be open, an unregistered base is the
/// administrators'.
pub(crate) fn chain_opens(
    registry: &[Registered],
    id: &str,
    user: &UserRow,
    membership: &Membership,
) -> bool {
    let find = |id: &str| registry.iter().find(|registered| registered.row.id == id);
    let Some(first) = find(id) else { return false };
    let mut seen = vec![id.to_owned()];
    let mut next = Some(first);
    while let Some(registered) = next {
        if !registered.opens_to(&user.id, membership) {
            return false;
        }
        match registered.row.base_model_id.as_deref() {
            Some(base) if !base.is_empty() && !seen.iter().any(|id| id == base) => {
                seen.push(base.to_owned());
                match find(base) {
                    Some(registered) => next = Some(registered),
                    None => return user.role == "admin",
                }
            }
            _ => next = None,
        }
    }
    true
}

/// Tags in any of the forms that connections and models hold them, as `{name}` objects without repeats.
pub fn tags(values: &[Option<&Value>]) -> Vec<Value> {
    let mut seen: Vec<String> = Vec::new();
    for item in values
        .iter()
        .flatten()
        .filter_map(|value| value.as_array())
        .flatten()
    {
        let name = item
            .as_str()
            .or_else(|| item.get("name").and_then(Value::as_str))
            .map(str::trim);
        if let Some(name) = name.filter(|name| !name.is_empty())
            && !seen.iter().any(|known| known == name)
        {
            seen.push(name.to_owned());
        }
    }
    seen.into_iter().map(|name| json!({ "name": name })).collect()
}
