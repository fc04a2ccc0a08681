//! Reads `.env` files with the grammar and the substitution rules of python-dotenv.
//!
//! The usual Rust crates differ where it hurts: they refuse `NAME=two words` and substitute other forms than
//! `${NAME}` and `${NAME:-default}`. The caller decides which file is read and that the real environment
//! wins.

use std::collections::BTreeMap;

/// What a file sets.
pub(crate) struct Parsed {
    pub(crate) values: BTreeMap<String, String>,
    /// Numbers (from 1) of the lines that could not be read; they are skipped.
    pub(crate) bad_lines: Vec<usize>,
}

/// Reads the text of a file. `process` holds the real environment, which also wins inside `${NAME}`.
///
/// A later line replaces an earlier one of the same name; a name without `=` takes the earlier value back.
pub(crate) fn parse(text: &str, process: &BTreeMap<String, String>) -> Parsed {
    let mut cursor = Cursor {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
    };
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut bad_lines = Vec::new();
    while !cursor.rest.is_empty() {
        cursor.take_while(char::is_whitespace);
        if cursor.rest.is_empty() {
            break;
        }
        let line = cursor.line;
        match binding(&mut cursor) {
            Some(Some((name, raw))) => {
                let earlier = |name: &str| known.get(name).map(|value| value.as_deref().unwrap_or_default());
                let lookup = |name: &str| process.get(name).map(String::as_str).or_else(|| earlier(name));
                let value = raw.map(|raw| substitute(&raw, lookup));
                known.insert(name, value);
            }
            Some(None) => {}
            None => {
                bad_lines.push(line);
                cursor.take_while(|c| !is_newline(c));
            }
        }
    }
    let values = known
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    Parsed { values, bad_lines }
}

struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        self.take(end)
    }
}

fn is_newline(c: char) -> bool {
    c == '\n' || c == '\r'
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() && !is_newline(c)
}

/// One line: `None` if unreadable, `Some(None)` for a comment, a name without value otherwise.
fn binding(cursor: &mut Cursor<'_>) -> Option<Option<(String, Option<String>)>> {
    skip_export(cursor);
    let name = match cursor.peek() {
        Some('#') => None,
        Some('\'') => Some(quoted_name(cursor)?),
        _ => Some(plain_name(cursor)?),
    };
    cursor.take_while(is_blank);
    let mut value = None;
    if cursor.peek() == Some('=') {
        cursor.take(1);
        let gap = cursor.take_while(is_blank);
        value = Some(if !gap.is_empty() && cursor.peek() == Some('#') {
            String::new()
        } else {
            read_value(cursor)?
        });
    }
    cursor.take_while(is_blank);
    if cursor.peek() == Some('#') {
        cursor.take_while(|c| !is_newline(c));
    }
    if cursor.peek().is_some_and(|c| !is_newline(c)) {
        return None;
    }
    Some(name.map(|name| (name, value)))
}

fn skip_export(cursor: &mut Cursor<'_>) {
    if let Some(rest) = cursor.rest.strip_prefix("export") {
        let gap = rest.find(|c| !is_blank(c)).unwrap_or(rest.len());
        if gap > 0 {
            cursor.take("export".len() + gap);
        }
    }
}

fn quoted_name(cursor: &mut Cursor<'_>) -> Option<String> {
    let end = cursor.rest[1..].find('\'').filter(|end| *end > 0)?;
    Some(cursor.take(end + 2)[1..=end].to_owned())
}

fn plain_name(cursor: &mut Cursor<'_>) -> Option<String> {
    let name = cursor.take_while(|c| c != '=' && c != '#' && !c.is_whitespace());
    (!name.is_empty()).then(|| name.to_owned())
}

fn read_value(cursor: &mut Cursor<'_>) -> Option<String> {
    match cursor.peek() {
        Some(quote @ ('\'' | '"')) => quoted_value(cursor, quote),
        None | Some('\n' | '\r') => Some(String::new()),
        Some(_) => Some(unquoted_value(cursor.take_while(|c| !is_newline(c)))),
    }
}

/// Drops a comment that follows a blank, then trailing blanks.
fn unquoted_value(line: &str) -> String {
    let comment = line
        .char_indices()
        .find(|(at, c)| *c == '#' && line[..*at].chars().next_back().is_some_and(char::is_whitespace));
    line[..comment.map_or(line.len(), |(at, _)| at)]
        .trim_end()
        .to_owned()
}

/// May span lines; a backslash always guards the next character, whether or not the pair means something.
fn quoted_value(cursor: &mut Cursor<'_>, quote: char) -> Option<String> {
    let mut value = String::new();
    let mut chars = cursor.rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            cursor.take(at + 1);
            return Some(value);
        }
        if c != '\\' {
            value.push(c);
            continue;
        }
        let (_, next) = chars.next()?;
        match unescape(next, quote) {
            Some(plain) => value.push(plain),
            None => value.extend(['\\', next]),
        }
    }
    None
}

fn unescape(c: char, quote: char) -> Option<char> {
    Some(match c {
        '\\' | '\'' => c,
        _ if quote == '\'' => return None,
        '"' => '"',
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        _ => return None,
    })
}

/// Replaces `${NAME}` and `${NAME:-default}`; an unknown name without default becomes empty.
fn substitute<'a>(raw: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(start) = rest.find("${") {
        let (before, tail) = rest.split_at(start);
        value.push_str(before);
        let Some((name, default, after)) = variable(&tail[2..]) else {
            value.push_str("${");
            rest = &tail[2..];
            continue;
        };
        value.push_str(lookup(name).unwrap_or(default));
        rest = after;
    }
    value.push_str(rest);
    value
}

/// Splits `NAME}…` or `NAME:-default}…` into name, default and the text behind the brace.
fn variable(text: &str) -> Option<(&str, &str, &str)> {
    let end = text.find(['}', ':'])?;
    let (name, tail) = text.split_at(end);
    if let Some(after) = tail.strip_prefix('}') {
        return Some((name, "", after));
    }
    let (default, after) = tail.strip_prefix(":-")?.split_once('}')?;
    Some((name, default, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> BTreeMap<String, String> {
        parse(text, &BTreeMap::from([("HOME".to_owned(), "/root".to_owned())])).values
    }

    fn map<const N: usize>(values: [(&str, &str); N]) -> BTreeMap<String, String> {
        values
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    fn one(text: &str) -> String {
        let values = read(text);
        assert_eq!(values.len(), 1, "{text:?} gave {values:?}");
        values.into_values().next().unwrap()
    }

    #[test]
    fn plain_values_keep_inner_blanks_and_drop_comments() {
        assert_eq!(one("A=My server  # note"), "My server");
        assert_eq!(one("A=x#y"), "x#y");
        assert_eq!(one("A= # note"), "");
        assert_eq!(one("A=#note"), "#note");
        assert_eq!(one("export A = 1 "), "1");
        assert_eq!(one("A='' # note"), "");
    }

    #[test]
    fn quoted_values_span_lines_and_unescape() {
        assert_eq!(one("A=\"x\\ny\nz\""), "x\ny\nz");
        assert_eq!(one(r#"A="\d\"\\""#), r#"\d"\"#);
        assert_eq!(one(r"A='\n\'\\'"), r"\n'\");
        assert_eq!(one("'A'='{\"a\": 1}'"), "{\"a\": 1}");
    }

    #[test]
    fn later_lines_win_and_bare_names_take_back() {
        assert_eq!(read("# note\nA=1\nB=1\n\nB=2\r\n#x\nA"), map([("B", "2")]));
    }

    #[test]
    fn unreadable_lines_are_skipped_and_reported() {
        let parsed = parse("A=1\n=2\nB='x' y\nC=3\nD='open\nE=5\n", &BTreeMap::new());
        assert_eq!(parsed.bad_lines, [2, 3, 5]);
        assert_eq!(parsed.values, map([("A", "1"), ("C", "3"), ("E", "5")]));
    }

    #[test]
    fn braces_are_substituted_and_the_process_wins() {
        assert_eq!(one("HOME=${HOME}/x"), "/root/x");
        let values = read("HOME=/mine\nA=${HOME}\nB=1\nC=$B-${B}\nD='${MISSING:-d}'\nE=${MISSING}\nF=${x:y}");
        let expected = [
            ("HOME", "/mine"),
            ("A", "/root"),
            ("B", "1"),
            ("C", "$B-1"),
            ("D", "d"),
            ("E", ""),
            ("F", "${x:y}"),
        ];
        assert_eq!(values, map(expected));
    }
}
