//! The decision what a database is, made from its catalogue alone and therefore the same for both databases:
//! empty, written by the original, ours, or not to be touched.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::MigrationError;
use crate::own::{HISTORY_TABLE, MIGRATIONS};
use crate::reference::{REVISION, expected_tables, is_older};

/// What was read from a database.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Columns by table. Tables of the database system itself are left out.
    pub(crate) tables: BTreeMap<String, BTreeSet<String>>,
    /// Rows of `alembic_version`; empty without that table.
    pub(crate) revisions: Vec<String>,
    /// Number and name of our migrations that were applied, in order; empty without that table.
    pub(crate) history: Vec<(i64, String)>,
}

impl Found {
    /// Whether `alembic_version` can be read.
    pub(crate) fn has_revision(&self) -> bool {
        self.tables
            .get("alembic_version")
            .is_some_and(|columns| columns.contains("version_num"))
    }

    /// Whether our history can be read.
    pub(crate) fn has_history(&self) -> bool {
        self.tables.contains_key(HISTORY_TABLE)
    }
}

/// What may be done with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No tables: the schema is to be created.
    Empty,
    /// The original's at the right revision, complete, and never opened by this server.
    Original,
    /// Opened by this server before, with so many of our migrations applied.
    Ours {
        /// At least 1.
        applied: usize,
    },
}

impl Verdict {
    /// How many of our migrations are in the database.
    pub(crate) fn applied(self) -> usize {
        match self {
            Self::Empty | Self::Original => 0,
            Self::Ours { applied } => applied,
        }
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_current(self) -> bool {
        self.applied() == MIGRATIONS.len()
    }
}

/// Decides, or says why the database is refused. `place` names the database in the error.
pub(crate) fn judge(place: &str, found: &Found) -> Result<Verdict, MigrationError> {
    let place = || place.to_owned();
    if found.tables.is_empty() {
        return Ok(Verdict::Empty);
    }
    if !found.has_revision() {
        return Err(MigrationError::Foreign {
            place: place(),
            tables: found.tables.keys().cloned().collect(),
        });
    }
    if found.revisions != [REVISION] {
        let older = found.revisions.len() == 1 && found.revisions.iter().all(|revision| is_older(revision));
        let revision = if found.revisions.is_empty() {
            "none".to_owned()
        } else {
            found.revisions.join(", ")
        };
        return Err(if older {
            MigrationError::OlderRevision {
                place: place(),
                revision,
            }
        } else {
            MigrationError::UnknownRevision {
                place: place(),
                revision,
            }
        });
    }
    let missing = missing(found);
    if !missing.is_empty() {
        return Err(MigrationError::Incomplete {
            place: place(),
            missing,
        });
    }
    for (index, (version, name)) in found.history.iter().enumerate() {
        let Some(migration) = MIGRATIONS.get(index) else {
            return Err(MigrationError::NewerServer {
                place: place(),
                version: *version,
                known: MIGRATIONS.len(),
            });
        };
        if usize::try_from(*version) != Ok(index + 1) || name != migration.name {
            return Err(MigrationError::OtherHistory {
                place: place(),
                found: format!("{version} ({name})"),
                expected: format!("{} ({})", index + 1, migration.name),
            });
        }
    }
    Ok(match found.history.len() {
        0 => Verdict::Original,
        applied => Verdict::Ours { applied },
    })
}

/// Tables (`chat`) and columns (`chat.title`) of the original that are not there.
fn missing(found: &Found) -> Vec<String> {
    let mut missing = Vec::new();
    for (table, columns) in expected_tables() {
        match found.tables.get(*table) {
            None => missing.push((*table).to_owned()),
            Some(present) => missing.extend(
                columns
                    .iter()
                    .filter(|column| !present.contains(**column))
                    .map(|column| format!("{table}.{column}")),
            ),
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Found {
        let tables = expected_tables()
            .iter()
            .map(|(table, columns)| {
                (
                    (*table).to_owned(),
                    columns.iter().map(|column| (*column).to_owned()).collect(),
                )
            })
            .collect();
        Found {
            tables,
            revisions: vec![REVISION.to_owned()],
            history: vec![],
        }
    }

    fn judged(found: &Found) -> Result<Verdict, MigrationError> {
        judge("here", found)
    }

    #[test]
    fn complete_databases_are_told_apart_by_our_history() {
        assert_eq!(judged(&Found::default()).unwrap(), Verdict::Empty);
        let mut found = complete();
        assert_eq!(judged(&found).unwrap(), Verdict::Original);
        found.tables.insert("somebody_elses".into(), BTreeSet::new());
        found.history = vec![(1, "meta".into())];
        assert_eq!(judged(&found).unwrap(), Verdict::Ours { applied: 1 });
        assert!(!Verdict::Ours { applied: 1 }.is_current());
        assert!(
            Verdict::Ours {
                applied: MIGRATIONS.len()
            }
            .is_current()
        );
    }

    #[test]
    fn revisions_other_than_ours_are_refused() {
        let with = |revisions: &[&str]| {
            let revisions = revisions.iter().map(|revision| (*revision).to_owned()).collect();
            judged(&Found {
                revisions,
                ..complete()
            })
            .unwrap_err()
        };
        assert!(
            matches!(with(&["c92da83b017f"]), MigrationError::OlderRevision { revision, .. } if revision == "c92da83b017f")
        );
        assert!(matches!(
            with(&["abcdefabcdef"]),
            MigrationError::UnknownRevision { .. }
        ));
        assert!(matches!(with(&[]), MigrationError::UnknownRevision { revision, .. } if revision == "none"));
        assert!(matches!(
            with(&[REVISION, "c92da83b017f"]),
            MigrationError::UnknownRevision { .. }
        ));
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut found = complete();
        found.tables.remove("note");
        found.tables.get_mut("chat").unwrap().remove("summary");
        let error = judged(&found).unwrap_err();
        assert!(
            matches!(&error, MigrationError::Incomplete { missing, .. } if missing == &["chat.summary", "note"])
        );
        assert!(error.to_string().contains("chat.summary, note"), "{error}");
    }

    #[test]
    fn histories_that_are_not_ours_are_refused() {
        let mut found = complete();
        found.history = MIGRATIONS
            .iter()
            .zip(1..)
            .map(|(own, version)| (version, own.name.to_owned()))
            .collect();
        found.history.push((99, "of tomorrow".into()));
        assert!(matches!(
            judged(&found).unwrap_err(),
            MigrationError::NewerServer { version: 99, .. }
        ));
        found.history = vec![(2, "stream_journal".into())];
        assert!(matches!(
            judged(&found).unwrap_err(),
            MigrationError::OtherHistory { .. }
        ));
    }

    #[test]
    fn tables_without_a_revision_are_foreign() {
        let mut found = complete();
        found.tables.remove("alembic_version");
        assert!(
            matches!(judged(&found).unwrap_err(), MigrationError::Foreign { tables, .. } if tables.len() == 47)
        );
    }
}
