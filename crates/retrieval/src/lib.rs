//! From documents to chunks with vectors, and from questions to the chunks that answer them.
//!
//! Reading files and cutting their text is the loaders' work; here begins what happens to their documents: `embeddings`
//! turns texts into vectors, `vector` keeps them (one file per engine behind [`VectorStore`]), `fulltext` finds them
//! by words, `rerank` orders them. HTTP lives in the routers, statements on the server's own database in the models.

mod access;
pub mod embeddings;
mod error;
mod external;
mod fulltext;
mod ingest;
pub mod memories;
mod query;
mod reindex;
pub mod rerank;
mod service;
mod sources;
#[cfg(test)]
mod testing;
pub mod vector;

pub use access::Use;
pub use embeddings::Purpose;
pub use error::{Error, Result};
pub use external::ExternalQuery;
pub use ingest::{Batch, KNOWLEDGE_BASES, collection_of_file};
pub use query::{Found, SearchOptions, hits_json, text_hash};
pub use reindex::Progress;
pub use service::{Extract, Retrieval, caller_of};
pub use sources::Pages;
pub use vector::{Entry, Filter, Hit, Item, Metadata, Record, VectorStore};
