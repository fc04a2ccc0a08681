//! One vector for a text, as sentence-transformers makes it.

use std::path::Path;

use rayon::ThreadPool;
use tokenizers::Tokenizer;

use crate::error::{EncoderError, Result};
use crate::folder::{Config, Pipeline, Pooling};
use crate::math::{self, Activation};
use crate::weights::{Source, Weights};
use crate::{forward, runs, threads, tokens};

/// A loaded model that turns texts into vectors.
pub struct SentenceEncoder {
    config: Config,
    pipeline: Pipeline,
    activation: Activation,
    weights: Weights,
    tokenizer: Tokenizer,
    pool: ThreadPool,
}

impl SentenceEncoder {
    /// Reads the model in `folder`. It will compute with `cores` threads, or with all for 0.
    pub fn load(folder: &Path, cores: usize) -> Result<Self> {
        let config = Config::read(folder)?;
        let pipeline = Pipeline::read(folder)?;
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).map_err(|error| EncoderError::file(&path, error))?;
        let weights = Source::open(&bytes, &path)?.encoder(&config)?;
        let longest = match pipeline.longest {
            Some(tokens) => tokens.min(config.longest()),
            None => config.longest_in(folder),
        };
        Ok(Self {
            activation: config.activation()?,
            tokenizer: tokens::open(folder, longest)?,
            pool: threads(cores)?,
            config,
            pipeline,
            weights,
        })
    }

    /// Numbers in a vector.
    pub fn dimension(&self) -> usize {
        self.config.hidden_size
    }

    /// The vectors of the texts, in their order.
    pub fn encode(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        self.pool.install(|| {
            // The tokenizer of sentence-transformers gets texts without space at their ends.
            let trimmed: Vec<&str> = texts.iter().map(|text| text.trim()).collect();
            let tokens = tokens::encode(&self.tokenizer, trimmed)?;
            let lengths: Vec<usize> = tokens.iter().map(|text| text.ids.len()).collect();
            let mut vectors = vec![Vec::new(); texts.len()];
            for run in runs(&lengths) {
                let batch: Vec<&tokens::Tokens> = run.iter().map(|place| &tokens[*place]).collect();
                let hidden = forward::run(&self.weights, &self.config, self.activation, &batch);
                let mut rest = hidden.as_slice();
                for place in run {
                    let (own, later) = rest.split_at(lengths[place] * self.dimension());
                    vectors[place] = self.pool_tokens(own);
                    rest = later;
                }
            }
            Ok(vectors)
        })
    }

    fn pool_tokens(&self, rows: &[f32]) -> Vec<f32> {
        let width = self.dimension();
        let mut vector = vec![0.0; width];
        match self.pipeline.pooling {
            Pooling::First => vector.copy_from_slice(rows.get(..width).unwrap_or(&[0.0].repeat(width))),
            Pooling::Mean => {
                for row in rows.chunks_exact(width) {
                    for (sum, value) in vector.iter_mut().zip(row) {
                        *sum += value;
                    }
                }
                let count = (rows.len() / width).max(1) as f32;
                for value in &mut vector {
                    *value /= count;
                }
            }
            Pooling::Max => {
                vector.fill(f32::NEG_INFINITY);
                for row in rows.chunks_exact(width) {
                    for (top, value) in vector.iter_mut().zip(row) {
                        *top = top.max(*value);
                    }
                }
            }
        }
        if self.pipeline.normalize {
            math::to_unit(&mut vector);
        }
        vector
    }
}
