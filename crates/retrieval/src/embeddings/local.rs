//! Models on this machine: loaded at the first use, shared by all who use them, let go when nobody has used them
//! for a while, so that a server that only chats stays small.

use oui_core::boxed;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oui_encoder::{CrossEncoder, EncoderError, SentenceEncoder, TokenCounter};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::hub::Hub;
use crate::error::{Error, Result};

/// How long a model stays in memory after its last use.
const IDLE: Duration = Duration::from_secs(300);

/// Texts computed between two looks at the waiting line: a question does not wait for a whole book.
const TEXTS_AT_ONCE: usize = 32;

impl From<EncoderError> for Error {
    fn from(error: EncoderError) -> Self {
        Self::Model(error.to_string())
    }
}

/// The loaded models. Clones share them.
#[derive(Clone)]
pub struct LocalModels {
    shared: Arc<Shared>,
}

struct Shared {
    folders: Vec<PathBuf>,
    hub: Option<Hub>,
    /// One download at a time.
    download: tokio::sync::Mutex<()>,
    sentences: Slot<SentenceEncoder>,
    pairs: Slot<CrossEncoder>,
    counters: Slot<TokenCounter>,
}

/// One model in memory at most, and the turn to compute with it.
struct Slot<M> {
    kept: Mutex<Option<Kept<M>>>,
    turn: tokio::sync::Mutex<()>,
}

struct Kept<M> {
    name: String,
    model: Arc<M>,
    used: Instant,
}

impl<M> Default for Slot<M> {
    fn default() -> Self {
        Self {
            kept: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }
}

impl<M> Slot<M> {
    fn get(&self, name: &str) -> Option<Arc<M>> {
        let mut kept = self.kept.lock();
        let kept = kept.as_mut().filter(|kept| kept.name == name)?;
        kept.used = Instant::now();
        Some(kept.model.clone())
    }

    fn put(&self, name: &str, model: Arc<M>) {
        *self.kept.lock() = Some(Kept {
            name: name.to_owned(),
            model,
            used: Instant::now(),
        });
    }

    /// Lets go of a model not used for `idle`. Whether none is left.
    fn let_go(&self, idle: Duration) -> bool {
        let mut kept = self.kept.lock();
        if kept.as_ref().is_some_and(|kept| kept.used.elapsed() >= idle) {
            *kept = None;
        }
        kept.is_none()
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Model("computing stopped unexpectedly".into()))?
}

impl LocalModels {
    /// Models that are looked for in `folders`, caches of the Hugging Face libraries, and fetched from the hub when
    /// they are in none.
    pub fn new(folders: Vec<PathBuf>, hub: Option<Hub>) -> Self {
        Self {
            shared: Arc::new(Shared {
                folders,
                hub,
                download: tokio::sync::Mutex::default(),
                sentences: Slot::default(),
                pairs: Slot::default(),
                counters: Slot::default(),
            }),
        }
    }

    /// Whether the model is on this machine, or can be asked for.
    pub fn has(&self, model: &str) -> bool {
        self.shared.hub.is_some() || oui_encoder::find(model, &self.shared.folders).is_ok()
    }

    /// The folder of a model, which is fetched when it is not on this machine.
    async fn folder(&self, model: &str) -> Result<PathBuf> {
        let missing = match oui_encoder::find(model, &self.shared.folders) {
            Ok(folder) => return Ok(folder),
            Err(missing) => missing,
        };
        let Some(hub) = &self.shared.hub else {
            return Err(missing.into());
        };
        let _turn = self.shared.download.lock().await;
        if let Ok(folder) = oui_encoder::find(model, &self.shared.folders) {
            return Ok(folder);
        }
        let mut told = 0;
        hub.fetch(model, |fetched| {
            let percent = fetched.done.saturating_mul(100) / fetched.total.max(1);
            if percent >= told {
                tracing::info!(model, percent, bytes = fetched.total, "fetching a model");
                told = percent + 10;
            }
        })
        .await?;
        Ok(oui_encoder::find(model, &self.shared.folders)?)
    }

    /// What counts the tokens of texts as a model sees them.
    #[boxed]
    pub async fn counter(&self, model: &str) -> Result<Arc<TokenCounter>> {
        if let Some(counter) = self.shared.counters.get(model) {
            return Ok(counter);
        }
        let folder = self.folder(model).await?;
        let counter = Arc::new(blocking(move || Ok(TokenCounter::load(&folder)?)).await?);
        self.shared.counters.put(model, counter.clone());
        self.watch();
        Ok(counter)
    }

    /// Whether a model is in memory.
    pub fn is_loaded(&self) -> bool {
        self.shared.sentences.kept.lock().is_some() || self.shared.pairs.kept.lock().is_some()
    }

    /// Lets go of all models, for a change of settings.
    pub fn unload(&self) {
        self.shared.sentences.let_go(Duration::ZERO);
        self.shared.pairs.let_go(Duration::ZERO);
        self.shared.counters.let_go(Duration::ZERO);
    }

    /// The vectors of the texts.
    #[boxed]
    pub async fn embed(&self, model: &str, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(texts.len());
        for part in texts.chunks(TEXTS_AT_ONCE) {
            let part = part.to_vec();
            let _turn = self.shared.sentences.turn.lock().await;
            let encoder = match self.shared.sentences.get(model) {
                Some(encoder) => encoder,
                None => self.load_sentences(model).await?,
            };
            vectors.extend(blocking(move || Ok(encoder.encode(&part)?)).await?);
        }
        Ok(vectors)
    }

    /// How well each text answers the question.
    #[boxed]
    pub async fn score(
        &self,
        model: &str,
        question: &str,
        texts: Vec<String>,
        sigmoid: bool,
    ) -> Result<Vec<f32>> {
        let _turn = self.shared.pairs.turn.lock().await;
        let encoder = match self.shared.pairs.get(model) {
            Some(encoder) => encoder,
            None => {
                let folder = self.folder(model).await?;
                let encoder = blocking(move || Ok(CrossEncoder::load(&folder, sigmoid, 0)?)).await?;
                let encoder = Arc::new(encoder);
                self.shared.pairs.put(model, encoder.clone());
                self.watch();
                encoder
            }
        };
        let question = question.to_owned();
        blocking(move || Ok(encoder.scores(&question, &texts)?)).await
    }

    async fn load_sentences(&self, model: &str) -> Result<Arc<SentenceEncoder>> {
        if model.is_empty() {
            return Err(Error::Settings("no embedding model is chosen".into()));
        }
        let folder = self.folder(model).await?;
        tracing::info!(model, folder = %folder.display(), "loading the embedding model");
        let encoder = Arc::new(blocking(move || Ok(SentenceEncoder::load(&folder, 0)?)).await?);
        self.shared.sentences.put(model, encoder.clone());
        self.watch();
        Ok(encoder)
    }

    /// Looks from time to time whether a model is idle, until none is left.
    fn watch(&self) {
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(IDLE / 4).await;
                let Some(shared) = shared.upgrade() else { return };
                let gone = [
                    shared.sentences.let_go(IDLE),
                    shared.pairs.let_go(IDLE),
                    shared.counters.let_go(IDLE),
                ];
                if gone == [true; 3] {
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_idle_model_is_let_go() {
        let slot = Slot::default();
        slot.put("m", Arc::new(7));
        assert_eq!(slot.get("m").as_deref(), Some(&7));
        assert!(slot.get("n").is_none());
        tokio::time::advance(IDLE - Duration::from_secs(1)).await;
        assert!(slot.get("m").is_some());
        tokio::time::advance(IDLE - Duration::from_secs(1)).await;
        assert!(!slot.let_go(IDLE));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(slot.let_go(IDLE));
        assert!(slot.get("m").is_none());
    }

    #[tokio::test]
    async fn a_model_that_is_not_there_is_named() {
        let models = LocalModels::new(Vec::new(), None);
        let error = models
            .embed("nobody/nothing", vec!["a".into()])
            .await
            .unwrap_err();
        assert!(error.to_string().contains("nobody/nothing"), "{error}");
        assert!(!models.is_loaded());
    }

    #[tokio::test]
    async fn texts_are_cut_where_the_reference_cuts_them() {
        let Some(models) = std::env::var_os("OUI_TEST_MODELS") else {
            eprintln!("skipped: no model");
            return;
        };
        let models = LocalModels::new(vec![models.into()], None);
        let counter = models
            .counter("sentence-transformers/all-MiniLM-L6-v2")
            .await
            .unwrap();
        let settings = oui_loaders::SplitSettings {
            splitter: "token_transformers".into(),
            markdown_headers: false,
            encoding: String::new(),
            chunk_size: 24,
            min_size: 0,
            overlap: 6,
        };
        let text = "The harbour was deepened in the spring. Dredging took eleven weeks, and the ferries kept running.\n\n\
                    Hafenverwaltung: Übergangsregelungen für Segelschiffe gelten unverändert weiter – auch sonntags!\n\
                    Electroencephalographically-minded engineers measured 3.14159 metres of silt.\n\n\
                    灯台 flashes green every seven seconds. ";
        let count = move |text: &str| counter.count(text);
        let chunks =
            oui_loaders::split(vec![oui_loaders::Document::new(text)], &settings, Some(&count)).unwrap();
        let texts: Vec<&str> = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
        // As the reference's splitter gives them with the tokenizer of the same model.
        assert_eq!(
            texts,
            [
                "The harbour was deepened in the spring. Dredging took eleven weeks, and the ferries kept running.",
                "Hafenverwaltung: Übergangsregelungen für",
                "für Segelschiffe gelten",
                "gelten unverändert weiter –",
                "– auch sonntags!",
                "Electroencephalographically-minded engineers measured 3.14159 metres of silt.",
                "灯台 flashes green every seven seconds.",
            ]
        );
        let tokens: Vec<usize> = texts.iter().map(|text| count(text)).collect();
        assert_eq!(tokens, [22, 15, 10, 11, 9, 21, 10]);
    }
}
