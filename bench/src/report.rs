//! Figures by name, and the table that sets those of two servers beside each other and beside what is aimed at.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Figures of one server, in the order of measurement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures(Vec<(String, f64)>);

impl Figures {
    /// Adds a figure.
    pub fn add(&mut self, name: &str, value: f64) {
        self.0.push((name.to_owned(), value));
    }

    /// A figure by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| *value)
    }

    /// Names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// What is aimed at.
enum Target {
    /// So many times the reference's.
    Times(f64),
    /// At most so much.
    Below(f64),
}

fn target(name: &str) -> Option<Target> {
    Some(match name {
        "start to /health, ms" => Target::Below(500.0),
        "idle memory, MB" => Target::Below(40.0),
        "SSE chats/s" => Target::Times(50.0),
        "bare provider's chats/s to ours" => Target::Below(1.5),
        "web chats/s" => Target::Times(100.0),
        "1000 SSE streams, added p99 ms" | "1000 web streams, added p99 ms" => Target::Below(50.0),
        "1000 SSE streams, memory MB" | "1000 web streams, memory MB" => Target::Below(300.0),
        _ if name.ends_with("requests/s") => Target::Times(100.0),
        _ => return None,
    })
}

/// Whether more is better.
fn is_rate(name: &str) -> bool {
    name.ends_with("/s")
}

/// A Markdown table of all figures.
#[must_use]
pub fn table(ours: &Figures, reference: &Figures) -> String {
    let mut text =
        String::from("| | ours | reference | times better | aim | |\n|---|---:|---:|---:|---:|---|\n");
    let others = reference.names().filter(|name| ours.get(name).is_none());
    for name in ours.names().chain(others) {
        let (mine, theirs) = (ours.get(name), reference.get(name));
        let times = match (mine, theirs) {
            (Some(mine), Some(theirs)) if mine > 0.0 && theirs > 0.0 => Some(if is_rate(name) {
                mine / theirs
            } else {
                theirs / mine
            }),
            _ => None,
        };
        let (aim, met) = match target(name) {
            Some(Target::Times(aim)) => (format!("{aim} x"), times.map(|times| times >= aim)),
            Some(Target::Below(aim)) => (format!("< {aim}"), mine.map(|mine| mine < aim)),
            None => (String::new(), None),
        };
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "",
        };
        let times = times
            .map(|times| format!("{} x", number(times)))
            .unwrap_or_default();
        let shown = |value: Option<f64>| value.map(number).unwrap_or_default();
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {times} | {aim} | {verdict} |",
            shown(mine),
            shown(theirs)
        );
    }
    text
}

/// Three digits or more.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_whether_the_aim_is_met() {
        let (mut ours, mut reference) = (Figures::default(), Figures::default());
        ours.add("health, requests/s", 5000.0);
        reference.add("health, requests/s", 40.0);
        ours.add("health, p99 ms", 0.5);
        reference.add("health, p99 ms", 50.0);
        ours.add("idle memory, MB", 41.0);
        let table = table(&ours, &reference);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| health, requests/s | 5000 | 40.0 | 125 x | 100 x | met |",
                "| health, p99 ms | 0.50 | 50.0 | 100 x |  |  |",
                "| idle memory, MB | 41.0 |  |  | < 40 | missed |",
            ]
        );
    }
}
