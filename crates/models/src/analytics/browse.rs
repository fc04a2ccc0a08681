//! Single messages and chats behind the statistics: what administrators look up about one model, user or chat.

use std::collections::HashMap;

use oui_core::boxed;
use serde_json::Value;

use crate::args;
use crate::chat_lists::NOT_INTERNAL;
use crate::chat_messages::ChatMessageRow;
use crate::db::{Arg, Db, DbResult, sql};
use crate::shared;

/// Which messages.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// All of a chat, oldest first.
    Chat(&'a str),
    /// Answers of a model, newest first, between two times; 0 and nothing mean no bound.
    Model(&'a str, Option<i64>, Option<i64>),
    /// Those of a user, newest first.
    User(&'a str),
}

/// Bounds on `created_at`.
fn bounds(start: Option<i64>, end: Option<i64>, args: &mut Vec<Arg>) -> String {
    let mut text = String::new();
    for (bound, operator) in [(start, ">="), (end, "<=")] {
        if let Some(bound) = bound.filter(|bound| *bound != 0) {
            text.push_str(&format!(" AND created_at {operator} ?"));
            args.push(Arg::from(bound));
        }
    }
    text
}

/// Messages as they are stored; `(limit, skip)` does not hold for those of a chat.
#[boxed]
pub async fn messages(db: &Db, of: Of<'_>, (limit, skip): (i64, i64)) -> DbResult<Vec<ChatMessageRow>> {
    let (condition, mut args) = match of {
        Of::Chat(id) => {
            return ChatMessageRow::list(db, "WHERE chat_id = ? ORDER BY created_at, id", args![id]).await;
        }
        Of::Model(id, start, end) => {
            let mut args = args![id];
            (format!("model_id = ?{}", bounds(start, end, &mut args)), args)
        }
        Of::User(id) => ("user_id = ?".to_owned(), args![id]),
    };
    args.extend([Arg::from(limit), Arg::from(skip)]);
    let rest = format!("WHERE {condition} ORDER BY created_at DESC, id LIMIT ? OFFSET ?");
    ChatMessageRow::list(db, &rest, args).await
}

/// A chat in which a model answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelChat {
    /// Chat.
    pub id: String,
    /// Owner.
    pub user_id: Option<String>,
    /// Title.
    pub title: Option<String>,
    /// Seconds.
    pub updated_at: i64,
    /// Owner's name.
    pub user_name: Option<String>,
}

/// Which chats of a model, and in which order.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChatFilter<'a> {
    /// Answers from this second on.
    pub start: Option<i64>,
    /// Answers up to this second.
    pub end: Option<i64>,
    /// `title`, `user_name`; anything else is `updated_at`.
    pub order_by: Option<&'a str>,
    /// `asc`; anything else is descending.
    pub direction: Option<&'a str>,
}

/// A page of the chats in which a model answered, and how many there are.
#[boxed]
pub async fn chats(
    db: &Db,
    model_id: &str,
    filter: ChatFilter<'_>,
    (limit, skip): (i64, i64),
) -> DbResult<(Vec<ModelChat>, i64)> {
    let mut args = args![model_id];
    let times = bounds(filter.start, filter.end, &mut args);
    let from = format!(
        "FROM chat LEFT JOIN \"user\" u ON u.id = chat.user_id WHERE chat.id IN \
         (SELECT chat_id FROM chat_message WHERE model_id = ?{times}) AND {NOT_INTERNAL}"
    );
    let total = sql(format!("SELECT COUNT(*) {from}"), args.clone())
        .scalar(db)
        .await?;
    let columns = [
        ("title", "chat.title"),
        ("user_name", "u.name"),
        ("updated_at", "chat.updated_at"),
    ];
    let order = shared::order(
        &columns,
        filter.order_by,
        filter.direction,
        "chat.updated_at DESC",
    );
    let mut text = format!(
        "SELECT chat.id, chat.user_id, chat.title, chat.updated_at, u.name {from} ORDER BY {order}, chat.id"
    );
    if limit != 0 || skip != 0 {
        text.push_str(" LIMIT ? OFFSET ?");
        args.extend([
            Arg::from(if limit == 0 { i64::MAX } else { limit }),
            Arg::from(skip),
        ]);
    }
    let rows = sql(text, args).all(db).await?;
    let chats = rows.iter().map(|row| {
        Ok(ModelChat {
            id: row.at(0)?,
            user_id: row.at(1)?,
            title: row.at(2)?,
            updated_at: row.at(3)?,
            user_name: row.at(4)?,
        })
    });
    Ok((chats.collect::<DbResult<_>>()?, total.unwrap_or(0)))
}

/// How often each tag stands on chats in which a model answered.
#[boxed]
pub async fn tags(db: &Db, model_id: &str) -> DbResult<HashMap<String, i64>> {
    let text = "SELECT meta FROM chat WHERE id IN (SELECT chat_id FROM chat_message WHERE model_id = ?)";
    let mut counts = HashMap::new();
    for row in sql(text, args![model_id]).all(db).await? {
        let meta: Option<Value> = row.at(0)?;
        let tags = meta.as_ref().and_then(|meta| meta.get("tags")?.as_array());
        for tag in tags.into_iter().flatten().filter_map(Value::as_str) {
            *counts.entry(tag.to_owned()).or_insert(0) += 1;
        }
    }
    Ok(counts)
}
