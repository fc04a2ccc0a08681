//! A message with what is shown beside it, read for a whole list with one query per table, and the forms in which
//! routes and events carry it.

use oui_core::boxed;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::MessageRow;
use crate::channel_webhooks::WebhookRow;
use crate::db::{Arg, Db, DbResult, placeholders, sql};
use crate::users;

/// How `data` and the parts beside the message are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The row alone.
    Bare,
    /// Everything, `data` as it is.
    Whole,
    /// Everything, of `data` only whether there is any.
    Listed,
    /// As in the list, but without threads.
    InThread,
    /// Author and reactions, of `data` only whether there is any.
    Pinned,
}

/// A message with what is shown beside it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The row.
    pub row: MessageRow,
    /// `{id, name, role}` of the author.
    pub author: Value,
    /// The message that it answers, in short.
    pub reply_to: Value,
    /// Reactions by name.
    pub reactions: Value,
    /// Messages in its thread.
    pub reply_count: i64,
    /// When the last of these was written.
    pub latest_reply_at: Option<i64>,
}

/// Whether any value of an object counts as something.
fn has_content(data: Option<&Value>) -> bool {
    let is_something = |value: &Value| match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
    };
    data.and_then(Value::as_object)
        .is_some_and(|data| data.values().any(is_something))
}

/// `data` of lists: whether there is any, but what apps show as a whole.
fn summary(row: &MessageRow) -> Value {
    match &row.data {
        Some(data) if data.is_object() && row.app_id.is_some() => data.clone(),
        data => Value::Bool(has_content(data.as_ref())),
    }
}

/// `data` of the message that another answers: of an app its cards.
fn excerpt(row: &MessageRow) -> Value {
    let cards = row.data.as_ref().and_then(|data| data.get("app")?.get("embeds"));
    match cards.filter(|cards| !cards.is_null() && cards != &&json!([])) {
        Some(cards) => json!({ "app": { "embeds": cards } }),
        None => Value::Bool(has_content(row.data.as_ref())),
    }
}

fn row_json(row: &MessageRow, data: Value) -> Map<String, Value> {
    let meta = row.meta.clone().unwrap_or(Value::Null);
    let mut object = Map::new();
    for (name, value) in [
        ("id", json!(row.id)),
        ("user_id", json!(row.user_id)),
        ("app_id", json!(row.app_id)),
        ("channel_id", json!(row.channel_id)),
        ("reply_to_id", json!(row.reply_to_id)),
        ("parent_id", json!(row.parent_id)),
        ("is_pinned", json!(row.is_pinned)),
        ("pinned_by", json!(row.pinned_by)),
        ("pinned_at", json!(row.pinned_at)),
        ("content", json!(row.content)),
        ("data", data),
        ("meta", meta),
        ("created_at", json!(row.created_at)),
        ("updated_at", json!(row.updated_at)),
        ("etag", json!(row.updated_at.unwrap_or(0).to_string())),
    ] {
        object.insert(name.to_owned(), value);
    }
    object
}

impl Shown {
    /// The message in one of its forms.
    pub fn to_json(&self, shape: Shape) -> Value {
        let row = &self.row;
        let data = match shape {
            Shape::Bare | Shape::Whole => row.data.clone().unwrap_or(Value::Null),
            Shape::Listed | Shape::InThread | Shape::Pinned => summary(row),
        };
        let mut object = row_json(row, data);
        if shape == Shape::Bare {
            return Value::Object(object);
        }
        object.insert("user".into(), self.author.clone());
        object.insert("reactions".into(), self.reactions.clone());
        if shape == Shape::Pinned {
            return Value::Object(object);
        }
        let in_thread = shape == Shape::InThread;
        object.insert("reply_to_message".into(), self.reply_to.clone());
        let latest = self.latest_reply_at.filter(|_| !in_thread);
        object.insert("latest_reply_at".into(), json!(latest));
        let count = if in_thread { 0 } else { self.reply_count };
        object.insert("reply_count".into(), json!(count));
        Value::Object(object)
    }
}

/// Id of the webhook that wrote a message.
fn webhook_id(row: &MessageRow) -> Option<&str> {
    let id = row.meta.as_ref()?.get("webhook")?.get("id")?.as_str()?;
    (!id.is_empty()).then_some(id)
}

/// Names of all who wrote the messages.
struct Authors {
    people: HashMap<String, Value>,
    webhooks: HashMap<String, Value>,
    apps: HashMap<String, Value>,
}

impl Authors {
    async fn read(db: &Db, rows: &[&MessageRow]) -> DbResult<Self> {
        let distinct = |ids: Vec<&str>| -> Vec<String> {
            let ids: HashSet<&str> = ids.into_iter().collect();
            ids.into_iter().map(str::to_owned).collect()
        };
        let user_ids = distinct(rows.iter().filter_map(|row| row.user_id.as_deref()).collect());
        let people = users::by_ids(db, &user_ids)
            .await?
            .into_iter()
            .map(|user| {
                let json = json!({ "id": user.id, "name": user.name, "role": user.role });
                (user.id, json)
            })
            .collect();
        let webhook_ids = distinct(rows.iter().filter_map(|row| webhook_id(row)).collect());
        let mut webhooks = HashMap::new();
        if !webhook_ids.is_empty() {
            let rest = format!("WHERE id IN ({})", placeholders(webhook_ids.len()));
            let found = WebhookRow::list(db, &rest, webhook_ids.iter().map(Arg::from).collect()).await?;
            webhooks.extend(found.into_iter().map(|row| (row.id.clone(), row.author_json())));
        }
        let app_ids = distinct(rows.iter().filter_map(|row| row.app_id.as_deref()).collect());
        let mut apps = HashMap::new();
        if !app_ids.is_empty() {
            let text = format!(
                "SELECT id, name FROM app WHERE id IN ({})",
                placeholders(app_ids.len())
            );
            let found = sql(text, app_ids.iter().map(Arg::from).collect()).all(db).await?;
            for row in &found {
                let (id, name): (String, String) = (row.at(0)?, row.at(1)?);
                apps.insert(id.clone(), json!({ "id": id, "name": name, "role": "app" }));
            }
        }
        Ok(Self {
            people,
            webhooks,
            apps,
        })
    }

    /// `{id, name, role}` of who wrote a message.
    fn of(&self, row: &MessageRow) -> Value {
        if let Some(id) = &row.app_id {
            let gone = || json!({ "id": id, "name": "Removed App", "role": "app" });
            return self.apps.get(id).cloned().unwrap_or_else(gone);
        }
        if let Some(id) = webhook_id(row) {
            let gone = || json!({ "id": id, "name": "Deleted Webhook", "role": "webhook" });
            return self.webhooks.get(id).cloned().unwrap_or_else(gone);
        }
        let person = row.user_id.as_ref().and_then(|id| self.people.get(id));
        person.cloned().unwrap_or(Value::Null)
    }
}

/// Reactions by message: `[{name, users, count}]` in the order of their making.
async fn reactions(db: &Db, ids: &[String]) -> DbResult<HashMap<String, Vec<Value>>> {
    let mut all: HashMap<String, Vec<Value>> = HashMap::new();
    if ids.is_empty() {
        return Ok(all);
    }
    let text = format!(
        "SELECT r.message_id, r.name, u.id, u.name FROM message_reaction r JOIN \"user\" u ON u.id = r.user_id \
         WHERE r.message_id IN ({}) ORDER BY r.created_at, r.id",
        placeholders(ids.len())
    );
    for row in sql(text, ids.iter().map(Arg::from).collect()).all(db).await? {
        let (message_id, name): (String, String) = (row.at(0)?, row.at(1)?);
        let person = json!({ "id": row.at::<String>(2)?, "name": row.at::<String>(3)? });
        let of_message = all.entry(message_id).or_default();
        match of_message.iter_mut().find(|reaction| reaction["name"] == name) {
            Some(reaction) => {
                if let Some(people) = reaction["users"].as_array_mut() {
                    people.push(person);
                    reaction["count"] = json!(people.len());
                }
            }
            None => of_message.push(json!({ "name": name, "users": [person], "count": 1 })),
        }
    }
    Ok(all)
}

/// Sizes of threads with the time of the newest message.
async fn threads(db: &Db, ids: &[String]) -> DbResult<HashMap<String, (i64, Option<i64>)>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let text = format!(
        "SELECT parent_id, COUNT(id), MAX(created_at) FROM message WHERE parent_id IN ({}) GROUP BY parent_id",
        placeholders(ids.len())
    );
    let rows = sql(text, ids.iter().map(Arg::from).collect()).all(db).await?;
    rows.iter()
        .map(|row| Ok((row.at(0)?, (row.at(1)?, row.at(2)?))))
        .collect()
}

/// Reads what is shown beside messages.
#[boxed]
pub async fn shown(db: &Db, rows: Vec<MessageRow>) -> DbResult<Vec<Shown>> {
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let answered: Vec<Arg> = rows
        .iter()
        .filter_map(|row| row.reply_to_id.as_ref().map(Arg::from))
        .collect();
    let answered = if answered.is_empty() {
        Vec::new()
    } else {
        MessageRow::list(
            db,
            &format!("WHERE id IN ({})", placeholders(answered.len())),
            answered,
        )
        .await?
    };
    let everyone: Vec<&MessageRow> = rows.iter().chain(&answered).collect();
    let authors = Authors::read(db, &everyone).await?;
    let mut reactions = reactions(db, &ids).await?;
    let threads = threads(db, &ids).await?;
    let replied = |row: &MessageRow| {
        let target = row.reply_to_id.as_ref()?;
        let found = answered.iter().find(|other| &other.id == target)?;
        let mut json = row_json(found, excerpt(found));
        json.insert("user".into(), authors.of(found));
        Some(Value::Object(json))
    };
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let (reply_count, latest_reply_at) = threads.get(&row.id).copied().unwrap_or((0, None));
        all.push(Shown {
            author: authors.of(&row),
            reply_to: replied(&row).unwrap_or(Value::Null),
            reactions: Value::Array(reactions.remove(&row.id).unwrap_or_default()),
            reply_count,
            latest_reply_at,
            row,
        });
    }
    Ok(all)
}
