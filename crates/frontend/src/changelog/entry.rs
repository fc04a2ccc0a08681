//! One entry of the release notes: its HTML in the spelling of the original's HTML library, and its
//! text, in which every run between two tags is trimmed and joined by one space.

use pulldown_cmark::{Event, Tag, TagEnd};

/// Elements without an end tag.
const VOID: [&str; 6] = ["br", "hr", "img", "input", "link", "wbr"];

/// A finished entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) html: String,
    pub(super) text: String,
}

/// Collects the events between the start and the end of an item.
pub(super) struct Writer {
    html: String,
    texts: Vec<String>,
    /// Text since the last tag. The parser splits text at entities and escapes; an HTML reader does not.
    run: String,
    /// Elements that are open, the list item included.
    open: Vec<String>,
}

impl Writer {
    pub(super) fn new() -> Self {
        let mut writer = Self {
            html: String::new(),
            texts: Vec::new(),
            run: String::new(),
            open: Vec::new(),
        };
        writer.start("li", "");
        writer
    }

    pub(super) fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text) => self.run.push_str(&text),
            Event::SoftBreak => self.run.push('\n'),
            Event::HardBreak => {
                self.void("br");
                self.run.push('\n');
            }
            Event::Code(code) => {
                self.start("code", "");
                self.run.push_str(&code);
                self.end("code");
            }
            Event::Start(Tag::Link { dest_url, .. }) => {
                self.start(
                    "a",
                    &format!(" href=\"{}\"", escape(&dest_url).replace('"', "&quot;")),
                );
            }
            Event::Start(tag) => self.start_known(&tag),
            Event::End(tag) => self.end_known(tag),
            Event::InlineHtml(tag) | Event::Html(tag) => self.raw(tag.trim()),
            _ => {}
        }
    }

    /// Closes what is open and gives the entry out.
    pub(super) fn finish(mut self) -> Entry {
        self.end("li");
        Entry {
            html: self.html,
            text: self.texts.join(" "),
        }
    }

    fn start_known(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Strong => self.start("strong", ""),
            Tag::Emphasis => self.start("em", ""),
            Tag::Paragraph => self.start("p", ""),
            _ => {}
        }
    }

    fn end_known(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong => self.end("strong"),
            TagEnd::Emphasis => self.end("em"),
            TagEnd::Paragraph => self.end("p"),
            TagEnd::Link => self.end("a"),
            _ => {}
        }
    }

    /// A tag written as HTML in the notes, often meant as text (`<think>`). Readers take it for an
    /// element all the same; one that is never closed ends with the element around it.
    fn raw(&mut self, tag: &str) {
        let Some(inner) = tag.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else {
            return;
        };
        let name: String = inner
            .trim_start_matches('/')
            .chars()
            .take_while(|c| c.is_alphanumeric())
            .collect::<String>()
            .to_lowercase();
        if name.is_empty() {
            return;
        }
        if inner.starts_with('/') {
            self.end(&name);
        } else if VOID.contains(&name.as_str()) || inner.ends_with('/') {
            self.void(&name);
        } else {
            self.start(&name, "");
        }
    }

    fn start(&mut self, name: &str, attributes: &str) {
        self.flush();
        self.html.push_str(&format!("<{name}{attributes}>"));
        self.open.push(name.to_owned());
    }

    /// Ends the element and all that were opened in it. Ignored when it is not open.
    fn end(&mut self, name: &str) {
        self.flush();
        let Some(at) = self.open.iter().rposition(|open| open == name) else {
            return;
        };
        for closed in self.open.drain(at..).rev() {
            self.html.push_str(&format!("</{closed}>"));
        }
    }

    fn void(&mut self, name: &str) {
        self.flush();
        self.html.push_str(&format!("<{name}/>"));
    }

    fn flush(&mut self) {
        let run = std::mem::take(&mut self.run);
        self.html.push_str(&escape(&run));
        let trimmed = run.trim();
        if !trimmed.is_empty() {
            self.texts.push(trimmed.to_owned());
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use pulldown_cmark::Parser;

    use super::*;

    fn entry(markdown: &str) -> (String, String) {
        let mut writer = Writer::new();
        for event in Parser::new(markdown) {
            if !matches!(
                event,
                Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph)
            ) {
                writer.take(event);
            }
        }
        let entry = writer.finish();
        (entry.html, entry.text)
    }

    #[test]
    fn stray_tags_become_elements() {
        assert_eq!(
            entry("says \"<think>\" here [x](u)"),
            (
                "<li>says \"<think>\" here <a href=\"u\">x</a></think></li>".into(),
                "says \" \" here x".into()
            )
        );
        assert_eq!(entry("**a <b>** c").0, "<li><strong>a <b></b></strong> c</li>");
        assert_eq!(entry("a<br>b</i>").0, "<li>a<br/>b</li>");
    }

    #[test]
    fn entities_and_escapes_do_not_split_the_text() {
        assert_eq!(
            entry("a &amp; b &socketio#\\* c"),
            (
                "<li>a &amp; b &amp;socketio#* c</li>".into(),
                "a & b &socketio#* c".into()
            )
        );
    }
}
