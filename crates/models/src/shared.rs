//! What the workspace's shared resources (models, prompts, tools, skills, knowledge, notes, calendars, channels)
//! have in common: rows with an owner and grants, listed and searched by one statement whose WHERE clause
//! admits what the reader owns or was granted. Columns of one kind stay in its own module.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::db::{Arg, Db, DbResult, FromRow, sql};
use crate::grants::{self, GrantRow};
use crate::groups::Membership;
use crate::users::{self, UserRow};

/// A row that has an owner and grants. Made by [`shared_row!`](crate::shared_row!).
pub trait Shared: FromRow + Send + Sync {
    /// `resource_type` in the grants.
    const KIND: &'static str;
    /// Name of the table, quoted.
    const TABLE: &'static str;
    /// Names of the columns.
    const NAMES: &'static [&'static str];

    /// Row id.
    fn id(&self) -> &str;

    /// Owner's user id.
    fn owner(&self) -> Option<&str>;
}

/// Implements [`Shared`] for a row of [`table!`](crate::table!) that has the fields `id` and `user_id`.
#[macro_export]
macro_rules! shared_row {
    ($row:ty, $kind:expr) => {
        impl $crate::shared::Shared for $row {
            const KIND: &'static str = $kind;
            const TABLE: &'static str = <$row>::TABLE;
            const NAMES: &'static [&'static str] = <$row>::NAMES;

            fn id(&self) -> &str {
                &self.id
            }

            fn owner(&self) -> Option<&str> {
                Option::<&String>::from(&self.user_id).map(String::as_str)
            }
        }
    };
}

/// Who reads.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Account id.
    pub user_id: &'a str,
    /// Groups of the account.
    pub membership: &'a Membership,
    /// Whether ownership and grants do not matter (administrators, unless configured otherwise).
    pub sees_all: bool,
}

/// A row with what is shown beside it.
#[derive(Debug, Clone)]
pub struct Entry<R> {
    /// The row.
    pub row: R,
    /// Grants on it.
    pub grants: Vec<GrantRow>,
    /// Its owner, when the account still exists.
    pub user: Option<UserRow>,
}

impl<R: Shared> Entry<R> {
    /// Whether the reader may do what `permission` (`read`, `write`) names.
    pub fn permits(&self, reader: &Reader<'_>, permission: &str) -> bool {
        reader.sees_all || self.row.owner() == Some(reader.user_id) || self.granted(reader, permission)
    }

    /// Whether a grant, not ownership, opens the row to the reader.
    pub fn granted(&self, reader: &Reader<'_>, permission: &str) -> bool {
        self.grants
            .iter()
            .any(|row| row.permission == permission && row.grant().reaches(reader.user_id, reader.membership))
    }

    /// `access_grants` of the answer.
    pub fn grants_json(&self) -> Value {
        grants_json(&self.grants)
    }

    /// `user` of the answer: `{id, name, role, email}` or null.
    pub fn user_json(&self) -> Value {
        self.user.as_ref().map_or(Value::Null, user_json)
    }
}

/// `access_grants` of a shared resource's answer.
pub fn grants_json(grants: &[GrantRow]) -> Value {
    grants.iter().map(GrantRow::to_full_json).collect()
}

/// An owner as lists show them: `{id, name, role, email}`.
pub fn user_json(user: &UserRow) -> Value {
    json!({ "id": user.id, "name": user.name, "role": user.role, "email": user.email })
}

/// A condition with its arguments. Columns are qualified: `r` is the resource, `u` its owner.
pub type Condition = (String, Vec<Arg>);

/// What to list, in which order, and which part of it.
pub struct Filter<'a> {
    /// Who reads.
    pub reader: Reader<'a>,
    /// `read` or `write`: the grant that opens a row that is not the reader's own.
    pub permission: &'a str,
    /// `created` (the reader's own), `shared` (others') or anything else for all.
    pub view: Option<&'a str>,
    /// Further conditions.
    pub conditions: Vec<Condition>,
    /// ORDER BY list.
    pub order: String,
    /// Rows to skip and at most to return.
    pub window: Option<(i64, i64)>,
}

impl<'a> Filter<'a> {
    /// Everything that the reader may read, in the given order.
    pub fn readable(reader: Reader<'a>, order: impl Into<String>) -> Self {
        Self {
            reader,
            permission: "read",
            view: None,
            conditions: Vec::new(),
            order: order.into(),
            window: None,
        }
    }

    /// Adds a condition.
    #[must_use]
    pub fn and(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Only this page; pages are counted from 1 and smaller numbers mean the first.
    #[must_use]
    pub fn page(mut self, page: i64, size: i64) -> Self {
        self.window = Some(((page.max(1) - 1).saturating_mul(size), size));
        self
    }

    fn where_clause<R: Shared>(&self) -> Condition {
        let mut parts: Vec<Condition> = Vec::new();
        let user = || vec![Arg::from(self.reader.user_id)];
        match self.view {
            Some("created") => parts.push(("r.user_id = ?".into(), user())),
            Some("shared") => parts.push(("r.user_id <> ?".into(), user())),
            _ => {}
        }
        if !self.reader.sees_all {
            let (reach, args) = grants::reach_condition(
                R::KIND,
                self.permission,
                self.reader.user_id,
                self.reader.membership,
            );
            let mut all = user();
            all.extend(args);
            let granted = format!("EXISTS (SELECT 1 FROM access_grant WHERE resource_id = r.id AND {reach})");
            parts.push((format!("(r.user_id = ? OR {granted})"), all));
        }
        parts.extend(self.conditions.iter().cloned());
        if parts.is_empty() {
            return (String::new(), Vec::new());
        }
        let text: Vec<&str> = parts.iter().map(|(text, _)| text.as_str()).collect();
        (
            format!("WHERE {}", text.join(" AND ")),
            parts.iter().flat_map(|(_, args)| args.clone()).collect(),
        )
    }
}

/// One page and the number of all rows that match.
#[derive(Debug)]
pub struct Page<R> {
    /// The rows of the page.
    pub entries: Vec<Entry<R>>,
    /// How many match without the window.
    pub total: i64,
}

fn from_clause<R: Shared>() -> String {
    format!("FROM {} r LEFT JOIN \"user\" u ON u.id = r.user_id", R::TABLE)
}

/// The rows that match.
pub async fn list<R: Shared>(db: &Db, filter: &Filter<'_>) -> DbResult<Vec<Entry<R>>> {
    let columns: Vec<String> = R::NAMES.iter().map(|name| format!("r.\"{name}\"")).collect();
    let (condition, mut args) = filter.where_clause::<R>();
    let mut text = format!(
        "SELECT {} {} {condition} ORDER BY {}",
        columns.join(", "),
        from_clause::<R>(),
        filter.order
    );
    if let Some((skip, limit)) = filter.window {
        text.push_str(" LIMIT ? OFFSET ?");
        args.extend([Arg::from(limit), Arg::from(skip)]);
    }
    let rows = sql(text, args).all(db).await?;
    let rows: Vec<R> = rows.iter().map(R::from_row).collect::<DbResult<_>>()?;
    entries(db, rows).await
}

/// A page of the rows that match, and their number.
pub async fn search<R: Shared>(db: &Db, filter: &Filter<'_>) -> DbResult<Page<R>> {
    let (condition, args) = filter.where_clause::<R>();
    let count = format!("SELECT COUNT(*) {} {condition}", from_clause::<R>());
    let total = sql(count, args).scalar(db).await?.unwrap_or(0);
    let entries = if total == 0 {
        Vec::new()
    } else {
        list(db, filter).await?
    };
    Ok(Page { entries, total })
}

/// Joins grants and owners to rows, with one query for each.
pub async fn entries<R: Shared>(db: &Db, rows: Vec<R>) -> DbResult<Vec<Entry<R>>> {
    let ids: Vec<String> = rows.iter().map(|row| row.id().to_owned()).collect();
    let mut grants: HashMap<String, Vec<GrantRow>> = HashMap::new();
    for grant in grants::of_many(db, R::KIND, &ids).await? {
        grants.entry(grant.resource_id.clone()).or_default().push(grant);
    }
    let mut owners: Vec<String> = rows
        .iter()
        .filter_map(|row| row.owner().map(str::to_owned))
        .collect();
    owners.sort();
    owners.dedup();
    let users: HashMap<String, UserRow> = users::by_ids(db, &owners)
        .await?
        .into_iter()
        .map(|user| (user.id.clone(), user))
        .collect();
    Ok(rows
        .into_iter()
        .map(|row| Entry {
            grants: grants.remove(row.id()).unwrap_or_default(),
            user: row.owner().and_then(|owner| users.get(owner)).cloned(),
            row,
        })
        .collect())
}

/// The row with this id, with grants and owner.
pub async fn get<R: Shared>(db: &Db, id: &str) -> DbResult<Option<Entry<R>>> {
    let columns: Vec<String> = R::NAMES.iter().map(|name| format!("\"{name}\"")).collect();
    let text = format!("SELECT {} FROM {} WHERE id = ?", columns.join(", "), R::TABLE);
    let Some(row) = sql(text, vec![Arg::from(id)]).first(db).await? else {
        return Ok(None);
    };
    Ok(entries(db, vec![R::from_row(&row)?]).await?.into_iter().next())
}

/// Any of the columns contains the text, whatever the case. `%` and `_` in it stand for anything, as in the
/// reference.
pub fn contains(columns: &[&str], text: &str) -> Condition {
    let parts: Vec<String> = columns
        .iter()
        .map(|column| format!("LOWER({column}) LIKE LOWER(?)"))
        .collect();
    let pattern = format!("%{}%", text);
    (
        format!("({})", parts.join(" OR ")),
        columns.iter().map(|_| Arg::from(pattern.as_str())).collect(),
    )
}

/// JSON text contains the text literally, whatever the case, in either spelling of characters beyond ASCII.
pub fn json_contains(column: &str, text: &str) -> Condition {
    let raw = json!(text).to_string();
    let escaped: String = raw.chars().map(escape_char).collect();
    let mut variants = vec![raw.clone()];
    if escaped != raw {
        variants.push(escaped);
    }
    let parts: Vec<String> = variants
        .iter()
        .map(|_| format!("LOWER(CAST({column} AS TEXT)) LIKE LOWER(?) ESCAPE '/'"))
        .collect();
    let args = variants
        .iter()
        .map(|variant| Arg::from(format!("%{}%", like_literal(&variant[1..variant.len() - 1]))))
        .collect();
    (format!("({})", parts.join(" OR ")), args)
}

fn escape_char(character: char) -> String {
    if character.is_ascii() {
        return character.to_string();
    }
    let mut units = [0u16; 2];
    character
        .encode_utf16(&mut units)
        .iter()
        .map(|unit| format!("\\u{unit:04x}"))
        .collect()
}

/// Makes a text stand for itself in `LIKE ? ESCAPE '/'`.
pub fn like_literal(text: &str) -> String {
    text.replace('/', "//").replace('%', "/%").replace('_', "/_")
}

/// ORDER BY of a list: the column that `order_by` names in `columns` (wire name, SQL), descending unless the
/// direction is `asc`; `otherwise` for unknown names.
pub fn order(
    columns: &[(&str, &str)],
    order_by: Option<&str>,
    direction: Option<&str>,
    otherwise: &str,
) -> String {
    let column = order_by.and_then(|name| columns.iter().find(|(wire, _)| *wire == name));
    match column {
        Some((_, column)) => format!(
            "{column} {}",
            if direction == Some("asc") { "ASC" } else { "DESC" }
        ),
        None => otherwise.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_only_by_known_columns() {
        let columns = [("name", "r.name"), ("updated_at", "r.updated_at")];
        assert_eq!(order(&columns, Some("name"), Some("asc"), "r.id"), "r.name ASC");
        assert_eq!(order(&columns, Some("name"), Some("up"), "r.id"), "r.name DESC");
        assert_eq!(order(&columns, Some("id; DROP"), None, "r.id"), "r.id");
    }

    #[test]
    fn text_in_json_is_searched_in_both_spellings() {
        let (condition, args) = json_contains("r.meta", "Grün_1");
        assert_eq!(condition.matches("LIKE").count(), 2);
        assert_eq!(args, [Arg::from("%Grün/_1%"), Arg::from("%Gr\\u00fcn/_1%")]);
        assert_eq!(json_contains("r.meta", "a").1.len(), 1);
    }
}
