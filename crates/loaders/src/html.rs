//! Web pages for those who fetch them.

use scraper::{Html, Selector};

use crate::{Document, readers};

/// A fetched page as a document: its text, and what it says about itself.
pub fn web_page(bytes: &[u8], address: &str) -> Document {
    let source = readers::decode_page(bytes);
    let page = Html::parse_document(&source);
    let (text, title) = readers::page_text(&page);
    let attribute = |selector: &str, name: &str| {
        let selector = Selector::parse(selector).ok()?;
        let element = page.select(&selector).next()?;
        Some(element.value().attr(name).map(str::to_owned))
    };
    let mut document = Document::new(text).with("source", address);
    if let Some(title) = title {
        document = document.with("title", title);
    }
    if let Some(description) = attribute("meta[name=description]", "content") {
        document = document.with(
            "description",
            description.unwrap_or_else(|| "No description found.".into()),
        );
    }
    if let Some(language) = attribute("html", "lang") {
        document = document.with(
            "language",
            language.unwrap_or_else(|| "No language found.".into()),
        );
    }
    document
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_say_what_they_are() {
        let page = b"<html lang=de><head><title>T</title><meta name=description content=D></head><body>x</body></html>";
        let document = web_page(page, "http://a/");
        assert_eq!(document.text, "Tx");
        assert_eq!(
            json!(document.metadata),
            json!({"source": "http://a/", "title": "T", "description": "D", "language": "de"})
        );
        let bare = web_page(b"<p>x", "http://a/");
        assert_eq!(
            json!(bare.metadata),
            json!({"source": "http://a/", "language": "No language found."})
        );
    }
}
