//! `LIKE` that folds the case of every script, for SQLite.
//!
//! The original replaces SQLite's `LIKE`, which folds ASCII only, by a function of its own. Here the connections
//! carry sqlx's `REGEXP` instead, and a pattern goes through [`like_regex`]: where PostgreSQL says
//! `title ILIKE $1`, SQLite says `title REGEXP $1` with the translated pattern bound. The compiled expression lives as
//! long as the statement runs, and matching takes time linear in the text.

/// An expression without a match.
const NOTHING: &str = r"[^\s\S]";

/// The regular expression that matches what `LIKE pattern` (with `ESCAPE escape`, if any) matches: `%` stands for any
/// text, `_` for one character, line breaks included, letters match in any case. As in the original, a pattern that
/// ends in a bare escape character matches nothing.
pub fn like_regex(pattern: &str, escape: Option<char>) -> String {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            match characters.next() {
                Some(escaped) => push_literal(&mut part, escaped),
                None => return NOTHING.to_owned(),
            }
        } else if character == '%' {
            parts.push(std::mem::take(&mut part));
        } else if character == '_' {
            part.push('.');
        } else {
            push_literal(&mut part, character);
        }
    }
    parts.push(part);
    // A `%` at an end needs no anchor there; without one the engine can search for the literal directly.
    let open = |part: Option<&String>| parts.len() > 1 && part.is_some_and(String::is_empty);
    let begin = if open(parts.first()) { "" } else { r"\A" };
    let end = if open(parts.last()) { "" } else { r"\z" };
    let body: Vec<_> = parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(String::as_str)
        .collect();
    format!("(?is){begin}{}{end}", body.join(".*"))
}

fn push_literal(part: &mut String, literal: char) {
    part.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        regex::Regex::new(&like_regex(pattern, Some('\\')))
            .unwrap()
            .is_match(text)
    }

    #[test]
    fn wildcards_match_as_like_does() {
        for (pattern, text, expected) in [
            ("%grüße%", "Schöne GRÜSSE und GRÜßE", true),
            ("%ÖSTERREICH", "nach österreich", true),
            ("%ÖSTERREICH", "nach Österreich!", false),
            ("привет%", "ПРИВЕТ, мир", true),
            ("a_c", "aßc", true),
            ("a_c", "ac", false),
            ("a%c", "a\nb\nc", true),
            ("a%%c", "ac", true),
            ("abc", "xabc", false),
            ("", "", true),
            ("", "a", false),
            ("%", "", true),
            ("100\\%", "100%", true),
            ("100\\%", "1000", false),
            ("a\\_b", "axb", false),
            ("(.*)[x", "(.*)[X", true),
            ("a\\", "a\\", false),
            ("a\\", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn without_an_escape_character_a_backslash_is_a_backslash() {
        assert_eq!(like_regex(r"a\%b", None), r"(?is)\Aa\\.*b\z");
        assert_eq!(like_regex("%a%b%", None), "(?is)a.*b");
    }
}
