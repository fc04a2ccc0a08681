//! Web pages: what a reader sees of them, and the title.

use std::sync::LazyLock;

use encoding_rs::Encoding;
use regex::bytes::Regex;
use scraper::node::Node;
use scraper::{Html, Selector};

use super::{Result, text};
use crate::Document;

/// `charset=…` in the first bytes of a page.
#[expect(clippy::expect_used, reason = "a constant pattern")]
static CHARSET: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i-u)<meta[^>]{0,200}?charset=["']?([a-z0-9_:-]+)"#).expect("the pattern is good")
});

pub(super) fn read(bytes: &[u8]) -> Result<Vec<Document>> {
    let (text, title) = page(&decode_page(bytes));
    Ok(vec![Document::new(text).with("title", title)])
}

/// The source, by what the page says its encoding is.
pub(crate) fn decode_page(bytes: &[u8]) -> String {
    if std::str::from_utf8(bytes).is_err() {
        let head = &bytes[..bytes.len().min(2048)];
        let named = CHARSET
            .captures(head)
            .and_then(|found| Encoding::for_label(&found[1]));
        if let Some(encoding) = named {
            return encoding.decode(bytes).0.into_owned();
        }
    }
    text::decode(bytes)
}

/// Text and title of a page.
pub(super) fn page(source: &str) -> (String, String) {
    let (text, title) = page_text(&Html::parse_document(source));
    (text, title.unwrap_or_default())
}

/// Text and title of a parsed page.
pub(crate) fn page_text(page: &Html) -> (String, Option<String>) {
    let mut text = String::new();
    for node in page.tree.root().descendants() {
        let Node::Text(piece) = node.value() else {
            continue;
        };
        let hidden = node.ancestors().any(|above| {
            above
                .value()
                .as_element()
                .is_some_and(|element| matches!(element.name(), "script" | "style" | "template"))
        });
        if !hidden {
            text.push_str(piece);
        }
    }
    let title = Selector::parse("title")
        .ok()
        .and_then(|title| page.select(&title).next().map(|title| title.text().collect()));
    (text, title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lose_what_is_not_seen() {
        let (text, title) = page(
            "<html><head><title>T &amp; U</title><style>p{}</style></head><body><script>x()</script>\
             <p>One &lt;two&gt;</p><!-- no --><p>three</p></body></html>",
        );
        assert_eq!(title, "T & U");
        assert_eq!(text, "T & UOne <two>three");
    }

    #[test]
    fn pages_say_their_encoding() {
        let source = b"<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; charset=iso-8859-2\"></head>\
                       <body>\xb3\xf3d\xbc</body></html>";
        assert_eq!(read(source).unwrap()[0].text.trim(), "łódź");
    }
}
