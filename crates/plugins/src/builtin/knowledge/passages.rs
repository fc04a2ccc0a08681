//! Looking through texts: lines that match exactly, and passages that share the rare words of a question (BM25).
//! Pure and possibly slow: run it off the runtime.

use std::collections::{HashMap, HashSet};

use oui_models::knowledge_texts::FileText;
use regex::{Regex, RegexBuilder};

/// Characters of a search pattern.
const PATTERN_LIMIT: usize = 1000;

/// Characters of a passage, about; it ends at the end of a line or a word.
const PASSAGE: usize = 1000;

/// Tells whether a line matches.
pub(super) struct Matcher(Regex);

impl Matcher {
    /// A matcher for a text, or for a regular expression when it has signs of one. The error is for the model.
    pub(super) fn new(pattern: &str, ignore_case: bool) -> Result<Self, String> {
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
pub(super) struct Grep {
    matcher: Matcher,
    limit: usize,
    count_only: bool,
    lines: Vec<String>,
    counts: Vec<String>,
    total: usize,
}

impl Grep {
    pub(super) fn new(matcher: Matcher, limit: usize, count_only: bool) -> Self {
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
    pub(super) fn through(mut self, files: &[FileText]) -> Self {
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
    pub(super) fn report(&self, pattern: &str) -> String {
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

/// A piece of a file.
pub(super) struct Passage {
    pub(super) file_id: String,
    pub(super) filename: String,
    pub(super) text: String,
    /// 0 to 1.
    pub(super) score: f64,
}

/// The pieces of these files that fit the question best.
pub(super) fn best(query: &str, files: &[FileText], count: usize) -> Vec<Passage> {
    let pieces: Vec<(&FileText, &str)> = files
        .iter()
        .flat_map(|file| pieces(&file.content).into_iter().map(move |piece| (file, piece)))
        .collect();
    let texts: Vec<&str> = pieces.iter().map(|(_, text)| *text).collect();
    let ranked = rank(query, &texts, count);
    let passage = |(index, score): (usize, f64)| {
        let (file, text) = pieces[index];
        Passage {
            file_id: file.id.clone(),
            filename: file.filename.clone(),
            text: text.to_owned(),
            score,
        }
    };
    ranked.into_iter().map(passage).collect()
}

/// Cuts a text into pieces of about [`PASSAGE`] characters, at ends of lines where there are any.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while let Some((limit, _)) = rest.char_indices().nth(PASSAGE) {
        let head = &rest[..limit];
        let cut = head
            .rfind('\n')
            .or_else(|| head.rfind(char::is_whitespace))
            .filter(|cut| *cut > 0)
            .unwrap_or(limit);
        pieces.push(rest[..cut].trim());
        rest = rest[cut..].trim_start();
    }
    pieces.push(rest);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// The texts that share words with the question: index and score from 0 to 1, best first. Rare words count more,
/// repeated ones a little, and long texts less (BM25 with its usual constants).
pub(super) fn rank(query: &str, texts: &[impl AsRef<str>], count: usize) -> Vec<(usize, f64)> {
    const K: f64 = 1.2;
    const B: f64 = 0.75;
    let wanted: HashSet<String> = words(query).into_iter().collect();
    let counted: Vec<(HashMap<String, f64>, f64)> = texts
        .iter()
        .map(|text| {
            let all = words(text.as_ref());
            let length = all.len() as f64;
            let mut counts = HashMap::new();
            for word in all.into_iter().filter(|word| wanted.contains(word)) {
                *counts.entry(word).or_insert(0.0) += 1.0;
            }
            (counts, length)
        })
        .collect();
    let total = counted.len() as f64;
    let mean = (counted.iter().map(|(_, length)| length).sum::<f64>() / total.max(1.0)).max(1.0);
    let weight = |word: &String| {
        let with = counted
            .iter()
            .filter(|(counts, _)| counts.contains_key(word))
            .count() as f64;
        (1.0 + (total - with + 0.5) / (with + 0.5)).ln()
    };
    let weights: HashMap<&String, f64> = wanted.iter().map(|word| (word, weight(word))).collect();
    let most: f64 = weights.values().sum::<f64>() * (K + 1.0);
    let mut ranked: Vec<(usize, f64)> = counted
        .iter()
        .enumerate()
        .filter(|(_, (counts, _))| !counts.is_empty())
        .map(|(index, (counts, length))| {
            let score: f64 = counts
                .iter()
                .map(|(word, count)| {
                    weights.get(word).copied().unwrap_or_default() * count * (K + 1.0)
                        / (count + K * (1.0 - B + B * length / mean))
                })
                .sum();
            (
                index,
                ((score / most.max(f64::MIN_POSITIVE)) * 10_000.0).round() / 10_000.0,
            )
        })
        .collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.truncate(count);
    ranked
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

    #[test]
    fn rare_words_decide() {
        let texts = ["the sparrow sings", "the eagle flies", "the the the"];
        let ranked = rank("the eagle", &texts, 5);
        assert_eq!(ranked[0].0, 1);
        assert!(ranked.iter().all(|(_, score)| (0.0..=1.0).contains(score)));
        assert!(rank("whale", &texts, 5).is_empty());
    }

    #[test]
    fn texts_are_cut_at_lines() {
        let line = "word ".repeat(60);
        let text = format!("{line}\n{line}\n{line}\n{line}\n{line}");
        let cut = pieces(&text);
        assert!(cut.len() > 1 && cut.iter().all(|piece| piece.chars().count() <= PASSAGE));
        assert_eq!(pieces("  "), Vec::<&str>::new());
        assert_eq!(pieces(&"x".repeat(2500)).len(), 3);
    }
}
