//! PDF: one document per page, with what the file says about itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use pdf_extract::{Document as Pdf, Object, decode_text_string, extract_text_from_mem_by_pages};
use serde_json::{Map, Value, json};

use super::{Result, pdf_pictures};
use crate::{Document, LoadError};

pub(super) fn read(bytes: &[u8], single_page: bool, ocr: Option<&Path>) -> Result<Vec<Document>> {
    // The library stops by a panic at some broken fonts.
    let pages = catch_unwind(AssertUnwindSafe(|| extract_text_from_mem_by_pages(bytes)))
        .map_err(|_| LoadError::new("The PDF is damaged: its text can not be read"))?
        .map_err(|error| LoadError::new(format!("The PDF is damaged: {error}")))?;
    let about = catch_unwind(AssertUnwindSafe(|| about(bytes))).unwrap_or_default();
    let pictures = ocr.map(|program| catch_unwind(AssertUnwindSafe(|| pdf_pictures::texts(bytes, program))));
    let mut pictures = pictures.and_then(|texts| texts.ok()).unwrap_or_default();
    pictures.resize(pages.len(), String::new());
    let total = pages.len();
    let pages = pages.into_iter().zip(pictures);
    let documents = pages.enumerate().map(|(index, (text, pictures))| Document {
        text: format!("{}\n{pictures}", text.trim()).trim().to_owned(),
        metadata: {
            let mut metadata = about.clone();
            metadata.insert("total_pages".into(), json!(total));
            if !single_page {
                metadata.insert("page".into(), json!(index));
                metadata.insert("page_label".into(), json!((index + 1).to_string()));
            }
            metadata
        },
    });
    if !single_page {
        return Ok(documents.collect());
    }
    let documents: Vec<Document> = documents.collect();
    let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
    let text = texts.join("\n\u{c}");
    let metadata = documents
        .first()
        .map(|first| first.metadata.clone())
        .unwrap_or_default();
    Ok(vec![Document { text, metadata }])
}

/// Title, author and the like.
fn about(bytes: &[u8]) -> Map<String, Value> {
    let mut about = Map::new();
    for name in ["producer", "creator", "creationdate"] {
        about.insert(
            name.into(),
            json!(if name == "creationdate" { "" } else { "PyPDF" }),
        );
    }
    let Ok(pdf) = Pdf::load_mem(bytes) else {
        return about;
    };
    let info = pdf.trailer.get(b"Info").ok().and_then(|info| match info {
        Object::Reference(id) => pdf.get_dictionary(*id).ok(),
        Object::Dictionary(info) => Some(info),
        _ => None,
    });
    for (name, value) in info.into_iter().flat_map(|info| info.iter()) {
        let name = String::from_utf8_lossy(name).to_lowercase();
        if let Ok(text) = decode_text_string(value) {
            about.insert(name, json!(text.trim()));
        } else if let Ok(number) = value.as_i64() {
            about.insert(name, json!(number));
        }
    }
    about
}
