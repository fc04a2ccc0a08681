//! A piece of text with what is known about it, and what can go wrong in getting it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Text with its metadata: a whole document, a page, or a chunk.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Document {
    /// The text.
    pub text: String,
    /// Where it comes from and what belongs to it.
    pub metadata: Map<String, Value>,
}

impl Document {
    /// A document without metadata.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            metadata: Map::new(),
        }
    }

    /// Adds one entry of metadata.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }
}

/// Why a text could not be had. The text is shown to users and stored on the file's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

impl LoadError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
