//! Keys of model defaults, model order and arena models.

use serde_json::Value;

use crate::derive;
use crate::key::{Key, keys};

keys! {
    "Models and evaluation";

    /// Keeps the list of provider models until an administrator refreshes it.
    pub static ENABLE_BASE_MODELS_CACHE: Key<bool> = Key::bool("models.base_models_cache", false);
    /// Metadata applied to every model that sets none itself.
    pub static DEFAULT_MODEL_METADATA: Key<Value> = Key::object("models.default_metadata");
    /// Parameters applied to every model that sets none itself.
    pub static DEFAULT_MODEL_PARAMS: Key<Value> = Key::object("models.default_params");
    /// Offers arena models that answer anonymously for rating.
    pub static ENABLE_EVALUATION_ARENA_MODELS: Key<bool> = Key::bool("evaluation.arena.enable", false);
    /// Arena models, as a JSON list of objects.
    pub static EVALUATION_ARENA_MODELS: Key<Value> =
        Key::array("evaluation.arena.models").check(derive::objects);
}
