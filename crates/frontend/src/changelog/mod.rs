//! The release notes as `GET /api/changelog` shows them: versions, sections, entries. Reading the
//! Markdown is in [`blocks`], writing an entry's HTML and text in [`entry`].

mod blocks;
mod entry;

use serde_json::{Map, Value, json};

use self::blocks::{Block, blocks};
use self::entry::Entry;

/// Number of versions that the original shows.
pub const SHOWN: usize = 5;

/// Reads release notes in the "Keep a Changelog" form (`## [1.2.3] - 2026-01-31`, `### Added`, a list)
/// and returns the first `limit` versions, newest first:
/// `{version: {date, section: [{title, content, raw}, ...], ...}, ...}`. Sections are lower case; an
/// entry's title is what stands before the first `": "` of its text. Headings of another form are
/// left out.
pub fn parse(markdown: &str, limit: usize) -> Value {
    let blocks = blocks(head(markdown, limit));
    let mut versions = Map::new();
    for (index, block) in blocks.iter().enumerate() {
        let Block::Version(heading) = block else { continue };
        let Some((version, date)) = version_and_date(heading) else {
            continue;
        };
        let mut notes = Map::from_iter([("date".to_owned(), Value::from(date))]);
        let own = blocks[index + 1..]
            .iter()
            .take_while(|block| !matches!(block, Block::Version(_)))
            .enumerate();
        for (offset, block) in own {
            let Block::Section(name) = block else { continue };
            let list = blocks[index + 1 + offset..].iter().find_map(|block| match block {
                Block::List(entries) => Some(entries.as_slice()),
                _ => None,
            });
            let entries: Vec<Value> = list.unwrap_or_default().iter().map(show).collect();
            notes.insert(name.to_lowercase(), Value::Array(entries));
        }
        versions.insert(version.to_owned(), Value::Object(notes));
        if versions.len() == limit {
            break;
        }
    }
    Value::Object(versions)
}

/// The text up to the heading after the wanted versions: the rest, years of it, is not parsed.
fn head(markdown: &str, limit: usize) -> &str {
    let mut starts = markdown.match_indices("\n## ").map(|(at, _)| at + 1);
    let first = usize::from(markdown.starts_with("## "));
    let end = starts.nth(limit.saturating_sub(first)).unwrap_or(markdown.len());
    &markdown[..end]
}

/// `[1.2.3] - 2026-01-31`.
fn version_and_date(heading: &str) -> Option<(&str, &str)> {
    let mut parts = heading.trim().split(" - ");
    let version = parts.next()?.strip_prefix('[')?.strip_suffix(']')?;
    Some((version, parts.next()?))
}

fn show(entry: &Entry) -> Value {
    let (title, content) = match entry.text.split_once(": ") {
        Some((title, content)) => (title.trim(), content.trim()),
        None => ("", entry.text.as_str()),
    };
    json!({ "title": title, "content": content, "raw": entry.html })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: &str = "# Changelog\n\nAbout this file.\n\n## [2.0.0] - 2026-02-01\n\n### Added\n\n\
        - 🎯 **Short: and sweet**. Uses \"A > B\" & more. [#1](http://x/?a=1&b=2), [Commit](http://y)\n\
        - Plain\n\n### Fixed\n\n- **Crash**: gone `now`\n\n## [1.0.0] - 2026-01-01\n\n### Changed\n\n- x\n";

    #[test]
    fn versions_sections_and_entries() {
        let parsed = parse(NOTES, 5);
        let expected = json!({
            "2.0.0": {
                "date": "2026-02-01",
                "added": [
                    {
                        "title": "🎯 Short",
                        "content": "and sweet . Uses \"A > B\" & more. #1 , Commit",
                        "raw": "<li>🎯 <strong>Short: and sweet</strong>. Uses \"A &gt; B\" &amp; more. \
                                <a href=\"http://x/?a=1&amp;b=2\">#1</a>, <a href=\"http://y\">Commit</a></li>",
                    },
                    { "title": "", "content": "Plain", "raw": "<li>Plain</li>" },
                ],
                "fixed": [
                    {
                        "title": "Crash",
                        "content": "gone now",
                        "raw": "<li><strong>Crash</strong>: gone <code>now</code></li>",
                    },
                ],
            },
            "1.0.0": { "date": "2026-01-01", "changed": [{ "title": "", "content": "x", "raw": "<li>x</li>" }] },
        });
        assert_eq!(
            serde_json::to_string(&parsed).unwrap(),
            serde_json::to_string(&expected).unwrap()
        );
    }

    #[test]
    fn only_the_newest_versions_are_read() {
        let parsed = parse(NOTES, 1);
        assert_eq!(parsed.as_object().unwrap().keys().collect::<Vec<_>>(), ["2.0.0"]);
        assert!(!head(NOTES, 1).contains("[1.0.0]"));
        assert_eq!(head(NOTES, 2), NOTES);
        assert_eq!(head("## [1] - x\n## [0] - y\n", 1), "## [1] - x\n");
    }

    #[test]
    fn other_headings_and_empty_notes_are_no_trouble() {
        assert_eq!(parse("", 5), json!({}));
        assert_eq!(parse("## Unreleased\n\n### Added\n\n- a\n", 5), json!({}));
        assert_eq!(
            parse("## [1] - d\n\n### Added\n", 5),
            json!({ "1": { "date": "d", "added": [] } })
        );
    }
}
