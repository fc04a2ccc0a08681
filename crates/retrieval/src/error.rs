//! What can go wrong while texts are embedded, kept or found. The texts are shown to users where the reference
//! shows them, so they hold no keys.

/// A failure of an engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text given holds nothing that could be kept.
    #[error(
        "The content provided is empty. Please ensure that there is text or data present before proceeding."
    )]
    EmptyContent,
    /// The collection holds the same text already.
    #[error("Duplicate content detected. Please provide unique content to proceed.")]
    DuplicateContent,
    /// Vectors of another length than those of the collection.
    #[error("Collection expecting embedding with dimension of {expected}, got {got}")]
    Dimension {
        /// Length of the vectors in the collection.
        expected: usize,
        /// Length of the vector given.
        got: usize,
    },
    /// There is no such collection.
    #[error("Collection [{0}] does not exist")]
    NoCollection(String),
    /// The embedded store or its index failed.
    #[error("vector store: {0}")]
    Store(String),
    /// The server that computes embeddings, keeps vectors or reranks answered badly or not at all.
    #[error("{0}")]
    Upstream(String),
    /// Computing embeddings on this machine failed.
    #[error("{0}")]
    Model(String),
    /// A setting is missing or wrong.
    #[error("{0}")]
    Settings(String),
}

/// Result of an engine.
pub type Result<T> = std::result::Result<T, Error>;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.to_string())
    }
}
