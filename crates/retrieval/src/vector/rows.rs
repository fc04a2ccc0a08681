//! From the rows of an engine's answers to entries and hits, page by page where they come in pages. Engines say where
//! in a row things are and on which scale they count; how they are asked is theirs.

use serde_json::Value;

use super::{Entry, Filter, Hit, Metadata};

/// How an engine tells how alike two vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// One less the cosine: from 0 (same direction) to 2.
    Distance,
    /// The cosine, from -1 to 1.
    Cosine,
    /// As it is kept here, or of another kind altogether.
    Plain,
}

impl Scale {
    /// The number as all engines are to tell it, from 0 to 1.
    pub(super) fn score(self, number: f64) -> f64 {
        match self {
            Self::Distance => (2.0 - number) / 2.0,
            Self::Cosine => (number + 1.0) / 2.0,
            Self::Plain => number,
        }
    }
}

/// Where in a row things are, as JSON pointers.
pub(super) struct Shape {
    pub(super) id: &'static str,
    pub(super) text: &'static str,
    pub(super) metadata: &'static str,
    /// Members of the metadata there that are none of the entry's.
    pub(super) own: &'static [&'static str],
    /// Where hits have their number.
    pub(super) score: &'static str,
}

impl Shape {
    /// The entry in a row; `None` without an id.
    pub(super) fn entry(&self, row: &Value) -> Option<Entry> {
        let at = |place: &str| row.pointer(place).unwrap_or(&Value::Null);
        let mut metadata = at(self.metadata).as_object().cloned();
        if let Some(metadata) = &mut metadata {
            metadata.retain(|name, _| !self.own.contains(&name.as_str()));
        }
        entry(at(self.id), at(self.text), metadata)
    }

    /// The entries of a list of rows.
    pub(super) fn entries(&self, rows: &Value) -> Vec<Entry> {
        list(rows, |row| self.entry(row))
    }

    /// The hits of a list of rows.
    pub(super) fn hits(&self, rows: &Value, scale: Scale) -> Vec<Hit> {
        list(rows, |row| {
            let score = match row.pointer(self.score)? {
                // One engine gives this number as a text.
                Value::String(text) => text.parse().ok()?,
                number => number.as_f64()?,
            };
            Some(Hit {
                entry: self.entry(row)?,
                score: scale.score(score),
            })
        })
    }
}

/// An entry from the parts of an answer.
pub(super) fn entry(id: &Value, text: &Value, metadata: Option<Metadata>) -> Option<Entry> {
    let id = match id {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => return None,
    };
    Some(Entry {
        id,
        text: text.as_str().unwrap_or_default().to_owned(),
        metadata: metadata.unwrap_or_default(),
    })
}

/// The members of a list in an answer, read by `read`; what cannot be read is left out.
pub(super) fn list<T>(list: &Value, read: impl FnMut(&Value) -> Option<T>) -> Vec<T> {
    list.as_array().into_iter().flatten().filter_map(read).collect()
}

/// Entries that come in pages:
///
/// ```text
/// let mut pages = Pages::new(filter, limit, 1000);
/// while let Some(room) = pages.room() {
///     let answer = /* at most `room` rows after `pages.seen()` rows or at `pages.cursor()` */;
///     pages.add(rows, entries);            // over when the page was not full
///     pages.follow(entries, next);         // or: over when there is no next
/// }
/// Ok(Some(pages.entries()))
/// ```
pub(super) struct Pages<'f> {
    filter: &'f Filter,
    limit: usize,
    size: usize,
    /// Whether the engine keeps to the filter by itself.
    exact: bool,
    entries: Vec<Entry>,
    seen: usize,
    cursor: Value,
    over: bool,
}

impl<'f> Pages<'f> {
    /// Nothing yet. `size` rows are asked for at once.
    pub(super) fn new(filter: &'f Filter, limit: Option<usize>, size: usize) -> Self {
        Self {
            filter,
            limit: limit.unwrap_or(usize::MAX),
            size,
            exact: true,
            entries: Vec::new(),
            seen: 0,
            cursor: Value::Null,
            over: false,
        }
    }

    /// The engine brings more than is meant, and what is not meant is left out here.
    pub(super) fn loose(mut self) -> Self {
        self.exact = false;
        self
    }

    /// How many rows to ask for; `None` when all is there.
    pub(super) fn room(&self) -> Option<usize> {
        let missing = self.limit.saturating_sub(self.entries.len());
        let wanted = if self.exact {
            missing.min(self.size)
        } else {
            self.size
        };
        (!self.over && missing > 0).then_some(wanted)
    }

    /// Rows so far.
    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// Where the next page begins, as the engine said.
    pub(super) fn cursor(&self) -> Option<&Value> {
        (!self.cursor.is_null()).then_some(&self.cursor)
    }

    /// The id that came last.
    pub(super) fn last(&self) -> Option<&str> {
        self.entries.last().map(|entry| entry.id.as_str())
    }

    /// A page of an engine that counts: the last one is not full.
    pub(super) fn add(&mut self, rows: usize, entries: Vec<Entry>) {
        let asked = self.room().unwrap_or_default();
        self.keep(rows, entries);
        self.over = rows < asked;
    }

    /// A page of an engine that says where the next one begins.
    pub(super) fn follow(&mut self, entries: Vec<Entry>, next: Value) {
        self.keep(entries.len(), entries);
        self.over = next.is_null();
        self.cursor = next;
    }

    fn keep(&mut self, rows: usize, entries: Vec<Entry>) {
        self.seen += rows;
        let (exact, filter) = (self.exact, self.filter);
        let meant = |entry: &Entry| exact || filter.matches(&entry.id, &entry.metadata);
        self.entries.extend(entries.into_iter().filter(meant));
    }

    /// What came, no more than was asked for.
    pub(super) fn entries(mut self) -> Vec<Entry> {
        self.entries.truncate(self.limit);
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHAPE: Shape = Shape {
        id: "/key",
        text: "/payload/text",
        metadata: "/payload",
        own: &["text"],
        score: "/far",
    };

    fn entries(ids: std::ops::Range<usize>) -> Vec<Entry> {
        let rows: Vec<Value> = ids
            .map(|id| json!({"key": id, "payload": {"even": id % 2 == 0}}))
            .collect();
        SHAPE.entries(&json!(rows))
    }

    #[test]
    fn rows_are_read_where_the_shape_says() {
        let rows = json!([
            {"key": "a", "payload": {"text": "A", "page": 1}, "far": 0.5},
            {"key": 7, "payload": {}, "far": "2"},
            {"payload": {"text": "no id"}, "far": 0.1},
            {"key": "no number"},
        ]);
        let hits = SHAPE.hits(&rows, Scale::Distance);
        assert_eq!(hits.len(), 2);
        assert_eq!((hits[0].entry.text.as_str(), hits[0].score), ("A", 0.75));
        assert_eq!(Value::Object(hits[0].entry.metadata.clone()), json!({"page": 1}));
        assert_eq!((hits[1].entry.id.as_str(), hits[1].score), ("7", 0.0));
        assert_eq!(Scale::Cosine.score(-1.0), 0.0);
        assert_eq!(SHAPE.entries(&rows).len(), 3);
    }

    #[test]
    fn pages_end_where_they_should() {
        let all = Filter::all();
        let mut counted = Pages::new(&all, Some(5), 3);
        assert_eq!((counted.room(), counted.seen()), (Some(3), 0));
        counted.add(3, entries(0..3));
        assert_eq!(
            (counted.room(), counted.seen(), counted.last()),
            (Some(2), 3, Some("2"))
        );
        counted.add(2, entries(3..5));
        assert_eq!(counted.room(), None);
        assert_eq!(counted.entries().len(), 5);

        let mut short = Pages::new(&all, None, 3);
        short.add(2, entries(0..2));
        assert_eq!(short.room(), None);

        let even = Filter::eq("even", true);
        let mut loose = Pages::new(&even, Some(2), 3).loose();
        loose.follow(entries(0..3), json!("next"));
        assert_eq!((loose.room(), loose.cursor()), (None, Some(&json!("next"))));
        let mut loose = Pages::new(&even, Some(3), 3).loose();
        loose.follow(entries(0..3), json!("next"));
        assert_eq!(loose.room(), Some(3));
        loose.follow(entries(3..4), Value::Null);
        assert_eq!(loose.room(), None);
        let ids: Vec<String> = loose.entries().into_iter().map(|entry| entry.id).collect();
        assert_eq!(ids, ["0", "2"]);
    }
}
