//! What every extracted text goes through: one kind of line end, no control characters, composed letters, no
//! typographic ligatures.

use unicode_normalization::UnicodeNormalization;

/// The text without what only printers and terminals need.
pub(crate) fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                tidy.push('\n');
            }
            '\u{2028}' | '\u{2029}' | '\u{85}' => tidy.push('\n'),
            '\n' | '\t' | '\u{c}' => tidy.push(c),
            '\u{feff}' | '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => {}
            'ﬀ' => tidy.push_str("ff"),
            'ﬁ' => tidy.push_str("fi"),
            'ﬂ' => tidy.push_str("fl"),
            'ﬃ' => tidy.push_str("ffi"),
            'ﬄ' => tidy.push_str("ffl"),
            'ﬅ' => tidy.push_str("ſt"),
            'ﬆ' => tidy.push_str("st"),
            c if c < ' ' || c == '\u{7f}' => {}
            c => tidy.push(c),
        }
    }
    tidy.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_tidied() {
        assert_eq!(tidy("\u{feff}a\r\nb\rc\u{1}\u{0}d"), "a\nb\ncd");
        assert_eq!(tidy("o\u{fb03}ce cafe\u{301}"), "office café");
        assert_eq!(tidy("page\u{c}page\ttab"), "page\u{c}page\ttab");
    }
}
