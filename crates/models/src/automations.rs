//! Tables `automation` and `automation_run`: prompts that run on a schedule, and their runs. Times are
//! nanoseconds. Running them is not done here.

use serde_json::{Map, Value, json};

use crate::db::{Arg, Db, DbResult, FromRow, placeholders, sql};
use crate::shared::{self, Condition};
use crate::{args, table};

table! {
    /// One automation.
    pub struct AutomationRow in "automation" {
        /// Row id.
        pub id: String,
        /// Owner.
        pub user_id: String,
        /// Folder of the chats that it makes.
        pub folder_id: Option<String>,
        /// Name shown.
        pub name: String,
        /// `{prompt, model_id, rrule, terminal, target}`.
        pub data: Value,
        /// Free object.
        pub meta: Option<Value>,
        /// Whether it runs.
        pub is_active: bool,
        /// Time of the last run.
        pub last_run_at: Option<i64>,
        /// Time of the next run.
        pub next_run_at: Option<i64>,
        /// When it was made.
        pub created_at: i64,
        /// When it was changed.
        pub updated_at: i64,
    }
}

table! {
    /// One run.
    pub struct RunRow in "automation_run" {
        /// Row id.
        pub id: String,
        /// Automation.
        pub automation_id: String,
        /// Chat that it made.
        pub chat_id: Option<String>,
        /// `success` or `error`.
        pub status: String,
        /// What went wrong.
        pub error: Option<String>,
        /// When it ran.
        pub created_at: i64,
    }
}

impl AutomationRow {
    /// The automation as routes send it.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in [
            ("id", json!(self.id)),
            ("user_id", json!(self.user_id)),
            ("folder_id", json!(self.folder_id)),
            ("name", json!(self.name)),
            ("data", self.data.clone()),
            ("meta", json!(self.meta)),
            ("is_active", json!(self.is_active)),
            ("last_run_at", json!(self.last_run_at)),
            ("next_run_at", json!(self.next_run_at)),
            ("created_at", json!(self.created_at)),
            ("updated_at", json!(self.updated_at)),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }
}

impl RunRow {
    /// The run as routes send it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "automation_id": self.automation_id, "chat_id": self.chat_id, "status": self.status,
            "error": self.error, "created_at": self.created_at,
        })
    }
}

/// Which automations to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct AutomationFilter<'a> {
    /// Text in name or data.
    pub query: Option<&'a str>,
    /// `active` or `paused`; anything else means both.
    pub status: Option<&'a str>,
    /// Only this folder.
    pub folder_id: Option<&'a str>,
}

/// A page of a user's automations, newest first, and how many match.
pub async fn search(
    db: &Db,
    user_id: &str,
    filter: AutomationFilter<'_>,
    window: (i64, i64),
) -> DbResult<(Vec<AutomationRow>, i64)> {
    let mut conditions: Vec<Condition> = vec![("user_id = ?".into(), args![user_id])];
    if let Some(folder_id) = filter.folder_id {
        conditions.push(("folder_id = ?".into(), args![folder_id]));
    }
    if let Some(query) = filter.query {
        let (name, mut args) = shared::contains(&["name"], query);
        let (data, more) = shared::json_contains("data", query);
        args.extend(more);
        conditions.push((format!("({name} OR {data})"), args));
    }
    match filter.status {
        Some("active") => conditions.push(("is_active = ?".into(), args![true])),
        Some("paused") => conditions.push(("is_active = ?".into(), args![false])),
        _ => {}
    }
    let text: Vec<&str> = conditions.iter().map(|(text, _)| text.as_str()).collect();
    let text = format!("WHERE {}", text.join(" AND "));
    let mut args: Vec<Arg> = conditions.iter().flat_map(|(_, args)| args.clone()).collect();
    let total = AutomationRow::count(db, &text, args.clone()).await?;
    args.extend([Arg::from(window.1), Arg::from(window.0)]);
    let rows = AutomationRow::list(
        db,
        &format!("{text} ORDER BY created_at DESC LIMIT ? OFFSET ?"),
        args,
    )
    .await?;
    Ok((rows, total))
}

/// The newest run of each automation.
pub async fn latest_runs(db: &Db, automation_ids: &[String]) -> DbResult<Vec<RunRow>> {
    if automation_ids.is_empty() {
        return Ok(Vec::new());
    }
    let text = format!(
        "WHERE automation_id IN ({}) AND NOT EXISTS (SELECT 1 FROM automation_run later \
           WHERE later.automation_id = automation_run.automation_id \
           AND (later.created_at > automation_run.created_at \
             OR (later.created_at = automation_run.created_at AND later.id > automation_run.id)))",
        placeholders(automation_ids.len())
    );
    RunRow::list(db, &text, automation_ids.iter().map(Arg::from).collect()).await
}

/// Automations of a user that run, newest first.
pub async fn active_of(db: &Db, user_id: &str) -> DbResult<Vec<AutomationRow>> {
    AutomationRow::list(
        db,
        "WHERE user_id = ? AND is_active = ? ORDER BY created_at DESC",
        args![user_id, true],
    )
    .await
}

/// Runs of a user's automations between two times, with the automation's name.
pub async fn runs_between(db: &Db, user_id: &str, start: i64, end: i64) -> DbResult<Vec<(RunRow, String)>> {
    let columns: Vec<String> = RunRow::NAMES.iter().map(|name| format!("x.\"{name}\"")).collect();
    let text = format!(
        "SELECT {}, a.name FROM automation_run x JOIN automation a ON a.id = x.automation_id \
         WHERE a.user_id = ? AND x.created_at >= ? AND x.created_at < ? ORDER BY x.created_at DESC LIMIT 500",
        columns.join(", ")
    );
    let rows = sql(text, args![user_id, start, end]).all(db).await?;
    rows.iter()
        .map(|row| Ok((RunRow::from_row(row)?, row.at(RunRow::NAMES.len())?)))
        .collect()
}

/// The owner of an automation.
pub async fn owner(db: &Db, id: &str) -> DbResult<Option<String>> {
    sql("SELECT user_id FROM automation WHERE id = ?", args![id])
        .scalar(db)
        .await
}

/// Runs of an automation, newest first.
pub async fn runs(db: &Db, id: &str, window: (i64, i64)) -> DbResult<Vec<RunRow>> {
    let rest = "WHERE automation_id = ? ORDER BY created_at DESC LIMIT ? OFFSET ?";
    RunRow::list(db, rest, args![id, window.1, window.0]).await
}
