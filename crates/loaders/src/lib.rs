//! From bytes to chunks of text: built-in readers and external engines that extract, and splitters that cut.
//! Embedding the chunks and finding them again is the retrieval's business; fetching web pages is web-search's.

pub mod document;
mod engines;
pub mod html;
pub mod ingest;
mod loader;
mod readers;
pub mod settings;
mod split;
pub mod texts;
mod tidy;
pub mod worker;

pub use document::{Document, LoadError};
pub use loader::{Loader, Source};
pub use settings::SplitSettings;
pub use split::{CountTokens, split};
