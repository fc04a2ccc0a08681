//! From bytes to chunks of text: built-in readers and external engines that extract, and splitters that cut.
//! Embedding the chunks and finding them again is the retrieval's business; fetching web pages is web-search's.

pub mod document;
pub mod ingest;
pub mod settings;

pub use document::{Document, LoadError};
pub use settings::SplitSettings;
