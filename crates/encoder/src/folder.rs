//! Where models are found on disk, and what their small JSON files say about them.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{EncoderError, Result};
use crate::math::Activation;

/// Finds the folder of a model: a path, or the newest snapshot of `owner/name` in one of the cache folders, which
/// have the layout of the Hugging Face cache. A name without owner belongs to `sentence-transformers`.
pub fn find(model: &str, caches: &[PathBuf]) -> Result<PathBuf> {
    let path = Path::new(model);
    if path.join("config.json").is_file() {
        return Ok(path.to_owned());
    }
    let full = if model.contains('/') {
        model.to_owned()
    } else {
        format!("sentence-transformers/{model}")
    };
    let entry = format!("models--{}", full.replace('/', "--"));
    for cache in caches {
        let snapshots = cache.join(&entry).join("snapshots");
        let named = std::fs::read_to_string(cache.join(&entry).join("refs").join("main"));
        if let Ok(revision) = named {
            let folder = snapshots.join(revision.trim());
            if folder.join("config.json").is_file() {
                return Ok(folder);
            }
        }
        let found = std::fs::read_dir(&snapshots)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|folder| folder.join("config.json").is_file())
            .max_by_key(|folder| folder.metadata().and_then(|data| data.modified()).ok());
        if let Some(folder) = found {
            return Ok(folder);
        }
        // The older layout of sentence-transformers, and folders put there by hand.
        for folder in [cache.join(full.replace('/', "_")), cache.join(&full)] {
            if folder.join("config.json").is_file() {
                return Ok(folder);
            }
        }
    }
    Err(EncoderError::NotFound(model.to_owned()))
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|error| EncoderError::file(path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| EncoderError::file(path, error))
}

/// `config.json`, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Config {
    pub(crate) model_type: String,
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) intermediate_size: usize,
    #[serde(default = "gelu")]
    pub(crate) hidden_act: String,
    pub(crate) max_position_embeddings: usize,
    #[serde(default = "epsilon")]
    pub(crate) layer_norm_eps: f32,
    #[serde(default)]
    pub(crate) pad_token_id: Option<usize>,
    #[serde(default)]
    pub(crate) position_embedding_type: Option<String>,
    /// Written by sentence-transformers for cross-encoders.
    #[serde(default)]
    pub(crate) sentence_transformers: Option<Value>,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn epsilon() -> f32 {
    1e-12
}

impl Config {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let config: Self = read_json(&folder.join("config.json"))?;
        let absolute = config
            .position_embedding_type
            .as_deref()
            .is_none_or(|kind| kind == "absolute");
        let known = matches!(
            config.model_type.as_str(),
            "bert" | "roberta" | "xlm-roberta" | "camembert"
        );
        if !known || !absolute {
            return Err(EncoderError::Unsupported(format!(
                "models of type {} can not be computed on this server; use a model of the BERT family, or an embedding \
                 engine",
                config.model_type
            )));
        }
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return Err(EncoderError::Unsupported(
                "the model's sizes do not fit together".into(),
            ));
        }
        Ok(config)
    }

    /// Position of the first token: models of the RoBERTa family count from behind the padding.
    pub(crate) fn first_position(&self) -> usize {
        if self.model_type == "bert" {
            0
        } else {
            self.pad_token_id.unwrap_or(1) + 1
        }
    }

    /// Tokens of a text at most.
    pub(crate) fn longest(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
    }

    /// Tokens of a text at most, when the tokenizer's own settings count too.
    pub(crate) fn longest_in(&self, folder: &Path) -> usize {
        let own: Option<Value> = read_json(&folder.join("tokenizer_config.json")).ok();
        let own = own.and_then(|own| own["model_max_length"].as_u64());
        own.and_then(|tokens| usize::try_from(tokens).ok())
            .map_or(self.longest(), |tokens| tokens.min(self.longest()))
    }

    pub(crate) fn activation(&self) -> Result<Activation> {
        match self.hidden_act.as_str() {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            other => Err(EncoderError::Unsupported(format!(
                "the activation {other} is not known here"
            ))),
        }
    }
}

/// How the vectors of tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    Mean,
    First,
    Max,
}

/// What stands in `modules.json` and the files it names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pipeline {
    pub(crate) pooling: Pooling,
    pub(crate) normalize: bool,
    pub(crate) longest: Option<usize>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Pipeline {
    /// Reads the folder; without `modules.json` token vectors are averaged, as sentence-transformers does.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut pipeline = Self {
            pooling: Pooling::Mean,
            normalize: false,
            longest: None,
        };
        let list = folder.join("modules.json");
        if !list.is_file() {
            return Ok(pipeline);
        }
        for module in read_json::<Vec<Module>>(&list)? {
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => {
                    let path = folder.join(&module.path).join("sentence_bert_config.json");
                    if path.is_file() {
                        let config: Value = read_json(&path)?;
                        pipeline.longest = config["max_seq_length"]
                            .as_u64()
                            .and_then(|tokens| usize::try_from(tokens).ok());
                    }
                }
                "Pooling" => pipeline.pooling = pooling(&folder.join(&module.path).join("config.json"))?,
                "Normalize" => pipeline.normalize = true,
                other => {
                    return Err(EncoderError::Unsupported(format!(
                        "the model has a part named {other}, which is not computed on this server"
                    )));
                }
            }
        }
        Ok(pipeline)
    }
}

fn pooling(path: &Path) -> Result<Pooling> {
    let config: Value = read_json(path)?;
    let on: Vec<&str> = config
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| name.starts_with("pooling_mode_") && value.as_bool() == Some(true))
        .map(|(name, _)| name.as_str())
        .collect();
    let named = config["pooling_mode"].as_str();
    match (on.as_slice(), named) {
        (["pooling_mode_mean_tokens"], _) | ([], Some("mean")) => Ok(Pooling::Mean),
        (["pooling_mode_cls_token"], _) | ([], Some("cls")) => Ok(Pooling::First),
        (["pooling_mode_max_tokens"], _) | ([], Some("max")) => Ok(Pooling::Max),
        _ => Err(EncoderError::Unsupported(
            "the model pools its token vectors in a way that is not computed on this server".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_by_name_and_by_path() {
        let cache = tempfile::tempdir().unwrap();
        let snapshot = cache
            .path()
            .join("models--sentence-transformers--all-MiniLM-L6-v2/snapshots/abc");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::write(snapshot.join("config.json"), "{}").unwrap();
        let caches = [cache.path().to_owned()];
        for name in ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"] {
            assert_eq!(find(name, &caches).unwrap(), snapshot);
        }
        assert_eq!(find(snapshot.to_str().unwrap(), &[]).unwrap(), snapshot);
        assert!(matches!(
            find("other/model", &caches),
            Err(EncoderError::NotFound(_))
        ));
    }
}
