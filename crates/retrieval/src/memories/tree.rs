//! The tree of topics that memories lie in: what lies at a place, near it and below it.

use std::collections::BTreeSet;

use super::clean_path;
use oui_core::ApiResult;
use oui_models::memories::MemoryRow;
use serde_json::{Value, json};

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

fn place(row: &MemoryRow) -> Option<&str> {
    row.path.as_deref().filter(|path| !path.is_empty())
}

fn below<'a>(path: &'a str, top: &str) -> Option<&'a str> {
    path.strip_prefix(top)?.strip_prefix('/')
}

/// How near a place is to the one looked for: same, below, above, beside, sharing a part, sharing the last part.
fn nearness(path: Option<&str>, wanted: &str) -> Option<(i64, i64)> {
    let path = path?;
    let (own, other) = (parts(path), parts(wanted));
    let size = |list: &[&str]| i64::try_from(list.len()).unwrap_or(i64::MAX);
    if path == wanted {
        return Some((0, 0));
    }
    if below(path, wanted).is_some() {
        return Some((1, size(&own) - size(&other)));
    }
    if below(wanted, path).is_some() {
        return Some((2, size(&other) - size(&own)));
    }
    if own.len() > 1 && own[..own.len() - 1] == other[..other.len().saturating_sub(1)] {
        return Some((3, 0));
    }
    let shared: BTreeSet<&&str> = own.iter().filter(|part| other.contains(part)).collect();
    if !shared.is_empty() {
        return Some((4, -i64::try_from(shared.len()).unwrap_or(0)));
    }
    None
}

fn mentions(row: &MemoryRow, query: &str) -> bool {
    let query = query.trim().to_lowercase();
    let has = |text: &Option<String>| {
        text.as_deref()
            .unwrap_or_default()
            .to_lowercase()
            .contains(&query)
    };
    query.is_empty() || has(&row.content) || has(&row.path)
}

fn is_kind(row: &MemoryRow, kind: &str) -> bool {
    kind == "all" || row.kind == kind
}

fn limited(limit: i64, default: i64, most: i64) -> usize {
    let limit = if limit == 0 { default } else { limit };
    usize::try_from(limit.clamp(1, most)).unwrap_or(1)
}

fn newest_first(row: &MemoryRow) -> (i64, String) {
    (-row.updated_at.unwrap_or(0), row.id.clone())
}

/// Which memories are looked for.
pub struct Wanted<'a> {
    /// Text that content or place have.
    pub query: &'a str,
    /// Place to look near.
    pub path: Option<&'a str>,
    /// Only this one.
    pub id: Option<&'a str>,
    /// `user`, `context` or `all`.
    pub kind: &'a str,
    /// How many at most; 0 means 20.
    pub limit: i64,
}

/// Memories that match, nearest to the place first, then the newest.
pub fn search(mut rows: Vec<MemoryRow>, wanted: &Wanted<'_>) -> ApiResult<Vec<MemoryRow>> {
    let path = clean_path(wanted.path)?;
    rows.retain(|row| wanted.id.is_none_or(|id| row.id == id) && is_kind(row, wanted.kind));
    if let Some(path) = &path {
        let last = parts(path).last().copied().unwrap_or(path).to_lowercase();
        let whole = path.to_lowercase();
        rows.retain(|row| {
            let text = format!(
                "{}\n{}",
                row.path.as_deref().unwrap_or_default(),
                row.content.as_deref().unwrap_or_default()
            )
            .to_lowercase();
            nearness(place(row), path).is_some() || text.contains(&whole) || text.contains(&last)
        });
    }
    rows.retain(|row| mentions(row, wanted.query));
    rows.sort_by_cached_key(|row| {
        let near = path.as_deref().and_then(|path| nearness(place(row), path));
        (near.unwrap_or((9, 0)), newest_first(row))
    });
    rows.truncate(limited(wanted.limit, 20, 100));
    Ok(rows)
}

/// The places that memories lie at, with their numbers and the places right below.
pub fn paths(rows: &[MemoryRow], query: &str, kind: &str, limit: i64) -> Value {
    struct Group<'a> {
        path: Option<&'a str>,
        kind: &'a str,
        count: usize,
        updated_at: i64,
    }
    let mut groups: Vec<Group<'_>> = Vec::new();
    for row in rows
        .iter()
        .filter(|row| is_kind(row, kind) && mentions(row, query))
    {
        let at = row.updated_at.unwrap_or(0);
        let (path, kind) = (row.path.as_deref(), row.kind.as_str());
        match groups
            .iter_mut()
            .find(|group| group.path == path && group.kind == kind)
        {
            Some(group) => {
                group.count += 1;
                group.updated_at = group.updated_at.max(at);
            }
            None => groups.push(Group {
                path,
                kind,
                count: 1,
                updated_at: at,
            }),
        }
    }
    let known: Vec<&str> = groups
        .iter()
        .filter_map(|group| group.path)
        .filter(|path| !path.is_empty())
        .collect();
    let children = |path: Option<&str>| {
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Vec::new();
        };
        let mut children: Vec<String> = Vec::new();
        for rest in known.iter().filter_map(|other| below(other, path)) {
            let child = format!("{path}/{}", rest.split('/').next().unwrap_or_default());
            if !children.contains(&child) {
                children.push(child);
            }
        }
        children.truncate(20);
        children
    };
    let mut shown: Vec<(i64, Value)> = groups
        .iter()
        .map(|group| {
            let json = json!({
                "path": group.path, "type": group.kind, "count": group.count, "updated_at": group.updated_at,
                "children": children(group.path),
            });
            (group.updated_at, json)
        })
        .collect();
    shown.sort_by_key(|(at, _)| -at);
    let count = shown.len();
    let shown: Vec<Value> = shown.into_iter().map(|(_, json)| json).collect();
    json!({ "paths": shown[..limited(limit, 100, 500).min(count)], "count": count })
}

/// What lies at a place, above it and (with `deep`) below it.
pub fn read(rows: &[MemoryRow], path: &str, kind: &str, deep: bool, limit: i64) -> Value {
    let rows: Vec<&MemoryRow> = rows.iter().filter(|row| is_kind(row, kind)).collect();
    let known: BTreeSet<&str> = rows.iter().filter_map(|row| place(row)).collect();
    let own = parts(path);
    let parents: Vec<String> = (1..own.len())
        .map(|count| own[..count].join("/"))
        .filter(|parent| known.contains(parent.as_str()))
        .collect();
    let children: BTreeSet<String> = known
        .iter()
        .filter_map(|other| below(other, path))
        .map(|rest| format!("{path}/{}", rest.split('/').next().unwrap_or_default()))
        .collect();
    let order = |row: &MemoryRow| -> Option<(i64, i64)> {
        let place = place(row)?;
        let depth = i64::try_from(parts(place).len()).unwrap_or(i64::MAX);
        if place == path {
            Some((0, 0))
        } else if below(place, path).is_some() {
            deep.then_some((1, depth))
        } else if parents.iter().any(|parent| parent == place) {
            Some((2, -depth))
        } else {
            None
        }
    };
    let mut found: Vec<_> = rows
        .iter()
        .filter_map(|row| Some(((order(row)?, newest_first(row)), *row)))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let memories: Vec<Value> = found
        .iter()
        .take(limited(limit, 50, 100))
        .map(|(_, row)| without_meta(row))
        .collect();
    json!({
        "path": path, "parents": parents, "children": children.iter().take(50).collect::<Vec<_>>(),
        "memories": memories,
    })
}

/// A memory without its free object.
pub fn without_meta(row: &MemoryRow) -> Value {
    let mut json = row.to_json();
    if let Some(object) = json.as_object_mut() {
        object.shift_remove("meta");
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, path: &str, content: &str, updated_at: i64) -> MemoryRow {
        MemoryRow {
            id: id.into(),
            user_id: Some("u".into()),
            kind: if id.starts_with('u') { "user" } else { "context" }.into(),
            path: Some(path.to_owned()).filter(|path| !path.is_empty()),
            content: Some(content.into()),
            meta: None,
            updated_at: Some(updated_at),
            created_at: Some(1),
        }
    }

    fn rows() -> Vec<MemoryRow> {
        vec![
            row("a", "work/rust", "likes traits", 5),
            row("b", "work/rust/async", "uses tokio", 6),
            row("c", "work", "is a developer", 7),
            row("d", "work/go", "tried go", 8),
            row("u1", "", "has a dog", 9),
        ]
    }

    #[test]
    fn the_nearest_place_comes_first() {
        let wanted = |query, path, kind| Wanted {
            query,
            path,
            id: None,
            kind,
            limit: 0,
        };
        let ids = |wanted: &Wanted<'_>| {
            let found = search(rows(), wanted).unwrap();
            found.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&wanted("", Some("work/rust"), "all")), ["a", "b", "c", "d"]);
        assert_eq!(ids(&wanted("", None, "all")), ["u1", "d", "c", "b", "a"]);
        assert_eq!(ids(&wanted("DOG", None, "all")), ["u1"]);
        assert_eq!(ids(&wanted("", None, "user")), ["u1"]);
    }

    #[test]
    fn places_are_listed_and_read() {
        let listed = paths(&rows(), "", "all", 2);
        assert_eq!(listed["count"], 5);
        assert_eq!(listed["paths"].as_array().unwrap().len(), 2);
        let all = paths(&rows(), "", "all", 0);
        assert_eq!(all["paths"][2]["path"], "work");
        assert_eq!(all["paths"][2]["children"], json!(["work/rust", "work/go"]));
        let at = read(&rows(), "work/rust", "all", true, 0);
        assert_eq!(at["parents"], json!(["work"]));
        assert_eq!(at["children"], json!(["work/rust/async"]));
        let ids: Vec<&str> = at["memories"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert_eq!(
            read(&rows(), "work/rust", "all", false, 1)["memories"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }
}
