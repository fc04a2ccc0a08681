//! The difference of two texts in the unified form, as histories show it.

use similar::{Algorithm, DiffTag, capture_diff_slices, group_diff_ops};

/// Lines around a change.
const CONTEXT: usize = 3;

/// Lines without their ends, by all the ends that the reference knows.
fn lines(text: &str) -> Vec<&str> {
    let ends = |character: char| {
        matches!(
            character,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ends) {
        found.push(&rest[..at]);
        rest = &rest[at..];
        let end = if rest.starts_with("\r\n") {
            2
        } else {
            rest.chars().next().map_or(0, char::len_utf8)
        };
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        found.push(rest);
    }
    found
}

/// A range of lines as `@@` lines name it.
fn range(start: usize, length: usize) -> String {
    match length {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        _ => format!("{},{length}", start + 1),
    }
}

/// The lines of the difference; none when the lines are the same.
pub(crate) fn unified(before: &str, after: &str, from: &str, to: &str) -> Vec<String> {
    let (before, after) = (lines(before), lines(after));
    let operations = capture_diff_slices(Algorithm::Myers, &before, &after);
    let mut out = Vec::new();
    for group in group_diff_ops(operations, CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        if group.iter().all(|operation| operation.tag() == DiffTag::Equal) {
            continue;
        }
        if out.is_empty() {
            out.extend([format!("--- {from}"), format!("+++ {to}")]);
        }
        let (old, new) = (first.old_range().start, first.new_range().start);
        out.push(format!(
            "@@ -{} +{} @@",
            range(old, last.old_range().end - old),
            range(new, last.new_range().end - new)
        ));
        for operation in &group {
            let (tag, old, new) = operation.as_tag_tuple();
            if tag == DiffTag::Equal {
                out.extend(before[old].iter().map(|line| format!(" {line}")));
            } else {
                out.extend(before[old].iter().map(|line| format!("-{line}")));
                out.extend(after[new].iter().map(|line| format!("+{line}")));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_context_and_ranges() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\n";
        let after = "a\nb\nc\nd\nE\nf\ng\nh\ni\n";
        assert_eq!(
            unified(before, after, "v1", "v2"),
            [
                "--- v1",
                "+++ v2",
                "@@ -2,7 +2,8 @@",
                " b",
                " c",
                " d",
                "-e",
                "+E",
                " f",
                " g",
                " h",
                "+i"
            ]
        );
        assert_eq!(
            unified("", "x", "v1", "v2"),
            ["--- v1", "+++ v2", "@@ -0,0 +1 @@", "+x"]
        );
        assert!(unified("a\r\nb", "a\nb\n", "v1", "v2").is_empty());
    }
}
