//! The blocks of the release notes that matter: version headings, section headings, lists. Built
//! over the events of a Markdown parser; everything else is passed over.

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};

use super::entry::{Entry, Writer};

/// A top-level block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A heading of level 2, as text.
    Version(String),
    /// A heading of level 3, as text.
    Section(String),
    /// A list, its items in order; the items of lists inside items follow theirs.
    List(Vec<Entry>),
}

/// Reads Markdown into blocks.
pub(super) fn blocks(markdown: &str) -> Vec<Block> {
    let mut reader = Reader::default();
    for event in Parser::new(markdown) {
        reader.take(event);
    }
    reader.blocks
}

#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    /// Text of the heading being read.
    heading: Option<String>,
    /// How deep inside lists, and the items that are open there, outermost first.
    lists: usize,
    open: Vec<(usize, Writer)>,
    /// Items of the outermost list, by order of their start.
    entries: Vec<Option<Entry>>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(Tag::Heading { .. }) => self.heading = Some(String::new()),
            Event::End(TagEnd::Heading(level)) => self.end_heading(level),
            Event::Start(Tag::List(_)) => self.lists += 1,
            Event::End(TagEnd::List(_)) => self.end_list(),
            Event::Start(Tag::Item) => {
                self.open.push((self.entries.len(), Writer::new()));
                self.entries.push(None);
            }
            Event::End(TagEnd::Item) => {
                if let Some((index, writer)) = self.open.pop() {
                    self.entries[index] = Some(writer.finish());
                }
            }
            other => self.inline(other),
        }
    }

    fn inline(&mut self, event: Event<'_>) {
        if let Some((_, writer)) = self.open.last_mut() {
            writer.take(event);
        } else if let Some(heading) = &mut self.heading {
            match event {
                Event::Text(text) | Event::Code(text) => heading.push_str(&text),
                _ => {}
            }
        }
    }

    fn end_heading(&mut self, level: HeadingLevel) {
        let Some(text) = self.heading.take() else { return };
        match level {
            HeadingLevel::H2 => self.blocks.push(Block::Version(text)),
            HeadingLevel::H3 => self.blocks.push(Block::Section(text)),
            _ => {}
        }
    }

    fn end_list(&mut self) {
        self.lists -= 1;
        if self.lists == 0 {
            let entries = std::mem::take(&mut self.entries);
            self.blocks
                .push(Block::List(entries.into_iter().flatten().collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_items_follow_their_parent() {
        let blocks = blocks("- a\n  - b\n  - c\n- d\n");
        let [Block::List(entries)] = blocks.as_slice() else {
            panic!("one list: {blocks:?}")
        };
        let texts: Vec<_> = entries.iter().map(|entry| entry.text.as_str()).collect();
        assert_eq!(texts, ["a", "b", "c", "d"]);
    }

    #[test]
    fn headings_are_plain_text() {
        assert_eq!(
            blocks("# t\n## [1.0] - *d*\n### `A`dded\n\ntext\n"),
            [Block::Version("[1.0] - d".into()), Block::Section("Added".into())]
        );
    }
}
