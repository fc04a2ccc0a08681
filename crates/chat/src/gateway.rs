//! Requests that are passed to a provider without the pipeline: who may use which model, which connection has it,
//! and the parameters and the prompt of a workspace model laid over the request. Lives here because it is about
//! models and rights; the routes of each protocol are elsewhere.

use http::StatusCode;
use oui_core::boxed;
use oui_core::{ApiError, ApiResult, messages};
use oui_models::groups;
use oui_models::models::{self, Registered};
use oui_models::users::UserRow;
use oui_providers::{CallContext, ChatReply, Connection, ProviderKind, ProviderSettings, params};
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use crate::catalogue::chain_opens;
use crate::dispatch;
use crate::engine::Engine;
use crate::payload::prepend_system;
use crate::quota::meter::{Meter, Tone};
use crate::template;
use crate::turn::{Object, RunUser};

/// A model that a request names, once it is clear that the caller may use it.
pub struct Opened {
    /// Its workspace row, if it has one.
    pub registered: Option<Registered>,
    /// The model that really answers.
    pub base: String,
}

impl Engine {
    /// Lets the user use a model, or refuses: models without a workspace row are the administrators'.
    #[boxed]
    pub async fn open(&self, user: &UserRow, id: &str) -> ApiResult<Opened> {
        let registry = models::registry(&self.db).await?;
        let registered = registry.iter().find(|registered| registered.row.id == id);
        if user.role != oui_access::ADMIN && !self.settings.access.all_models {
            let membership = groups::membership(&self.db, &user.id).await?;
            if !chain_opens(&registry, id, user, &membership) {
                return Err(ApiError::forbidden("Model not found"));
            }
        }
        let base = registered.and_then(|registered| registered.row.base_model_id.clone());
        Ok(Opened {
            registered: registered.cloned(),
            base: base
                .filter(|base| !base.is_empty())
                .unwrap_or_else(|| id.to_owned()),
        })
    }

    /// The model that really answers for a workspace model; any other id stands for itself.
    #[boxed]
    pub async fn base_of(&self, id: &str) -> ApiResult<String> {
        let registry = models::registry(&self.db).await?;
        let registered = registry.iter().find(|registered| registered.row.id == id);
        let base = registered.and_then(|registered| registered.row.base_model_id.clone());
        Ok(base
            .filter(|base| !base.is_empty())
            .unwrap_or_else(|| id.to_owned()))
    }

    /// The position of the OpenAI-compatible connection that has a model; asks the providers when it is not known.
    #[boxed]
    pub async fn openai_index(&self, model: &str, context: &CallContext) -> Option<usize> {
        if let Some(index) = self.catalogue.snapshot().openai_index(model) {
            return Some(index);
        }
        self.catalogue.refreshed(context).await.openai_index(model)
    }

    /// The positions of the Ollama servers that have a model; asks the servers when it is not known or when
    /// `fresh` says so.
    #[boxed]
    pub async fn ollama_indices(&self, model: &str, fresh: bool, context: &CallContext) -> Vec<usize> {
        let known = self.catalogue.snapshot().ollama_indices(model);
        if !known.is_empty() && !fresh {
            return known;
        }
        self.catalogue.refreshed(context).await.ollama_indices(model)
    }

    /// The Ollama server for a model: the one that the caller asks for, if it has the model (administrators may
    /// choose any), else one by chance. Answers its position, too.
    pub async fn ollama_server<'s>(
        &self,
        settings: &'s ProviderSettings,
        user: &UserRow,
        model: &str,
        asked: Option<usize>,
        context: &CallContext,
    ) -> ApiResult<(usize, &'s Connection)> {
        let index = match asked {
            Some(index) if user.role == oui_access::ADMIN => index,
            Some(index) => {
                if !self.ollama_indices(model, false, context).await.contains(&index) {
                    return Err(ApiError::forbidden(messages::ACCESS_PROHIBITED));
                }
                index
            }
            None => {
                let having = self.ollama_indices(model, false, context).await;
                let chosen = having.choose(&mut rand::rng()).copied();
                chosen.ok_or_else(|| ApiError::bad_request(messages::model_not_found(model)))?
            }
        };
        let connection = settings.get(ProviderKind::Ollama, index);
        Ok((index, connection.ok_or_else(no_connection)?))
    }

    /// Lays the prompt of a workspace model over the messages of a request.
    #[boxed]
    pub async fn lay_prompt(&self, user: &UserRow, opened: &Opened, body: &mut Object) -> ApiResult<()> {
        let params = opened
            .registered
            .as_ref()
            .map(|registered| registered.row.params_object());
        let prompt = params
            .as_ref()
            .and_then(|params| params.get("system")?.as_str())
            .filter(|prompt| !prompt.is_empty());
        let Some(prompt) = prompt else { return Ok(()) };
        let membership = groups::membership(&self.db, &user.id).await?;
        let group_names: Vec<String> = membership
            .groups
            .iter()
            .filter_map(|group| group.name.clone())
            .collect();
        let context = template::Context {
            user: Some(user),
            groups: &group_names,
            variables: None,
            chat_variables: None,
            clock: &self.clock,
        };
        let mut messages = match body.get_mut("messages").map(Value::take) {
            Some(Value::Array(messages)) => messages,
            _ => Vec::new(),
        };
        prepend_system(&mut messages, &template::render(prompt, &context));
        body.insert("messages".into(), Value::Array(messages));
        Ok(())
    }

    /// A chat completion of an OpenAI-compatible connection with nothing of ours but the access check, and the
    /// parameters and the prompt of a workspace model.
    #[boxed]
    pub async fn complete_openai(&self, user: &RunUser, mut body: Object) -> ApiResult<ChatReply> {
        let settings = self.catalogue.connections();
        if !settings.openai_enabled {
            return Err(openai_disabled());
        }
        body.shift_remove("metadata");
        let id = body
            .get("model")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let opened = self.open(&user.user, &id).await?;
        if let Some(registered) = &opened.registered {
            params::apply_openai(registered.row.params_object(), &mut body);
            self.lay_prompt(&user.user, &opened, &mut body).await?;
        }
        let index = self.openai_index(&opened.base, &user.call).await;
        let connection = index.and_then(|index| settings.get(ProviderKind::OpenAi, index));
        let connection = connection.ok_or_else(|| ApiError::not_found(messages::model_not_found("")))?;
        body.insert("model".into(), json!(opened.base));
        let meter = self
            .meter(&user.user.id, &[&id, &opened.base], &body, true)
            .await?;
        let answer = dispatch::call(self, connection, body, &user.call).await;
        Ok(measured(meter, answer, Tone::Chat).await?)
    }
}

/// An answer on its way through the meter, where there is one.
pub async fn measured<E>(
    meter: Option<Meter>,
    answer: Result<ChatReply, E>,
    tone: Tone,
) -> Result<ChatReply, E> {
    match meter {
        Some(meter) => meter.measure(answer, tone).await,
        None => answer,
    }
}

/// The OpenAI-compatible connections are switched off.
pub fn openai_disabled() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "OpenAI API is disabled")
}

/// The answer to a position that no connection has: the reference fails there, in a plain text.
pub fn no_connection() -> ApiError {
    ApiError::plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}
