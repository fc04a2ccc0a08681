//! Texts as numbers of tokens, by the model's own `tokenizer.json`.

use std::path::Path;

use tokenizers::{EncodeInput, Tokenizer, TruncationParams};

use crate::error::{EncoderError, Result};

/// A text as the model sees it.
pub(crate) struct Tokens {
    pub(crate) ids: Vec<u32>,
    /// 0 for the first text of a pair, 1 for the second.
    pub(crate) kinds: Vec<u32>,
}

/// Opens the tokenizer so that texts are cut at `longest` tokens and never padded.
pub(crate) fn open(folder: &Path, longest: usize) -> Result<Tokenizer> {
    let path = folder.join("tokenizer.json");
    let mut tokenizer = Tokenizer::from_file(&path).map_err(|error| EncoderError::file(&path, error))?;
    tokenizer.with_padding(None);
    let truncation = TruncationParams {
        max_length: longest,
        ..TruncationParams::default()
    };
    tokenizer
        .with_truncation(Some(truncation))
        .map_err(|error| EncoderError::file(&path, error))?;
    Ok(tokenizer)
}

/// Counts the tokens of texts as a model sees them, those around the text included, however long it is.
pub struct TokenCounter(Tokenizer);

impl TokenCounter {
    /// Opens the tokenizer of the model in a folder.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let mut tokenizer = Tokenizer::from_file(&path).map_err(|error| EncoderError::file(&path, error))?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| EncoderError::file(&path, error))?;
        Ok(Self(tokenizer))
    }

    /// How many tokens the text has; none when it cannot be cut into tokens.
    pub fn count(&self, text: &str) -> usize {
        self.0
            .encode_fast(text, true)
            .map_or(0, |encoding| encoding.len())
    }
}

/// Tokens of texts or pairs of texts.
pub(crate) fn encode<'s, I>(tokenizer: &Tokenizer, inputs: Vec<I>) -> Result<Vec<Tokens>>
where
    I: Into<EncodeInput<'s>> + Send,
{
    let encodings = tokenizer
        .encode_batch_fast(inputs, true)
        .map_err(|error| EncoderError::Tokens(error.to_string()))?;
    Ok(encodings
        .iter()
        .map(|encoding| Tokens {
            ids: encoding.get_ids().to_vec(),
            kinds: encoding.get_type_ids().to_vec(),
        })
        .collect())
}
