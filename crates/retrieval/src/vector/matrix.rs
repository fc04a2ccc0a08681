//! The vectors of one collection in memory, a byte per number, for the first pass of a search. The pass over all of
//! them finds candidates; their exact scores come from the stored vectors.

use std::collections::HashSet;

use pulp::Arch;
use rayon::prelude::*;

/// Rows that one task scores.
const ROWS: usize = 4096;

/// Vectors of length 1 with a byte per number.
pub(super) struct Matrix {
    width: usize,
    rows: Vec<i8>,
    scales: Vec<f32>,
    entries: Vec<i64>,
}

impl Matrix {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            rows: Vec::new(),
            scales: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Bytes it takes.
    pub(super) fn size(&self) -> usize {
        self.rows.len() + 12 * self.entries.len()
    }

    /// Adds the vector of an entry. One of another width counts as nothing.
    pub(super) fn push(&mut self, entry: i64, vector: &[f32]) {
        if vector.len() != self.width {
            return;
        }
        let length = norm(vector);
        let top = vector.iter().fold(0.0_f32, |top, value| top.max(value.abs()));
        let factor = if top > 0.0 { 127.0 / top } else { 0.0 };
        self.rows
            .extend(vector.iter().map(|value| (value * factor).round() as i8));
        self.scales
            .push(if length > 0.0 { top / 127.0 / length } else { 0.0 });
        self.entries.push(entry);
    }

    /// Takes entries out.
    pub(super) fn remove(&mut self, gone: &HashSet<i64>) {
        let mut place = 0;
        while place < self.entries.len() {
            if !gone.contains(&self.entries[place]) {
                place += 1;
                continue;
            }
            let last = self.entries.len() - 1;
            self.entries.swap_remove(place);
            self.scales.swap_remove(place);
            if place != last {
                let start = last * self.width;
                self.rows
                    .copy_within(start..start + self.width, place * self.width);
            }
            self.rows.truncate(last * self.width);
        }
    }

    /// About the `count` entries nearest to the vector, in no order.
    pub(super) fn nearest(&self, vector: &[f32], count: usize) -> Vec<i64> {
        let top = vector.iter().fold(0.0_f32, |top, value| top.max(value.abs()));
        if vector.len() != self.width || self.width == 0 || top == 0.0 {
            return Vec::new();
        }
        let wanted: Vec<i16> = vector
            .iter()
            .map(|value| (value / top * 16_383.0).round() as i16)
            .collect();
        let mut scores = vec![0.0_f32; self.entries.len()];
        scores
            .par_chunks_mut(ROWS)
            .zip(self.rows.par_chunks(ROWS * self.width))
            .zip(self.scales.par_chunks(ROWS))
            .for_each(|((scores, rows), scales)| score(&wanted, rows, scales, scores));
        let mut places: Vec<u32> = (0..u32::try_from(scores.len()).unwrap_or(u32::MAX)).collect();
        let order = |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]);
        if count < places.len() {
            places.select_nth_unstable_by(count, order);
            places.truncate(count);
        }
        places
            .into_iter()
            .map(|place| self.entries[place as usize])
            .collect()
    }
}

/// Scores of rows, all by the same factor too large.
fn score(wanted: &[i16], rows: &[i8], scales: &[f32], scores: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for ((row, scale), score) in rows.chunks_exact(wanted.len()).zip(scales).zip(scores.iter_mut()) {
                let sum: i32 = row
                    .iter()
                    .zip(wanted)
                    .map(|(a, b)| i32::from(*a) * i32::from(*b))
                    .sum();
                *score = sum as f32 * scale;
            }
        },
    );
}

fn norm(vector: &[f32]) -> f32 {
    vector.iter().map(|value| value * value).sum::<f32>().sqrt()
}

/// Cosine of the angle between two vectors, brought from -1..1 to 0..1.
pub(crate) fn likeness(a: &[f32], b: &[f32]) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    let square = |v: &[f32]| v.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
    let lengths = (square(a) * square(b)).sqrt();
    if lengths > 0.0 {
        (1.0 + dot / lengths) / 2.0
    } else {
        0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are the same at each run.
    fn vectors(count: usize, width: usize) -> Vec<Vec<f32>> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..count).map(|_| (0..width).map(|_| next()).collect()).collect()
    }

    #[test]
    fn the_nearest_are_among_the_candidates() {
        let all = vectors(3000, 48);
        let mut matrix = Matrix::new(48);
        for (entry, vector) in (0..).zip(&all) {
            matrix.push(entry, vector);
        }
        let gone: HashSet<i64> = (0..3000).filter(|entry| entry % 3 == 0).collect();
        matrix.remove(&gone);
        for question in &vectors(20, 48) {
            let mut exact: Vec<i64> = (0..3000).filter(|entry| entry % 3 != 0).collect();
            exact.sort_by(|a, b| {
                let near = |entry: i64| likeness(question, &all[entry as usize]);
                near(*b).total_cmp(&near(*a))
            });
            let found = matrix.nearest(question, 40);
            assert_eq!(found.len(), 40);
            assert!(exact[..10].iter().all(|entry| found.contains(entry)));
        }
        assert!(matrix.nearest(&[1.0; 3], 5).is_empty());
    }

    #[test]
    fn likeness_is_between_zero_and_one() {
        assert_eq!(likeness(&[1.0, 0.0], &[2.0, 0.0]), 1.0);
        assert_eq!(likeness(&[1.0, 0.0], &[0.0, 3.0]), 0.5);
        assert_eq!(likeness(&[1.0, 0.0], &[-1.0, 0.0]), 0.0);
        assert_eq!(likeness(&[0.0], &[1.0]), 0.5);
    }
}
