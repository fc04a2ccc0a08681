//! Chunks that are too small are put together with a neighbour of the same file, as long as the result is not too
//! large: with those after them first, with the one before them otherwise.

use super::length::Measure;
use crate::Document;

fn same_file(a: &Document, b: &Document) -> bool {
    let known = |document: &Document, name| {
        document
            .metadata
            .get(name)
            .filter(|value| !value.is_null())
            .cloned()
    };
    if known(a, "source") != known(b, "source") {
        return false;
    }
    match (known(a, "file_id"), known(b, "file_id")) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

pub(super) fn merge(chunks: Vec<Document>, min: usize, max: usize, measure: &Measure<'_>) -> Vec<Document> {
    let mut merged: Vec<Document> = Vec::new();
    let mut current: Option<Document> = None;
    for next in chunks {
        let Some(mut growing) = current.take() else {
            current = Some(next);
            continue;
        };
        let together = format!("{}\n\n{}", growing.text, next.text);
        let fits = same_file(&growing, &next)
            && measure.length(&growing.text) < min
            && measure.length(&together) <= max;
        if fits {
            growing.text = together;
            current = Some(growing);
        } else {
            emit(&mut merged, growing, min, max, measure);
            current = Some(next);
        }
    }
    if let Some(last) = current {
        emit(&mut merged, last, min, max, measure);
    }
    merged
}

fn emit(merged: &mut Vec<Document>, chunk: Document, min: usize, max: usize, measure: &Measure<'_>) {
    if measure.length(&chunk.text) < min
        && let Some(before) = merged.last_mut()
        && same_file(before, &chunk)
    {
        let together = format!("{}\n\n{}", before.text, chunk.text);
        if measure.length(&together) <= max {
            before.text = together;
            return;
        }
    }
    merged.push(chunk);
}
