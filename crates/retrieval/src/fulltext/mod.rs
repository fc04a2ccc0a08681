//! An index of words over texts, ranked by BM25. It belongs to the embedded store, which tells it what changed; it
//! can be deleted at any time and is then built anew.

mod bm25;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, Query, TermQuery};
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term};

pub(crate) use self::bm25::rank;
use self::words::Words;
use crate::error::{Error, Result};
use crate::vector::Metadata;

/// Memory for a run of changes.
const WRITER_BYTES: usize = 32 << 20;

/// The index. It is opened at the first use.
#[derive(Clone)]
pub(crate) struct TextIndex {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    open: Mutex<Option<Open>>,
}

#[derive(Clone)]
struct Open {
    index: Index,
    reader: IndexReader,
    fields: Fields,
}

#[derive(Clone, Copy)]
struct Fields {
    entry: Field,
    collection: Field,
    text: Field,
    names: Field,
}

/// Names and headings of a text, as more words of it; the file's name counts twice, also in parts.
pub(crate) fn enriched(metadata: &Metadata) -> String {
    let text = |name: &str| {
        metadata
            .get(name)
            .and_then(|value| value.as_str())
            .unwrap_or_default()
    };
    let name = text("name");
    let parts = name.replace(['_', '-', '.'], " ");
    let mut all = vec![name, &parts, &parts];
    all.extend(["title", "headings", "source", "snippet"].map(text));
    all.join(" ")
}

/// A text for the index.
pub(crate) struct IndexedText {
    /// Number of the entry.
    pub(crate) entry: i64,
    /// Number of its collection.
    pub(crate) collection: i64,
    /// The text.
    pub(crate) text: String,
    /// Its names and headings.
    pub(crate) names: String,
}

impl From<tantivy::TantivyError> for Error {
    fn from(error: tantivy::TantivyError) -> Self {
        Self::Store(format!("index of words: {error}"))
    }
}

fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("words")
        .set_index_option(IndexRecordOption::WithFreqs);
    let fields = Fields {
        entry: builder.add_u64_field("entry", INDEXED | FAST),
        collection: builder.add_u64_field("collection", INDEXED),
        text: builder.add_text_field(
            "text",
            TextOptions::default().set_indexing_options(indexing.clone()),
        ),
        names: builder.add_text_field("names", TextOptions::default().set_indexing_options(indexing)),
    };
    (builder.build(), fields)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl TextIndex {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            shared: Arc::new(Shared {
                folder,
                open: Mutex::new(None),
            }),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || work(&shared))
            .await
            .map_err(|error| Error::Store(error.to_string()))?
    }

    /// Whether there is no index yet, so that all texts are to be given to it.
    pub(crate) async fn is_new(&self) -> Result<bool> {
        self.blocking(|shared| Ok(shared.open.lock().is_none() && !shared.folder.join("meta.json").is_file()))
            .await
    }

    /// Takes out entries and whole collections, then puts texts in. Done when it returns.
    pub(crate) async fn apply(
        &self,
        gone: Vec<i64>,
        dropped: Vec<i64>,
        texts: Vec<IndexedText>,
    ) -> Result<()> {
        self.blocking(move |shared| {
            let Open {
                index,
                reader,
                fields,
            } = shared.open()?;
            let mut writer: IndexWriter = index.writer_with_num_threads(1, WRITER_BYTES)?;
            for entry in gone {
                writer.delete_term(Term::from_field_u64(fields.entry, unsigned(entry)));
            }
            for collection in dropped {
                writer.delete_term(Term::from_field_u64(fields.collection, unsigned(collection)));
            }
            for text in texts {
                let mut document = TantivyDocument::new();
                document.add_u64(fields.entry, unsigned(text.entry));
                document.add_u64(fields.collection, unsigned(text.collection));
                document.add_text(fields.text, text.text);
                document.add_text(fields.names, text.names);
                writer.add_document(document)?;
            }
            writer.commit()?;
            writer.wait_merging_threads()?;
            reader.reload()?;
            Ok(())
        })
        .await
    }

    /// Entries of a collection that best match the words of a text, best first, with scores. With `names` words of
    /// names and headings count too.
    pub(crate) async fn search(
        &self,
        collection: i64,
        text: &str,
        limit: usize,
        names: bool,
    ) -> Result<Vec<(i64, f64)>> {
        let text = text.to_owned();
        self.blocking(move |shared| {
            let Open {
                index,
                reader,
                fields,
            } = shared.open()?;
            let mut words: Vec<String> = Vec::new();
            let mut analyzer = index
                .tokenizers()
                .get("words")
                .ok_or_else(|| Error::Store("index of words: no tokenizer".into()))?;
            let mut stream = analyzer.token_stream(&text);
            while let Some(token) = stream.next() {
                if !words.contains(&token.text) {
                    words.push(token.text.clone());
                }
            }
            if words.is_empty() || limit == 0 {
                return Ok(Vec::new());
            }
            let searched: &[Field] = if names {
                &[fields.text, fields.names]
            } else {
                &[fields.text]
            };
            let any: Vec<(Occur, Box<dyn Query>)> = words
                .iter()
                .flat_map(|word| searched.iter().map(move |field| (word, *field)))
                .map(|(word, field)| {
                    let term = Term::from_field_text(field, word);
                    let query: Box<dyn Query> = Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
                    (Occur::Should, query)
                })
                .collect();
            let own = TermQuery::new(
                Term::from_field_u64(fields.collection, unsigned(collection)),
                IndexRecordOption::Basic,
            );
            let query = BooleanQuery::new(vec![
                (Occur::Must, Box::new(BooleanQuery::new(any)) as Box<dyn Query>),
                (Occur::Must, Box::new(ConstScoreQuery::new(Box::new(own), 0.0))),
            ]);
            let searcher = reader.searcher();
            let top = searcher.search(&query, &TopDocs::with_limit(limit).order_by_score())?;
            let mut found = Vec::with_capacity(top.len());
            for (score, place) in top {
                let segment = searcher.segment_reader(place.segment_ord);
                let entry = segment.fast_fields().u64("entry")?.first(place.doc_id);
                if let Some(entry) = entry.and_then(|entry| i64::try_from(entry).ok()) {
                    found.push((entry, f64::from(score)));
                }
            }
            Ok(found)
        })
        .await
    }

    /// Empties the index.
    pub(crate) async fn clear(&self) -> Result<()> {
        self.blocking(|shared| {
            if shared.open.lock().is_none() && !shared.folder.join("meta.json").is_file() {
                return Ok(());
            }
            let open = shared.open()?;
            let mut writer: IndexWriter = open.index.writer_with_num_threads(1, WRITER_BYTES)?;
            writer.delete_all_documents()?;
            writer.commit()?;
            open.reader.reload()?;
            Ok(())
        })
        .await
    }
}

impl Shared {
    fn open(&self) -> Result<Open> {
        let mut open = self.open.lock();
        if let Some(open) = &*open {
            return Ok(open.clone());
        }
        std::fs::create_dir_all(&self.folder).map_err(|error| Error::Store(error.to_string()))?;
        let (schema, fields) = schema();
        let index = if self.folder.join("meta.json").is_file() {
            Index::open_in_dir(&self.folder)?
        } else {
            Index::create_in_dir(&self.folder, schema)?
        };
        index
            .tokenizers()
            .register("words", TextAnalyzer::builder(Words::default()).build());
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        let made = Open {
            index,
            reader,
            fields,
        };
        *open = Some(made.clone());
        Ok(made)
    }
}
