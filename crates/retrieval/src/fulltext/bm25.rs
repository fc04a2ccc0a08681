//! BM25 over a list of texts, for stores that have no index of words.

use std::collections::HashMap;

use tantivy::tokenizer::{TokenStream, Tokenizer};

use super::enriched;
use super::words::Words;
use crate::vector::{Entry, Hit};

/// How fast repetitions of a word stop to count.
const REPETITION: f64 = 1.2;

/// How much the length of a text counts.
const LENGTH: f64 = 0.75;

fn words_of(text: &str) -> Vec<String> {
    let mut words = Words::default();
    let mut stream = words.token_stream(text);
    let mut found = Vec::new();
    while stream.advance() {
        found.push(stream.token().text.clone());
    }
    found
}

/// The `limit` entries that best match the words of the question.
pub(crate) fn rank(entries: Vec<Entry>, question: &str, limit: usize, with_names: bool) -> Vec<Hit> {
    let mut wanted = words_of(question);
    wanted.sort_unstable();
    wanted.dedup();
    let texts: Vec<(usize, HashMap<String, usize>)> = entries
        .iter()
        .map(|entry| {
            let mut words = words_of(&entry.text);
            if with_names {
                words.extend(words_of(&enriched(&entry.metadata)));
            }
            let length = words.len();
            let mut counts = HashMap::new();
            for word in words
                .into_iter()
                .filter(|word| wanted.binary_search(word).is_ok())
            {
                *counts.entry(word).or_insert(0) += 1;
            }
            (length, counts)
        })
        .collect();
    let count = entries.len() as f64;
    let total: usize = texts.iter().map(|(length, _)| length).sum();
    let mean = (total as f64 / count.max(1.0)).max(1.0);
    let rarity: HashMap<&str, f64> = wanted
        .iter()
        .map(|word| {
            let having = texts
                .iter()
                .filter(|(_, counts)| counts.contains_key(word))
                .count() as f64;
            (
                word.as_str(),
                (1.0 + (count - having + 0.5) / (having + 0.5)).ln(),
            )
        })
        .collect();
    let mut hits: Vec<Hit> = entries
        .into_iter()
        .zip(texts)
        .filter_map(|(entry, (length, counts))| {
            let damping = REPETITION * (1.0 - LENGTH + LENGTH * length as f64 / mean);
            let score: f64 = counts
                .iter()
                .map(|(word, count)| {
                    let count = *count as f64;
                    rarity.get(word.as_str()).copied().unwrap_or(0.0) * count * (REPETITION + 1.0)
                        / (count + damping)
                })
                .sum();
            (score > 0.0).then_some(Hit { entry, score })
        })
        .collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    hits.truncate(limit);
    hits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rare_words_count_more() {
        let entry = |id: &str, text: &str| Entry {
            id: id.into(),
            text: text.into(),
            metadata: json!({ "name": format!("{id}.pdf") })
                .as_object()
                .cloned()
                .unwrap(),
        };
        let entries = || {
            vec![
                entry("a", "the cat and the dog"),
                entry("b", "the hedgehog and the dog"),
                entry("c", "the dog"),
                entry("d", "fish"),
            ]
        };
        let ids = |hits: Vec<Hit>| hits.into_iter().map(|hit| hit.entry.id).collect::<Vec<_>>();
        assert_eq!(ids(rank(entries(), "Hedgehog, dog", 5, false)), ["b", "c", "a"]);
        assert_eq!(ids(rank(entries(), "hedgehog dog", 1, false)), ["b"]);
        assert!(rank(entries(), "d", 5, false).is_empty());
        assert_eq!(ids(rank(entries(), "d", 5, true)), ["d"]);
        assert!(rank(Vec::new(), "dog", 5, false).is_empty());
    }
}
