//! How long a text is: in characters or in tokens.

use tiktoken_rs::{
    CoreBPE, Rank, cl100k_base_singleton, o200k_base_singleton, p50k_base_singleton, p50k_edit_singleton,
    r50k_base_singleton,
};

use super::CountTokens;
use crate::{LoadError, SplitSettings};

/// A tokenizer of OpenAI.
pub(super) struct Encoding(&'static CoreBPE);

/// The splitter's unit.
pub(super) enum Measure<'a> {
    Characters,
    /// Cut by token numbers.
    Tokens(Encoding),
    /// Cut at separators, measured by a tokenizer.
    Counted(&'a CountTokens),
}

impl<'a> Measure<'a> {
    pub(super) fn of(
        settings: &SplitSettings,
        count_tokens: Option<&'a CountTokens>,
    ) -> Result<Self, LoadError> {
        match settings.splitter.as_str() {
            "" | "character" => Ok(Self::Characters),
            "token" => Encoding::named(&settings.encoding).map(Self::Tokens),
            "token_transformers" => count_tokens.map(Self::Counted).ok_or_else(|| {
                LoadError::new("Tokenizer model required for Token (Transformers) text splitter")
            }),
            _ => Err(LoadError::new("[ERROR: Invalid text splitter]")),
        }
    }

    pub(super) fn length(&self, text: &str) -> usize {
        match self {
            Self::Characters => text.chars().count(),
            Self::Tokens(encoding) => encoding.tokens(text).len(),
            Self::Counted(count) => count(text),
        }
    }
}

impl Encoding {
    fn named(name: &str) -> Result<Self, LoadError> {
        Ok(Self(match name {
            "cl100k_base" => cl100k_base_singleton(),
            "o200k_base" | "o200k_harmony" => o200k_base_singleton(),
            "p50k_base" => p50k_base_singleton(),
            "p50k_edit" => p50k_edit_singleton(),
            "r50k_base" | "gpt2" => r50k_base_singleton(),
            other => return Err(LoadError::new(format!("Unknown encoding {other}."))),
        }))
    }

    fn tokens(&self, text: &str) -> Vec<Rank> {
        self.0.encode_ordinary(text)
    }

    /// Windows of `size` tokens; each begins `overlap` tokens before the end of the one before it.
    pub(super) fn windows(&self, text: &str, size: usize, overlap: usize) -> Result<Vec<String>, LoadError> {
        if size <= overlap {
            return Err(LoadError::new(
                "tokens_per_chunk must be greater than chunk_overlap",
            ));
        }
        let tokens = self.tokens(text);
        let mut windows = Vec::new();
        let mut start = 0;
        while start < tokens.len() {
            let end = tokens.len().min(start + size);
            // A token may be a part of a character; what is cut through shows as a replacement sign.
            let bytes = self.0.decode_bytes(&tokens[start..end]).unwrap_or_default();
            if !bytes.is_empty() {
                windows.push(String::from_utf8_lossy(&bytes).into_owned());
            }
            if end == tokens.len() {
                break;
            }
            start += size - overlap;
        }
        Ok(windows)
    }
}
