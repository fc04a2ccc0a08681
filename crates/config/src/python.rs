//! How the original reads text from the environment: Python's `int`, `float`, `split` and the `true` test.
//!
//! Existing deployments rely on these rules (a `True`, a padded number, an empty list item), therefore they
//! are kept to the letter. Nothing here knows about variables or keys.

/// Only the word `true` in any case is true; everything else, also `1` and `yes`, is false.
pub(crate) fn is_true(text: &str) -> bool {
    text.to_lowercase() == "true"
}

/// Whole number with optional sign, surrounding blanks and single underscores between digits.
pub(crate) fn int(text: &str) -> Option<i64> {
    let digits = text.trim();
    if !single_underscores(digits) {
        return None;
    }
    digits.replace('_', "").parse().ok()
}

/// Decimal number; `nan` and the infinities are refused because JSON cannot store them.
pub(crate) fn float(text: &str) -> Option<f64> {
    let digits = text.trim();
    if !single_underscores(digits) {
        return None;
    }
    digits
        .replace('_', "")
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

fn single_underscores(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'_')
        .all(|(i, _)| digit(i.checked_sub(1)) && digit(Some(i + 1)))
}

/// Items between separators, trimmed, without the empty ones.
pub(crate) fn items(text: &str, separator: char) -> Vec<String> {
    text.split(separator)
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Items between separators, trimmed, with the empty ones.
pub(crate) fn items_with_blanks(text: &str, separator: char) -> Vec<String> {
    text.split(separator).map(|item| item.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_true_is_true() {
        assert!(is_true("TRUE"));
        assert!(is_true("True"));
        for text in ["1", "yes", "on", "", " true", "true "] {
            assert!(!is_true(text), "{text:?}");
        }
    }

    #[test]
    fn numbers_follow_python() {
        assert_eq!(int(" +1_000 "), Some(1000));
        assert_eq!(int("-3"), Some(-3));
        for text in ["", "1.0", "0x10", "1__0", "_1", "1_", "12a"] {
            assert_eq!(int(text), None, "{text:?}");
        }
        assert_eq!(float(" 1e3 "), Some(1000.0));
        assert_eq!(float(".5"), Some(0.5));
        assert_eq!(float("1_0.5"), Some(10.5));
        for text in ["", "nan", "inf", "1,5", "1_.5"] {
            assert_eq!(float(text), None, "{text:?}");
        }
    }

    #[test]
    fn lists_keep_or_drop_blanks() {
        assert_eq!(items(" a, ,b ,", ','), ["a", "b"]);
        assert_eq!(items_with_blanks(" a; ;b", ';'), ["a", "", "b"]);
        assert_eq!(items_with_blanks("", ';'), [""]);
    }
}
