//! Which operations of the reference are routed here and held to a golden file, per area.

use std::{collections::BTreeMap, fmt, path::Path};

use anyhow::{Context, Result};

use crate::{
    golden::Golden,
    scenario::{Action, Scenario},
};

/// One operation of the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Upper case.
    pub method: String,
    /// With `{parameters}`.
    pub path: String,
    /// For example `chats`.
    pub area: String,
}

/// An operation and what is known of it.
#[derive(Debug, Clone)]
pub struct Row {
    /// The operation.
    pub operation: Operation,
    /// Whether our server routes it.
    pub routed: bool,
    /// How many recorded steps call it.
    pub steps: usize,
}

/// The whole report; shows itself as text.
#[derive(Debug, Clone)]
pub struct Coverage {
    /// In the order of the data file.
    pub rows: Vec<Row>,
    /// Whether the list of our routes was given.
    pub routes_known: bool,
    /// Whether every missing operation is listed.
    pub detailed: bool,
}

/// Reads `endpoints.tsv`: method, path and area, separated by tabs, below a line of titles.
///
/// # Errors
/// When the file cannot be read or a line is short.
pub fn operations(file: &Path) -> Result<Vec<Operation>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let lines = text.lines().skip(1).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut columns = line.split('\t').map(str::to_owned);
            let mut next = || columns.next().with_context(|| format!("short line {line:?}"));
            Ok(Operation {
                method: next()?,
                path: next()?,
                area: next()?,
            })
        })
        .collect()
}

/// Reads a list of routes, `METHOD path` on each line; what follows is of no interest.
#[must_use]
pub fn routes(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_ascii_uppercase(), words.next()?.to_owned()))
        })
        .collect()
}

/// Makes the report. Only steps of scenarios that have a golden file count.
#[must_use]
pub fn report(
    operations: Vec<Operation>,
    routes: Option<&[(String, String)]>,
    scenarios: &[Scenario],
    golden: &Path,
) -> Coverage {
    let mut rows: Vec<Row> = operations
        .into_iter()
        .map(|operation| {
            let routed = routes.is_some_and(|routes| {
                routes.iter().any(|(method, path)| {
                    *method == operation.method && without_names(path) == without_names(&operation.path)
                })
            });
            Row {
                operation,
                routed,
                steps: 0,
            }
        })
        .collect();
    for scenario in scenarios
        .iter()
        .filter(|scenario| Golden::path(golden, scenario).exists())
    {
        for step in &scenario.steps {
            let Action::Call(call) = &step.action else {
                continue;
            };
            let path = call.path.split('?').next().unwrap_or_default();
            let best = rows
                .iter_mut()
                .filter(|row| row.operation.method == call.method)
                .filter_map(|row| Some((fit(&row.operation.path, path)?, row)))
                .max_by_key(|(literal, _)| *literal);
            if let Some((_, row)) = best {
                row.steps += 1;
            }
        }
    }
    Coverage {
        rows,
        routes_known: routes.is_some(),
        detailed: true,
    }
}

/// A route with its parameter names taken out: `/a/{id}` and `/a/{x}` are the same place, and so is `/a/{x:path}`,
/// which the reference writes for ids that may hold a slash.
fn without_names(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        _ if part.starts_with('{') => "{}",
        other => other,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// How many parts of a template are literally those of the path, if the template fits at all.
fn fit(template: &str, path: &str) -> Option<usize> {
    let mut parts = path.split('/');
    let mut literal = 0;
    for wanted in template.split('/') {
        if wanted.contains(":path}") || wanted.starts_with("{*") {
            return parts.next().map(|_| literal);
        }
        let part = parts.next()?;
        if wanted.starts_with('{') {
            if part.is_empty() {
                return None;
            }
        } else if wanted == part {
            literal += 1;
        } else {
            return None;
        }
    }
    parts.next().is_none().then_some(literal)
}

impl fmt::Display for Coverage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut areas: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
        for row in &self.rows {
            let counts = areas.entry(&row.operation.area).or_default();
            counts.0 += 1;
            counts.1 += usize::from(row.routed);
            counts.2 += usize::from(row.steps > 0);
        }
        writeln!(
            out,
            "{:<16}{:>12}{:>10}{:>16}",
            "area", "operations", "routed", "with scenario"
        )?;
        let mut total = (0, 0, 0);
        for (area, (operations, routed, covered)) in &areas {
            let routed_text = if self.routes_known {
                routed.to_string()
            } else {
                "?".to_owned()
            };
            writeln!(out, "{area:<16}{operations:>12}{routed_text:>10}{covered:>16}")?;
            total = (total.0 + operations, total.1 + routed, total.2 + covered);
        }
        let routed_text = if self.routes_known {
            total.1.to_string()
        } else {
            "?".to_owned()
        };
        writeln!(
            out,
            "{:<16}{:>12}{routed_text:>10}{:>16}",
            "all", total.0, total.2
        )?;
        if self.detailed {
            if self.routes_known {
                self.missing(out, "not routed", |row| row.routed)?;
            }
            self.missing(out, "without scenario", |row| row.steps > 0)?;
        }
        Ok(())
    }
}

impl Coverage {
    fn missing(
        &self,
        out: &mut fmt::Formatter<'_>,
        title: &str,
        is_there: impl Fn(&Row) -> bool,
    ) -> fmt::Result {
        writeln!(out, "\n{title}:")?;
        for row in self.rows.iter().filter(|row| !is_there(row)) {
            writeln!(
                out,
                "  {:<14}{:<8}{}",
                row.operation.area, row.operation.method, row.operation.path
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn operation(method: &str, path: &str) -> Operation {
        Operation {
            method: method.to_owned(),
            path: path.to_owned(),
            area: "chats".to_owned(),
        }
    }

    #[test]
    fn literal_paths_win_over_parameters() {
        assert_eq!(fit("/chats/{id}", "/chats/pinned"), Some(2));
        assert_eq!(fit("/chats/pinned", "/chats/pinned"), Some(3));
        assert_eq!(fit("/chats/{id}", "/chats/"), None);
        assert_eq!(fit("/cache/{path:path}", "/cache/a/b"), Some(2));
        assert_eq!(fit("/chats/{id}/tags", "/chats/x"), None);
    }

    #[test]
    fn steps_and_routes_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let text = "scenarios: [{name: x, steps: [{call: 'GET /chats/{{chat}}?page=1'}, {call: GET /chats/pinned}]}]";
        let scenarios = scenario::parse("chats", text).unwrap();
        let golden = Golden {
            scenario: String::new(),
            profile: String::new(),
            steps: vec![],
        };
        let operations = vec![
            operation("GET", "/chats/{id}"),
            operation("GET", "/chats/pinned"),
            operation("POST", "/chats/{id}"),
        ];
        assert_eq!(
            without_names("/tasks/{id:path}/stop"),
            without_names("/tasks/{chat}/stop")
        );
        let routes = routes("GET\t/chats/{chat_id}\tVerified\npost  /chats/{id}\n");
        let before = report(operations.clone(), Some(&routes), &scenarios, folder.path());
        assert!(before.rows.iter().all(|row| row.steps == 0));
        golden.store(folder.path(), &scenarios[0]).unwrap();
        let after = report(operations, Some(&routes), &scenarios, folder.path());
        let seen: Vec<_> = after.rows.iter().map(|row| (row.routed, row.steps)).collect();
        assert_eq!(seen, [(true, 1), (false, 1), (true, 0)]);
    }
}
