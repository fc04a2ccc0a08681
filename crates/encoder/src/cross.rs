//! How well a text answers a question, by a model that reads both together.

use std::path::Path;

use rayon::ThreadPool;
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::error::{EncoderError, Result};
use crate::folder::Config;
use crate::math::Activation;
use crate::weights::{Linear, Source, Weights};
use crate::{forward, runs, threads, tokens};

/// A loaded cross-encoder with one score as its output.
pub struct CrossEncoder {
    config: Config,
    activation: Activation,
    weights: Weights,
    dense: Linear,
    score: Linear,
    sigmoid: bool,
    tokenizer: Tokenizer,
    pool: ThreadPool,
}

impl CrossEncoder {
    /// Reads the model in `folder`. Scores pass through the logistic function with `sigmoid`; without it, unless the
    /// model's own configuration names another. It will compute with `cores` threads, or with all for 0.
    pub fn load(folder: &Path, sigmoid: bool, cores: usize) -> Result<Self> {
        let config = Config::read(folder)?;
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).map_err(|error| EncoderError::file(&path, error))?;
        let source = Source::open(&bytes, &path)?;
        let width = config.hidden_size;
        let (dense, score) = if source.has("classifier.dense.weight") {
            ("classifier.dense", "classifier.out_proj")
        } else {
            ("bert.pooler.dense", "classifier")
        };
        Ok(Self {
            weights: source.encoder(&config)?,
            dense: source.linear(dense, width, width)?,
            score: source.linear(score, width, 1)?,
            sigmoid: sigmoid || !names_identity(&config),
            activation: config.activation()?,
            tokenizer: tokens::open(folder, config.longest_in(folder))?,
            pool: threads(cores)?,
            config,
        })
    }

    /// Scores of the texts for the question, in their order.
    pub fn scores(&self, question: &str, texts: &[String]) -> Result<Vec<f32>> {
        self.pool.install(|| {
            let pairs: Vec<(&str, &str)> = texts.iter().map(|text| (question.trim(), text.trim())).collect();
            let tokens = tokens::encode(&self.tokenizer, pairs)?;
            let lengths: Vec<usize> = tokens.iter().map(|text| text.ids.len()).collect();
            let mut scores = vec![0.0; texts.len()];
            for run in runs(&lengths) {
                let batch: Vec<&tokens::Tokens> = run.iter().map(|place| &tokens[*place]).collect();
                let hidden = forward::run(&self.weights, &self.config, self.activation, &batch);
                let mut start = 0;
                for place in run {
                    let width = self.config.hidden_size;
                    scores[place] = self.score(&hidden[start..start + width]);
                    start += lengths[place] * width;
                }
            }
            Ok(scores)
        })
    }

    fn score(&self, first: &[f32]) -> f32 {
        let mut inner = vec![0.0; self.config.hidden_size];
        forward::apply(&self.dense, first, &mut inner);
        for value in &mut inner {
            *value = value.tanh();
        }
        let mut score = [0.0];
        forward::apply(&self.score, &inner, &mut score);
        if self.sigmoid {
            1.0 / (1.0 + (-score[0]).exp())
        } else {
            score[0]
        }
    }
}

fn names_identity(config: &Config) -> bool {
    let named = config
        .sentence_transformers
        .as_ref()
        .and_then(|own| own.get("activation_fn").and_then(Value::as_str));
    named.is_some_and(|name| name.ends_with("Identity"))
}
