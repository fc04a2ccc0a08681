//! Which reader takes a file: by configuration, name and type.

use oui_core::boxed;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oui_config::{Config, loaders, rag};
use oui_models::users::UserRow;
use reqwest::Client;

use crate::engines::{Engine, Job};
use crate::readers::{ReadSettings, pdf_pictures};
use crate::{Document, LoadError, tidy, worker};

/// How long an engine may take for one call: recognising a scanned book takes minutes.
const ENGINE_TIME: Duration = Duration::from_secs(900);
/// Between two questions whether an engine's job is done.
const POLL_PAUSE: Duration = Duration::from_secs(2);

/// A file that is to be read.
pub struct Source<'a> {
    /// Where its bytes are.
    pub path: &'a Path,
    /// Name shown; its ending decides.
    pub name: &'a str,
    /// Type as the client said.
    pub content_type: Option<&'a str>,
    /// Row of the file, where there is one.
    pub file_id: Option<&'a str>,
    /// For whom it is read.
    pub user: Option<&'a UserRow>,
}

/// Reads files of all kinds.
pub struct Loader {
    config: Arc<Config>,
    client: Client,
}

impl Loader {
    /// A loader that follows the configuration.
    ///
    /// # Errors
    /// When the TLS of the system can not be used.
    pub fn new(config: Arc<Config>) -> Result<Self, LoadError> {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(15))
            .timeout(ENGINE_TIME)
            .build()
            .map_err(|error| LoadError::new(error.to_string()))?;
        Ok(Self { config, client })
    }

    /// The documents in a file: one, or one per page or row.
    ///
    /// # Errors
    /// A sentence for the user: what is wrong with the file, or with the engine.
    #[boxed]
    pub async fn extract(&self, source: &Source<'_>) -> Result<Vec<Document>, LoadError> {
        if let Some(engine) = Engine::choose(&self.config, source.name, source.content_type) {
            let job = Job {
                config: &self.config,
                client: &self.client,
                source,
                pause: POLL_PAUSE,
            };
            return job.run(engine).await.map(tidied);
        }
        let settings = ReadSettings {
            single_page: self.config.get(&loaders::PDF_LOADER_MODE) == "single",
            max_megabytes: self.config.get(&rag::RAG_FILE_MAX_SIZE).filter(|size| *size > 0),
            ocr: self
                .config
                .get(&loaders::PDF_EXTRACT_IMAGES)
                .then(pdf_pictures::program)
                .flatten(),
        };
        worker::read(source, settings).await.map(tidied)
    }
}

fn tidied(mut documents: Vec<Document>) -> Vec<Document> {
    for document in &mut documents {
        document.text = tidy::tidy(&document.text);
    }
    documents
}
