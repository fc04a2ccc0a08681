//! Cutting at the largest separators that make pieces small enough: paragraphs, lines, words, characters. Pieces are
//! then put together again up to the wanted size, with an overlap.

use std::collections::VecDeque;

use super::length::Measure;

const SEPARATORS: &[&str] = &["\n\n", "\n", " ", ""];

/// Chunks of at most `size`, with up to `overlap` of the one before.
pub(super) fn split(text: &str, size: usize, overlap: usize, measure: &Measure<'_>) -> Vec<String> {
    let mut chunks = Vec::new();
    Cutter {
        size,
        overlap,
        measure,
    }
    .cut(text, SEPARATORS, &mut chunks);
    chunks
}

struct Cutter<'a> {
    size: usize,
    overlap: usize,
    measure: &'a Measure<'a>,
}

/// Pieces of a text; each but the first begins with the separator.
fn pieces<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    let starts: Vec<usize> = match separator {
        "" => text.char_indices().map(|(at, _)| at).collect(),
        separator => std::iter::once(0)
            .chain(text.match_indices(separator).map(|(at, _)| at))
            .collect(),
    };
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &text[*start..end])
        .filter(|piece| !piece.is_empty())
        .collect()
}

impl Cutter<'_> {
    fn cut(&self, text: &str, separators: &[&str], chunks: &mut Vec<String>) {
        let at = separators
            .iter()
            .position(|separator| separator.is_empty() || text.contains(separator))
            .unwrap_or(separators.len() - 1);
        let (separator, smaller) = match separators.get(at) {
            Some(separator) => (*separator, &separators[at + 1..]),
            None => ("", &separators[..0]),
        };
        let mut small = Vec::new();
        for piece in pieces(text, separator) {
            let length = self.measure.length(piece);
            if length < self.size {
                small.push((piece, length));
                continue;
            }
            self.join(&mut small, chunks);
            if smaller.is_empty() {
                chunks.push(piece.to_owned());
            } else {
                self.cut(piece, smaller, chunks);
            }
        }
        self.join(&mut small, chunks);
    }

    /// Puts neighbouring pieces together, and takes the pieces.
    fn join(&self, small: &mut Vec<(&str, usize)>, chunks: &mut Vec<String>) {
        let mut current: VecDeque<(&str, usize)> = VecDeque::new();
        let mut total = 0;
        let mut finish = |current: &VecDeque<(&str, usize)>| {
            let text: String = current.iter().map(|(piece, _)| *piece).collect();
            let text = text.trim();
            if !text.is_empty() {
                chunks.push(text.to_owned());
            }
        };
        // A tokenizer that frames a text counts its frame, also where nothing is between two pieces.
        let joint = self.measure.length("");
        for (piece, length) in small.drain(..) {
            let added = |current: &VecDeque<(&str, usize)>| if current.is_empty() { 0 } else { joint };
            if total + length + added(&current) > self.size && !current.is_empty() {
                finish(&current);
                // What stays is the overlap, if the next piece leaves room for it.
                while total > self.overlap || (total + length + added(&current) > self.size && total > 0) {
                    let Some((_, gone)) = current.pop_front() else {
                        break;
                    };
                    total -= gone + added(&current);
                }
            }
            total += length + added(&current);
            current.push_back((piece, length));
        }
        finish(&current);
    }
}
