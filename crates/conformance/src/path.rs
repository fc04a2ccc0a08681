//! The small path language of scenarios (`$.data[0].id`, `$..updated_at`, `$.items[*].meta`): finds
//! values in JSON, to read or to change them. Filters and slices of full JSONPath are absent.

use anyhow::{Result, bail};
use serde_json::Value;

/// One step from a value to values inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    /// Every member of an object or list.
    Every,
    /// This key at any depth.
    Deep(String),
}

/// A parsed path. Always begins at the root `$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    /// Parses a path; keys with dots are written `["a.b"]`.
    ///
    /// # Errors
    /// When the text does not begin with `$` or a bracket is not closed.
    pub fn parse(text: &str) -> Result<Self> {
        let Some(mut rest) = text.strip_prefix('$') else {
            bail!("path {text:?} does not begin with $")
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) =
                next_step(rest).ok_or_else(|| anyhow::anyhow!("bad path {text:?} at {rest:?}"))?;
            steps.push(step);
            rest = after;
        }
        Ok(Self(steps))
    }

    /// Every value that the path points at.
    #[must_use]
    pub fn select<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        self.0.iter().fold(vec![root], |found, step| {
            let mut next = Vec::new();
            for value in found {
                step.children(value, &mut next);
            }
            next
        })
    }

    /// Calls `change` with every value that the path points at; returns how many there were.
    pub fn change(&self, root: &mut Value, change: &mut dyn FnMut(&mut Value)) -> usize {
        change_at(&self.0, root, change)
    }
}

fn next_step(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix("..") {
        let (key, rest) = take_key(rest)?;
        return Some((Step::Deep(key.to_owned()), rest));
    }
    if let Some(rest) = text.strip_prefix('.') {
        let (key, rest) = take_key(rest)?;
        let step = if key == "*" {
            Step::Every
        } else {
            Step::Key(key.to_owned())
        };
        return Some((step, rest));
    }
    let inside = text.strip_prefix('[')?;
    if let Some(quoted) = inside.strip_prefix('"') {
        let (key, rest) = quoted.split_once("\"]")?;
        return Some((Step::Key(key.to_owned()), rest));
    }
    let (index, rest) = inside.split_once(']')?;
    let step = if index == "*" {
        Step::Every
    } else {
        Step::Index(index.parse().ok()?)
    };
    Some((step, rest))
}

fn take_key(text: &str) -> Option<(&str, &str)> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

impl Step {
    fn children<'a>(&self, value: &'a Value, found: &mut Vec<&'a Value>) {
        match (self, value) {
            (Self::Key(key), Value::Object(members)) => found.extend(members.get(key)),
            (Self::Index(index), Value::Array(items)) => found.extend(items.get(*index)),
            (Self::Every, Value::Object(members)) => found.extend(members.values()),
            (Self::Every, Value::Array(items)) => found.extend(items),
            (Self::Deep(key), Value::Object(members)) => {
                for (name, member) in members {
                    if name == key {
                        found.push(member);
                    } else {
                        self.children(member, found);
                    }
                }
            }
            (Self::Deep(_), Value::Array(items)) => items.iter().for_each(|item| self.children(item, found)),
            _ => {}
        }
    }
}

fn change_at(steps: &[Step], value: &mut Value, change: &mut dyn FnMut(&mut Value)) -> usize {
    let Some((step, rest)) = steps.split_first() else {
        change(value);
        return 1;
    };
    match (step, value) {
        (Step::Key(key), Value::Object(members)) => members
            .get_mut(key)
            .map_or(0, |member| change_at(rest, member, change)),
        (Step::Index(index), Value::Array(items)) => items
            .get_mut(*index)
            .map_or(0, |item| change_at(rest, item, change)),
        (Step::Every, Value::Object(members)) => members
            .values_mut()
            .map(|member| change_at(rest, member, change))
            .sum(),
        (Step::Every, Value::Array(items)) => {
            items.iter_mut().map(|item| change_at(rest, item, change)).sum()
        }
        (Step::Deep(key), Value::Object(members)) => members
            .iter_mut()
            .map(|(name, member)| change_at(if name == key { rest } else { steps }, member, change))
            .sum(),
        (Step::Deep(_), Value::Array(items)) => {
            items.iter_mut().map(|item| change_at(steps, item, change)).sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn select(path: &str, value: &Value) -> Vec<Value> {
        Path::parse(path)
            .unwrap()
            .select(value)
            .into_iter()
            .cloned()
            .collect()
    }

    #[test]
    fn selects_keys_indexes_and_every_member() {
        let value = json!({"a": [{"id": 1}, {"id": 2}], "b.c": true});
        assert_eq!(select("$.a[1].id", &value), [json!(2)]);
        assert_eq!(select("$.a[*].id", &value), [json!(1), json!(2)]);
        assert_eq!(select(r#"$["b.c"]"#, &value), [json!(true)]);
        assert_eq!(select("$..id", &value), [json!(1), json!(2)]);
        assert_eq!(select("$.missing.id", &value), Vec::<Value>::new());
    }

    #[test]
    fn changes_in_place_and_counts() {
        let mut value = json!({"a": [{"at": 1}, {"at": 2}], "at": 3});
        let count = Path::parse("$..at")
            .unwrap()
            .change(&mut value, &mut |found| *found = json!("x"));
        assert_eq!(
            (count, value),
            (3, json!({"a": [{"at": "x"}, {"at": "x"}], "at": "x"}))
        );
    }

    #[test]
    fn refuses_bad_paths() {
        for bad in ["a.b", "$.", "$[", "$[x]", "$a"] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }
}
