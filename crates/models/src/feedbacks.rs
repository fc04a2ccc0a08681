//! Table `feedback`: ratings of answers, from which the leaderboard is computed.

use oui_core::boxed;
use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::db::{Arg, Changes, Conn, Db, DbResult, Dialect, FromRow, sql};
use crate::shared::{self, Condition};
use crate::users::UserRow;
use crate::{args, table};

table! {
    /// One rating.
    pub struct FeedbackRow in "feedback" {
        /// Row id.
        pub id: String,
        /// Who rated.
        pub user_id: Option<String>,
        /// Unused number.
        pub version: Option<i64>,
        /// `rating`.
        pub kind as "type": Option<String>,
        /// `{rating, model_id, sibling_model_ids, reason, comment, tags, ...}`.
        pub data: Option<Value>,
        /// `{arena, chat_id, message_id, tags, ...}`.
        pub meta: Option<Value>,
        /// `{chat}`: the chat as it was.
        pub snapshot: Option<Value>,
        /// Seconds.
        pub created_at: i64,
        /// Seconds.
        pub updated_at: i64,
    }
}

impl FeedbackRow {
    /// The rating as lists send it, without the chat.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, value) in [
            ("id", json!(self.id)),
            ("user_id", json!(self.user_id)),
            ("version", json!(self.version)),
            ("type", json!(self.kind)),
            ("data", json!(self.data)),
            ("meta", json!(self.meta)),
            ("created_at", json!(self.created_at)),
            ("updated_at", json!(self.updated_at)),
        ] {
            object.insert(name.to_owned(), value);
        }
        object
    }

    /// The whole rating.
    pub fn to_full_json(&self) -> Value {
        let mut object = self.to_json();
        object.insert("snapshot".into(), json!(self.snapshot));
        Value::Object(object)
    }
}

/// SQL of a field of `data` as text.
fn data_text(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("json_extract(f.data, '$.{name}')"),
        Dialect::Postgres => format!("(f.data ->> '{name}')"),
    }
}

/// Which ratings to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeedbackFilter<'a> {
    /// Only of this user.
    pub user_id: Option<&'a str>,
    /// Only about this model.
    pub model_id: Option<&'a str>,
    /// `username`, `model_id`, `rating` or `updated_at`.
    pub order_by: Option<&'a str>,
    /// `asc`; anything else is descending.
    pub direction: Option<&'a str>,
    /// ORDER BY list when `order_by` names nothing known.
    pub otherwise: &'a str,
}

/// A page of ratings whose users still exist, and how many match.
#[boxed]
pub async fn search(
    db: &Db,
    filter: FeedbackFilter<'_>,
    window: (i64, i64),
) -> DbResult<(Vec<(FeedbackRow, UserRow)>, i64)> {
    let dialect = db.dialect();
    let (model, rating) = (data_text(dialect, "model_id"), data_text(dialect, "rating"));
    let mut conditions: Vec<Condition> = Vec::new();
    if let Some(user_id) = filter.user_id {
        conditions.push(("f.user_id = ?".into(), args![user_id]));
    }
    if let Some(model_id) = filter.model_id {
        conditions.push((format!("{model} = ?"), args![model_id]));
    }
    let text: Vec<&str> = conditions.iter().map(|(text, _)| text.as_str()).collect();
    let condition = if text.is_empty() {
        String::new()
    } else {
        format!("WHERE {}", text.join(" AND "))
    };
    let mut args: Vec<Arg> = conditions.iter().flat_map(|(_, args)| args.clone()).collect();
    let from = "FROM feedback f JOIN \"user\" u ON u.id = f.user_id";
    let total = sql(format!("SELECT COUNT(*) {from} {condition}"), args.clone())
        .scalar(db)
        .await?
        .unwrap_or(0);
    let columns = [
        ("username", "u.name"),
        ("model_id", &*model),
        ("rating", &*rating),
        ("updated_at", "f.updated_at"),
    ];
    let order = shared::order(&columns, filter.order_by, filter.direction, filter.otherwise);
    let list = |alias: &str, names: &[&str]| {
        names
            .iter()
            .map(|name| format!("{alias}.\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let text = format!(
        "SELECT {}, {} {from} {condition} ORDER BY {order} LIMIT ? OFFSET ?",
        list("f", FeedbackRow::NAMES),
        list("u", UserRow::NAMES)
    );
    args.extend([Arg::from(window.1), Arg::from(window.0)]);
    let rows = sql(text, args).all(db).await?;
    let rows = rows.iter().map(|row| {
        Ok((
            FeedbackRow::from_row(row)?,
            UserRow::from_row_at(row, FeedbackRow::NAMES.len())?,
        ))
    });
    Ok((rows.collect::<DbResult<_>>()?, total))
}

/// Every rating, last changed first.
#[boxed]
pub async fn all(conn: impl Into<Conn<'_>>) -> DbResult<Vec<FeedbackRow>> {
    FeedbackRow::list(conn, "ORDER BY updated_at DESC", args![]).await
}

table! {
    /// What the leaderboard needs of a rating.
    pub struct Rating in "feedback" {
        /// Row id.
        pub id: String,
        /// Who rated.
        pub user_id: Option<String>,
        /// `{rating, model_id, sibling_model_ids, tags, ...}`.
        pub data: Option<Value>,
        /// Seconds.
        pub created_at: i64,
        /// Seconds.
        pub updated_at: i64,
    }
}

impl Rating {
    /// A field of `data`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.data.as_ref()?.get(name)
    }

    /// The model that was rated.
    pub fn model_id(&self) -> Option<&str> {
        self.field("model_id")
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty())
    }

    /// Whether the model won; nothing for ratings that are neither thumb.
    pub fn won(&self) -> Option<bool> {
        match self.field("rating")? {
            Value::String(text) if text == "1" => Some(true),
            Value::String(text) if text == "-1" => Some(false),
            Value::Number(number) if number.as_i64() == Some(1) => Some(true),
            Value::Number(number) if number.as_i64() == Some(-1) => Some(false),
            _ => None,
        }
    }

    /// Texts in a list of `data`.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.field(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    }
}

/// Every rating as far as the leaderboard needs it, in the order of the table.
#[boxed]
pub async fn ratings(conn: impl Into<Conn<'_>>) -> DbResult<Vec<Rating>> {
    Rating::list(conn, "", args![]).await
}

/// Every rating's id, owner and times, last changed first.
#[boxed]
pub async fn newest_ratings(conn: impl Into<Conn<'_>>) -> DbResult<Vec<Rating>> {
    Rating::list(conn, "ORDER BY updated_at DESC", args![]).await
}

/// What a request may set of a rating; absent parts of an update stay as they are.
#[derive(Debug, Clone)]
pub struct FeedbackData {
    /// `rating`.
    pub kind: String,
    /// Rating, model and reasons.
    pub data: Option<Value>,
    /// Chat, message, ...
    pub meta: Option<Value>,
    /// The chat as it is.
    pub snapshot: Option<Value>,
}

/// Inserts a rating.
#[boxed]
pub async fn create(db: &Db, user_id: &str, new: FeedbackData) -> DbResult<FeedbackRow> {
    let now = db.now();
    let row = FeedbackRow {
        id: ids::uuid(),
        user_id: Some(user_id.to_owned()),
        version: Some(0),
        kind: Some(new.kind),
        data: Some(new.data.unwrap_or_default()),
        meta: Some(new.meta.unwrap_or_default()),
        snapshot: Some(new.snapshot.unwrap_or_default()),
        created_at: now,
        updated_at: now,
    };
    row.insert(db).await?;
    Ok(row)
}

/// WHERE clause for one rating, of one user when given.
fn one<'a>(id: &str, user_id: Option<&str>) -> (&'a str, Vec<Arg>) {
    match user_id {
        Some(user_id) => ("WHERE id = ? AND user_id = ?", args![id, user_id]),
        None => ("WHERE id = ?", args![id]),
    }
}

/// The rating with this id, when it is the user's or no user is given.
#[boxed]
pub async fn get(
    conn: impl Into<Conn<'_>>,
    id: &str,
    user_id: Option<&str>,
) -> DbResult<Option<FeedbackRow>> {
    let (rest, args) = one(id, user_id);
    FeedbackRow::find(conn, rest, args).await
}

/// Changes a rating; answers the new row.
#[boxed]
pub async fn update(
    db: &Db,
    id: &str,
    user_id: Option<&str>,
    change: FeedbackData,
) -> DbResult<Option<FeedbackRow>> {
    let changes = Changes::new()
        .set_some("data", change.data)
        .set_some("meta", change.meta)
        .set_some("snapshot", change.snapshot)
        .set("updated_at", db.now());
    let (rest, args) = one(id, user_id);
    FeedbackRow::update(db, changes, rest, args).await?;
    get(db, id, user_id).await
}

/// Deletes a rating; `false` when there is none.
#[boxed]
pub async fn delete(db: &Db, id: &str, user_id: Option<&str>) -> DbResult<bool> {
    let (rest, args) = one(id, user_id);
    Ok(FeedbackRow::delete(db, rest, args).await? > 0)
}

/// Deletes all ratings, of one user when given; `false` when there was none.
#[boxed]
pub async fn delete_all(db: &Db, user_id: Option<&str>) -> DbResult<bool> {
    let (rest, args) = match user_id {
        Some(user_id) => ("WHERE user_id = ?", args![user_id]),
        None => ("", args![]),
    };
    Ok(FeedbackRow::delete(db, rest, args).await? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ratings_are_listed_by_what_they_say() {
        for db in crate::testing::databases().await {
            let (ada, bob) = (
                crate::testing::user(&db, "ada").await,
                crate::testing::user(&db, "bob").await,
            );
            let rating = |model: &str, thumb: i64| FeedbackData {
                kind: "rating".into(),
                data: Some(json!({"model_id": model, "rating": thumb, "sibling_model_ids": ["x"]})),
                meta: None,
                snapshot: None,
            };
            let first = create(&db, &ada.id, rating("b", 1)).await.unwrap();
            create(&db, &bob.id, rating("a", -1)).await.unwrap();
            let list = async |filter: FeedbackFilter<'_>| {
                let (rows, total) = search(&db, filter, (0, 10)).await.unwrap();
                assert_eq!(usize::try_from(total).unwrap(), rows.len());
                rows.into_iter()
                    .map(|(row, user)| (row.data.unwrap()["model_id"].clone(), user.name))
                    .collect::<Vec<_>>()
            };
            let by = |order_by| FeedbackFilter {
                order_by: Some(order_by),
                direction: Some("asc"),
                otherwise: "f.created_at DESC",
                ..FeedbackFilter::default()
            };
            let (a, b) = ((json!("a"), bob.name.clone()), (json!("b"), ada.name.clone()));
            assert_eq!(list(by("model_id")).await, [a.clone(), b.clone()]);
            assert_eq!(list(by("rating")).await, [a.clone(), b.clone()]);
            assert_eq!(list(by("username")).await, [b.clone(), a.clone()]);
            assert_eq!(
                list(FeedbackFilter {
                    model_id: Some("b"),
                    ..by("rating")
                })
                .await,
                [b]
            );
            assert_eq!(
                list(FeedbackFilter {
                    user_id: Some(&bob.id),
                    ..by("rating")
                })
                .await,
                [a]
            );
            let wins: Vec<Option<bool>> = ratings(&db).await.unwrap().iter().map(Rating::won).collect();
            assert!(wins.contains(&Some(true)) && wins.contains(&Some(false)));
            assert!(
                update(&db, &first.id, Some(&bob.id), rating("z", 1))
                    .await
                    .unwrap()
                    .is_none()
            );
            let changed = update(&db, &first.id, None, rating("z", 1))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(changed.data.unwrap()["model_id"], "z");
            assert!(!delete(&db, &first.id, Some(&bob.id)).await.unwrap());
            assert!(delete_all(&db, None).await.unwrap() && !delete_all(&db, None).await.unwrap());
        }
    }
}
