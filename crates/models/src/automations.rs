//! Tables `automation` and `automation_run`: prompts that run on a schedule, and their runs. Times are
//! nanoseconds. Running them is not done here.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::db::{Arg, Changes, Conn, Db, DbResult, Dialect, FromRow, placeholders, sql};
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

/// What a request says about an automation.
#[derive(Debug, Clone)]
pub struct AutomationInput {
    /// Name shown.
    pub name: String,
    /// Folder of the chats that it makes.
    pub folder_id: Option<String>,
    /// `{prompt, model_id, rrule, terminal, target}`.
    pub data: Value,
    /// Free object.
    pub meta: Option<Value>,
    /// Whether it runs; unchanged, or yes for a new one, when absent.
    pub is_active: Option<bool>,
    /// Time of the next run.
    pub next_run_at: Option<i64>,
}

/// The automation with this id.
#[boxed]
pub async fn by_id(conn: impl Into<Conn<'_>>, id: &str) -> DbResult<Option<AutomationRow>> {
    AutomationRow::find(conn, "WHERE id = ?", args![id]).await
}

/// How many automations a user has.
#[boxed]
pub async fn count_of(db: &Db, user_id: &str) -> DbResult<i64> {
    AutomationRow::count(db, "WHERE user_id = ?", args![user_id]).await
}

/// Inserts an automation.
#[boxed]
pub async fn create(db: &Db, user_id: &str, input: AutomationInput) -> DbResult<AutomationRow> {
    let now = db.clock().nanos();
    let row = AutomationRow {
        id: ids::uuid(),
        user_id: user_id.to_owned(),
        folder_id: input.folder_id,
        name: input.name,
        data: input.data,
        meta: Some(input.meta.unwrap_or(Value::Null)),
        is_active: input.is_active.unwrap_or(true),
        last_run_at: None,
        next_run_at: input.next_run_at,
        created_at: now,
        updated_at: now,
    };
    row.insert(db).await?;
    Ok(row)
}

/// Replaces what a request says about an automation.
#[boxed]
pub async fn update(db: &Db, id: &str, input: AutomationInput) -> DbResult<()> {
    let changes = Changes::new()
        .set("name", input.name)
        .set("folder_id", input.folder_id)
        .set("data", input.data)
        .set("meta", input.meta.unwrap_or(Value::Null))
        .set_some("is_active", input.is_active)
        .set("next_run_at", input.next_run_at)
        .set("updated_at", db.clock().nanos());
    AutomationRow::update(db, changes, "WHERE id = ?", args![id]).await?;
    Ok(())
}

/// Switches an automation on or off; one that is off has no next run.
#[boxed]
pub async fn set_active(db: &Db, id: &str, is_active: bool, next_run_at: Option<i64>) -> DbResult<()> {
    let changes = Changes::new()
        .set("is_active", is_active)
        .set("next_run_at", next_run_at.filter(|_| is_active))
        .set("updated_at", db.clock().nanos());
    AutomationRow::update(db, changes, "WHERE id = ?", args![id]).await?;
    Ok(())
}

/// Notes that an automation runs now.
#[boxed]
pub async fn mark_run(db: &Db, id: &str) -> DbResult<()> {
    let changes = Changes::new().set("last_run_at", db.clock().nanos());
    AutomationRow::update(db, changes, "WHERE id = ?", args![id]).await?;
    Ok(())
}

/// Takes automations of a user out of a folder that is gone.
#[boxed]
pub async fn leave_folder(db: &Db, user_id: &str, folder_id: &str) -> DbResult<()> {
    let changes = Changes::new()
        .set("folder_id", None::<String>)
        .set("updated_at", db.clock().nanos());
    let rest = "WHERE user_id = ? AND folder_id = ?";
    AutomationRow::update(db, changes, rest, args![user_id, folder_id]).await?;
    Ok(())
}

/// Deletes an automation with its runs.
#[boxed]
pub async fn delete(db: &Db, id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    RunRow::delete(&mut tx, "WHERE automation_id = ?", args![id]).await?;
    let deleted = AutomationRow::delete(&mut tx, "WHERE id = ?", args![id]).await? > 0;
    tx.commit().await?;
    Ok(deleted)
}

/// Writes down how a run ended.
#[boxed]
pub async fn record_run(
    db: &Db,
    automation_id: &str,
    chat_id: Option<&str>,
    error: Option<&str>,
) -> DbResult<()> {
    let row = RunRow {
        id: ids::uuid(),
        automation_id: automation_id.to_owned(),
        chat_id: chat_id.map(str::to_owned),
        status: if error.is_some() { "error" } else { "success" }.to_owned(),
        error: error.map(str::to_owned),
        created_at: db.clock().nanos(),
    };
    row.insert(db).await
}

/// Takes automations that are due, so that nobody else runs them: each gets the time of its next run at once, which
/// `next` tells from its row and its owner's time zone.
pub async fn claim_due(
    db: &Db,
    limit: i64,
    next: impl Fn(&AutomationRow, Option<&str>) -> Option<i64>,
) -> DbResult<Vec<AutomationRow>> {
    let now = db.clock().nanos();
    let due = "WHERE is_active = ? AND next_run_at <= ? ORDER BY next_run_at LIMIT ?";
    if AutomationRow::count(db, "WHERE is_active = ? AND next_run_at <= ?", args![true, now]).await? == 0 {
        return Ok(Vec::new());
    }
    let mut tx = db.begin().await?;
    let lock = match db.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
    };
    let mut rows = AutomationRow::list(&mut tx, &format!("{due}{lock}"), args![true, now, limit]).await?;
    for row in &mut rows {
        let zone: Option<Option<String>> =
            sql("SELECT timezone FROM \"user\" WHERE id = ?", args![&row.user_id])
                .scalar(&mut tx)
                .await?;
        row.last_run_at = Some(now);
        row.next_run_at = next(row, zone.flatten().as_deref());
        let changes = Changes::new()
            .set("last_run_at", now)
            .set("next_run_at", row.next_run_at);
        AutomationRow::update(&mut tx, changes, "WHERE id = ?", args![&row.id]).await?;
    }
    tx.commit().await?;
    Ok(rows)
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
#[boxed]
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
#[boxed]
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
#[boxed]
pub async fn active_of(db: &Db, user_id: &str) -> DbResult<Vec<AutomationRow>> {
    AutomationRow::list(
        db,
        "WHERE user_id = ? AND is_active = ? ORDER BY created_at DESC",
        args![user_id, true],
    )
    .await
}

/// Runs of a user's automations between two times, with the automation's name.
#[boxed]
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
#[boxed]
pub async fn owner(db: &Db, id: &str) -> DbResult<Option<String>> {
    sql("SELECT user_id FROM automation WHERE id = ?", args![id])
        .scalar(db)
        .await
}

/// Runs of an automation, newest first.
#[boxed]
pub async fn runs(db: &Db, id: &str, window: (i64, i64)) -> DbResult<Vec<RunRow>> {
    let rest = "WHERE automation_id = ? ORDER BY created_at DESC LIMIT ? OFFSET ?";
    RunRow::list(db, rest, args![id, window.1, window.0]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn due_automations_are_claimed_once() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let input = |next_run_at| AutomationInput {
                name: "Morning".into(),
                folder_id: None,
                data: json!({"prompt": "Good morning", "rrule": "FREQ=DAILY"}),
                meta: None,
                is_active: None,
                next_run_at,
            };
            let now = db.clock().nanos();
            let due = create(&db, &ada.id, input(Some(now - 5))).await.unwrap();
            let later = create(&db, &ada.id, input(Some(now + 3_600_000_000_000)))
                .await
                .unwrap();
            let off = create(&db, &ada.id, input(Some(now - 5))).await.unwrap();
            set_active(&db, &off.id, false, Some(now)).await.unwrap();
            assert_eq!(by_id(&*db, &off.id).await.unwrap().unwrap().next_run_at, None);
            let next = |_: &AutomationRow, _: Option<&str>| Some(now + 7_200_000_000_000);
            let claimed = claim_due(&db, 10, next).await.unwrap();
            assert_eq!(claimed.iter().map(|row| &row.id).collect::<Vec<_>>(), [&due.id]);
            assert!(claim_due(&db, 10, next).await.unwrap().is_empty());
            record_run(&db, &due.id, Some("c"), None).await.unwrap();
            record_run(&db, &due.id, None, Some("no model")).await.unwrap();
            let ended = runs(&db, &due.id, (0, 10)).await.unwrap();
            let mut status: Vec<_> = ended.iter().map(|run| run.status.as_str()).collect();
            status.sort_unstable();
            assert_eq!(status, ["error", "success"]);
            assert!(delete(&db, &due.id).await.unwrap());
            assert!(!delete(&db, &due.id).await.unwrap());
            assert!(runs(&db, &due.id, (0, 10)).await.unwrap().is_empty());
            assert_eq!(count_of(&db, &ada.id).await.unwrap(), 2);
            assert!(by_id(&*db, &later.id).await.unwrap().is_some());
        }
    }
}
