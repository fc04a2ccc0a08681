//! Cutting documents into chunks: at Markdown headings first, small pieces merged, then by length in characters or
//! tokens. Chunks are those of the Python project's splitters.

mod length;
mod markdown;
mod merge;
mod recursive;

use serde_json::Value;

use self::length::Measure;
use crate::{Document, LoadError, SplitSettings};

/// Counts the tokens of a text; for the splitter `token_transformers`, whose tokenizer is the caller's.
pub type CountTokens = dyn Fn(&str) -> usize + Send + Sync;

/// Cuts documents. Chunks have the metadata of their document and `start_index`, the character at which they begin.
///
/// # Errors
/// A splitter or an encoding that does not exist, or an overlap that leaves no room for text.
pub fn split(
    documents: Vec<Document>,
    settings: &SplitSettings,
    count_tokens: Option<&CountTokens>,
) -> Result<Vec<Document>, LoadError> {
    let measure = Measure::of(settings, count_tokens)?;
    let mut documents = documents;
    if settings.markdown_headers {
        documents = documents
            .into_iter()
            .flat_map(|document| {
                let metadata = document.metadata;
                markdown::sections(&document.text)
                    .into_iter()
                    .map(move |text| Document {
                        text,
                        metadata: metadata.clone(),
                    })
            })
            .collect();
        if settings.min_size > 0 {
            documents = merge::merge(documents, settings.min_size, settings.chunk_size, &measure);
        }
    }
    let mut chunks = Vec::new();
    for document in documents {
        let texts = match &measure {
            Measure::Tokens(encoding) => {
                encoding.windows(&document.text, settings.chunk_size, settings.overlap)?
            }
            measure => recursive::split(&document.text, settings.chunk_size, settings.overlap, measure),
        };
        place(&document, texts, settings.overlap, &mut chunks);
    }
    Ok(chunks)
}

/// Finds where the chunks of a document begin.
fn place(document: &Document, texts: Vec<String>, overlap: usize, chunks: &mut Vec<Document>) {
    // Characters are counted along the way, so that long documents are not counted from their beginning each time.
    let mut from = Cursor::default();
    let mut length = 0_usize;
    let mut known = Some(Cursor::default());
    for text in texts {
        let back = known.map_or(0, |at| at.chars) + length;
        from.go_to(&document.text, back.saturating_sub(overlap));
        let found = document.text[from.bytes..].find(&text);
        known = found.map(|offset| {
            let chars = document.text[from.bytes..from.bytes + offset].chars().count();
            Cursor {
                bytes: from.bytes + offset,
                chars: from.chars + chars,
            }
        });
        length = text.chars().count();
        let start = known.map_or(Value::from(-1), |at| Value::from(at.chars));
        let mut chunk = Document {
            text,
            metadata: document.metadata.clone(),
        };
        chunk.metadata.insert("start_index".into(), start);
        chunks.push(chunk);
    }
}

/// A place in a text, counted both ways.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    bytes: usize,
    chars: usize,
}

impl Cursor {
    fn go_to(&mut self, text: &str, chars: usize) {
        if chars < self.chars {
            *self = Self::default();
        }
        let step = text[self.bytes..].char_indices().nth(chars - self.chars);
        match step {
            Some((offset, _)) => self.bytes += offset,
            None => self.bytes = text.len(),
        }
        self.chars = chars;
    }
}

#[cfg(test)]
mod tests;
