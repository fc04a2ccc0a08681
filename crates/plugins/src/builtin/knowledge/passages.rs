//! Looking through texts for lines that match exactly. Pure and possibly slow: run it off the runtime.

use oui_models::knowledge_texts::FileText;
use regex::{Regex, RegexBuilder};

/// Characters of a search pattern.
const PATTERN_LIMIT: usize = 1000;

/// Tells whether a line matches.
pub(in crate::builtin) struct Matcher(Regex);

impl Matcher {
    /// A matcher for a text, or for a regular expression when it has signs of one. The error is for the model.
    pub(in crate::builtin) fn new(pattern: &str, ignore_case: bool) -> Result<Self, String> {
        if pattern.chars().count() > PATTERN_LIMIT {
            return Err(format!(
                "Search patterns over {PATTERN_LIMIT} characters are not supported"
            ));
        }
        let text = if is_expression(pattern) {
            pattern.to_owned()
        } else {
            regex::escape(pattern)
        };
        let built = RegexBuilder::new(&text).case_insensitive(ignore_case).build();
        built.map(Self).map_err(|error| format!("Invalid regex: {error}"))
    }
}

fn is_expression(pattern: &str) -> bool {
    let signs = ["|", ".*", ".+", ".?", r"\d", r"\w", r"\s"];
    let has_class = pattern
        .find('[')
        .is_some_and(|open| pattern[open + 1..].rfind(']').is_some_and(|close| close > 0));
    has_class || signs.iter().any(|sign| pattern.contains(sign))
}

/// A search for lines, over as many files as there are.
pub(in crate::builtin) struct Grep {
    matcher: Matcher,
    limit: usize,
    count_only: bool,
    lines: Vec<String>,
    counts: Vec<String>,
    total: usize,
}

impl Grep {
    pub(in crate::builtin) fn new(matcher: Matcher, limit: usize, count_only: bool) -> Self {
        Self {
            matcher,
            limit,
            count_only,
            lines: Vec::new(),
            counts: Vec::new(),
            total: 0,
        }
    }

    /// Goes through some more files.
    pub(in crate::builtin) fn through(mut self, files: &[FileText]) -> Self {
        for file in files {
            let before = self.total;
            for (index, line) in file.content.split('\n').enumerate() {
                if !self.matcher.0.is_match(line) {
                    continue;
                }
                self.total += 1;
                if !self.count_only && self.lines.len() < self.limit {
                    let number = index + 1;
                    self.lines
                        .push(format!("{}  {}:{number}: {line}", file.id, file.filename));
                }
            }
            if self.total > before {
                let found = self.total - before;
                self.counts
                    .push(format!("{}  {}: {found}", file.id, file.filename));
            }
        }
        self
    }

    /// What was found.
    pub(in crate::builtin) fn report(&self, pattern: &str) -> String {
        if self.total == 0 {
            return format!("No matches for \"{pattern}\"");
        }
        if self.count_only {
            return format!("{}\n[{} total matches]", self.counts.join("\n"), self.total);
        }
        let mut report = self.lines.join("\n");
        if self.total > self.limit {
            report.push_str(&format!(
                "\n[{} of {} matches shown — use file_id to narrow]",
                self.limit, self.total
            ));
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> FileText {
        FileText {
            id: "f".into(),
            filename: "birds.md".into(),
            content: content.into(),
            created_at: None,
            updated_at: None,
        }
    }

    #[test]
    fn lines_are_found_by_text_and_expression() {
        let report = |pattern: &str, count_only: bool, limit: usize| {
            let grep = Grep::new(Matcher::new(pattern, false).unwrap(), limit, count_only);
            grep.through(&[file("a.b\nxx\na.b 12")]).report(pattern)
        };
        assert_eq!(
            report("a.b", false, 9),
            "f  birds.md:1: a.b\nf  birds.md:3: a.b 12"
        );
        assert_eq!(report(r"\d\d", false, 9), "f  birds.md:3: a.b 12");
        assert_eq!(report("a.b", true, 9), "f  birds.md: 2\n[2 total matches]");
        assert!(report("a.b", false, 1).ends_with("[1 of 2 matches shown — use file_id to narrow]"));
        assert_eq!(report("none", false, 9), "No matches for \"none\"");
        assert!(Matcher::new("(|", false).is_err());
    }
}
