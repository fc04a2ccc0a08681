//! The built-in readers, one file per family of formats. They run in a process of their own (see `worker`), trust
//! nothing in the file, and know neither configuration nor network.

mod archive;
mod binary;
mod csv;
mod html;
mod mail;
mod office;
mod pdf;
pub(crate) mod pdf_pictures;
mod rtf;
mod sheet;
mod text;
mod xml;

use std::path::{Path, PathBuf};

pub(crate) use html::{decode_page, page_text};

use serde::{Deserialize, Serialize};

use crate::{Document, LoadError};

/// What the readers have to know of the configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReadSettings {
    /// A PDF is one document instead of one per page.
    pub single_page: bool,
    /// Megabytes that files may have.
    pub max_megabytes: Option<i64>,
    /// The program that reads pictures in PDFs, where they are to be read.
    pub ocr: Option<PathBuf>,
}

type Result<T> = std::result::Result<T, LoadError>;

/// Formats that are archives, by ending and by type.
const ARCHIVES: &[(&str, &str)] = &[
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("epub", "application/epub+zip"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
];

/// Ending of a name without the dot, in lower case; the whole name where there is none.
fn ending(name: &str) -> String {
    name.rsplit('.').next().unwrap_or_default().to_lowercase()
}

/// Reads a file.
///
/// # Errors
/// A sentence for the user.
pub fn read(
    path: &Path,
    name: &str,
    content_type: Option<&str>,
    settings: ReadSettings,
) -> Result<Vec<Document>> {
    let ending = ending(name);
    let kind = content_type.unwrap_or_default();
    let is =
        |format: &str| ending == format || ARCHIVES.iter().any(|(end, of)| *end == format && *of == kind);
    if ARCHIVES.iter().any(|(end, of)| *end == ending || *of == kind) {
        archive::check_size(path, settings.max_megabytes)?;
    }
    let bytes =
        std::fs::read(path).map_err(|error| LoadError::new(format!("Error loading {name}: {error}")))?;
    match ending.as_str() {
        "pdf" => return pdf::read(&bytes, settings.single_page, settings.ocr.as_deref()),
        "csv" => return csv::read(&bytes),
        "htm" | "html" => return html::read(&bytes),
        "rst" | "xml" | "md" => return text::read(&bytes),
        "msg" => return mail::read(&bytes),
        "rtf" => return rtf::read(&bytes),
        _ => {}
    }
    if is("epub") {
        return office::epub(bytes);
    }
    if is("docx") {
        return office::docx(bytes);
    }
    if ending == "xls" || kind == "application/vnd.ms-excel" || is("xlsx") {
        return sheet::read(bytes);
    }
    if is("pptx") {
        return office::pptx(bytes);
    }
    if is("odt") {
        return office::odt(bytes);
    }
    if ending == "doc" || kind == "application/msword" {
        return binary::doc(bytes);
    }
    if ending == "ppt" || kind == "application/vnd.ms-powerpoint" {
        return binary::ppt(bytes);
    }
    text::read(&bytes)
}

#[cfg(test)]
mod tests;
