//! Small readings of message texts: chunks, numbers, JSON inside prose.

use serde_json::Value;

const FIXED_WORDS: [&str; 9] = [
    "The", " quick", " brown", " fox", " jumps", " over", " the", " lazy", " dog.",
];

/// Stands in a frame for the time of its sending: a space and as many digits as the microseconds since 1970 have
/// until the year 2286.
pub(crate) const NO_TIME: &str = " 0000000000000000";

/// [`NO_TIME`] with a time in its place.
pub(crate) fn time(micros: u128) -> String {
    format!(" {micros:016}")
}

/// The chunks of the fixed text: words of one sentence, over and over.
pub fn fixed_chunks(count: usize) -> impl Iterator<Item = &'static str> {
    (0..count).map(|index| match index % FIXED_WORDS.len() {
        0 if index > 0 => " The",
        place => FIXED_WORDS[place],
    })
}

/// The text that `fake-model` answers with when it is set to so many chunks.
#[must_use]
pub fn fixed_text(chunks: usize) -> String {
    fixed_chunks(chunks).collect()
}

/// A text cut before each run of white space, so that joining the pieces gives the text again.
pub(crate) fn words(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut inside_word = false;
    for (index, character) in text.char_indices() {
        if character.is_whitespace() && inside_word {
            pieces.push(&text[start..index]);
            start = index;
        }
        inside_word = !character.is_whitespace();
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

/// A text cut into pieces of at most `size` characters.
pub(crate) fn pieces(text: &str, size: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(size)
        .map(|piece| piece.iter().collect())
        .collect()
}

/// The last whole number in a text.
pub(crate) fn last_number(text: &str) -> Option<usize> {
    text.split(|character: char| !character.is_ascii_digit())
        .rfind(|digits| !digits.is_empty())
        .and_then(|digits| digits.parse().ok())
}

/// The JSON objects and arrays that stand in a text, outermost ones only, in order.
pub(crate) fn json_values(text: &str) -> Vec<Value> {
    let mut values = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['{', '[']) {
        rest = &rest[start..];
        let mut reader = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match reader.next() {
            Some(Ok(value)) => {
                rest = &rest[reader.byte_offset()..];
                values.push(value);
            }
            _ => rest = &rest[1..],
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fixed_text_repeats_its_sentence() {
        assert_eq!(fixed_text(9), "The quick brown fox jumps over the lazy dog.");
        assert_eq!(
            fixed_text(11),
            "The quick brown fox jumps over the lazy dog. The quick"
        );
        assert_eq!(fixed_text(0), "");
    }

    #[test]
    fn words_keep_every_character() {
        assert_eq!(words("a  bc\nd "), ["a", "  bc", "\nd", " "]);
        assert_eq!(words(" a"), [" a"]);
        assert_eq!(words("ä ö"), ["ä", " ö"]);
        assert!(words("").is_empty());
    }

    #[test]
    fn pieces_do_not_cut_characters() {
        assert_eq!(pieces("aöüb", 2), ["aö", "üb"]);
        assert!(pieces("", 2).is_empty());
    }

    #[test]
    fn the_last_number_is_found() {
        assert_eq!(last_number("10 then 25 words"), Some(25));
        assert_eq!(last_number("none"), None);
        assert_eq!(last_number("99999999999999999999999"), None);
    }

    #[test]
    fn json_is_found_in_prose() {
        assert_eq!(
            json_values(r#"call {"a": {"b": 1}} {not json} then [2] }"#),
            [json!({"a": {"b": 1}}), json!([2])]
        );
        assert_eq!(json_values("a [link](x) {"), Vec::<Value>::new());
    }
}
