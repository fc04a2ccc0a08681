//! Why a model could not be used.

use std::path::PathBuf;

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// No folder on this machine holds the model.
    #[error("the model {0} is not on this machine; put it into the Hugging Face cache, or name its folder")]
    NotFound(String),
    /// A file of the model is missing or not readable.
    #[error("{path}: {problem}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The model is of a kind that is not computed here.
    #[error("{0}")]
    Unsupported(String),
    /// A text could not be cut into tokens.
    #[error("tokenizer: {0}")]
    Tokens(String),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, EncoderError>;

impl EncoderError {
    pub(crate) fn file(path: impl Into<PathBuf>, problem: impl std::fmt::Display) -> Self {
        Self::File {
            path: path.into(),
            problem: problem.to_string(),
        }
    }
}
