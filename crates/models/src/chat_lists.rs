//! Lists of chats: what the sidebar, the folders and the archive show. Lists never read the documents. Search is in
//! [`chat_search`](crate::chat_search), exports are in [`chat_export`](crate::chat_export).

use oui_core::boxed;
use std::collections::{HashMap, HashSet};

use crate::args;
pub use crate::chat_lines::{Line, Listed};
use crate::chat_search::matches;
use crate::db::{Arg, Conn, Db, DbResult, Dialect, Json, placeholders, sql};
use crate::tags::tag_condition;

/// Condition under which a chat is shown in lists: chats of sub-agents, notes and timers are not.
pub const NOT_INTERNAL: &str = "(chat.meta IS NULL OR CAST(chat.meta AS TEXT) NOT LIKE '%\"internal\": true%' \
      AND CAST(chat.meta AS TEXT) NOT LIKE '%\"internal\":true%')";

/// Condition under which a reply of the chat is still being written.
const UNFINISHED: &str = "EXISTS (SELECT 1 FROM chat_message m WHERE m.chat_id = chat.id \
                          AND m.role = 'assistant' AND m.done IS FALSE)";

/// The order that most lists have.
const NEWEST_FIRST: &str = "chat.updated_at DESC, chat.id";

/// Which lines of a list: at most `limit` after the first `skip`.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Lines left out.
    pub skip: i64,
    /// Lines at most.
    pub limit: i64,
}

impl Window {
    /// Page `number`, counted from 1; smaller numbers mean the first.
    pub fn page(number: i64, size: i64) -> Self {
        Self {
            skip: (number.max(1) - 1).saturating_mul(size),
            limit: size,
        }
    }
}

/// Order of the sidebar and of folders.
#[derive(Debug, Clone, Copy)]
pub struct Sort<'a> {
    /// `title`, `unread_updated_at`, or anything else for the time of the last change.
    pub by: &'a str,
    /// `asc`, or anything else for descending.
    pub direction: &'a str,
    /// Whose unread chats come first under `unread_updated_at`; everybody's when absent.
    pub unread_for: Option<&'a str>,
}

impl Sort<'_> {
    fn clause(&self) -> (String, Vec<Arg>) {
        if self.by != "unread_updated_at" {
            let column = if self.by == "title" { "title" } else { "updated_at" };
            let direction = if self.direction == "asc" { "ASC" } else { "DESC" };
            return (format!("chat.{column} {direction}, chat.id"), Vec::new());
        }
        let (mine, args) = match self.unread_for {
            Some(user_id) => (" AND chat.user_id = ?", args![user_id]),
            None => ("", Vec::new()),
        };
        let unread = format!("chat.updated_at > COALESCE(chat.last_read_at, 0) AND NOT {UNFINISHED}{mine}");
        (
            format!("CASE WHEN {unread} THEN 1 ELSE 0 END DESC, {NEWEST_FIRST}"),
            args,
        )
    }
}

/// A list under construction.
struct Listing {
    conditions: Vec<String>,
    args: Vec<Arg>,
    order: String,
    order_args: Vec<Arg>,
}

impl Listing {
    fn of_user(user_id: &str) -> Self {
        Self {
            conditions: vec!["chat.user_id = ?".to_owned(), NOT_INTERNAL.to_owned()],
            args: args![user_id],
            order: NEWEST_FIRST.to_owned(),
            order_args: Vec::new(),
        }
    }

    fn and(mut self, condition: impl Into<String>, args: Vec<Arg>) -> Self {
        self.conditions.push(condition.into());
        self.args.extend(args);
        self
    }

    fn archived(self, archived: bool) -> Self {
        self.and("chat.archived = ?", args![archived])
    }

    fn unpinned(self) -> Self {
        self.and("chat.pinned IS NOT TRUE", Vec::new())
    }

    fn sorted(mut self, sort: Sort<'_>) -> Self {
        (self.order, self.order_args) = sort.clause();
        self
    }

    async fn run(self, db: &Db, window: Option<Window>) -> DbResult<Vec<Listed>> {
        let Self {
            conditions,
            mut args,
            order,
            order_args,
        } = self;
        let conditions = conditions.join(" AND ");
        let columns = match db.dialect() {
            Dialect::Sqlite => Listed::AS_JSON,
            Dialect::Postgres => Listed::COLUMNS,
        };
        let mut text = format!("SELECT {columns} FROM chat WHERE {conditions} ORDER BY {order}");
        args.extend(order_args);
        if let Some(window) = window {
            text.push_str(" LIMIT ? OFFSET ?");
            args.extend(args![window.limit, window.skip]);
        }
        match db.dialect() {
            Dialect::Sqlite => {
                let text = format!("SELECT '[' || COALESCE(group_concat(line), '') || ']' FROM ({text})");
                let lines: Option<Json<Vec<Listed>>> = sql(text, args).scalar(db).await?;
                Ok(lines.map(|Json(lines)| lines).unwrap_or_default())
            }
            Dialect::Postgres => sql(text, args).all(db).await?.iter().map(Listed::read).collect(),
        }
    }
}

/// The sidebar: chats outside the archive; those in folders and pinned ones only when asked for.
#[boxed]
pub async fn sidebar(
    db: &Db,
    user_id: &str,
    with_folders: bool,
    with_pinned: bool,
    sort: Sort<'_>,
    window: Option<Window>,
) -> DbResult<Vec<Listed>> {
    let mut listing = Listing::of_user(user_id).archived(false).sorted(sort);
    if !with_folders {
        listing = listing.and("chat.folder_id IS NULL", Vec::new());
    }
    if !with_pinned {
        listing = listing.unpinned();
    }
    listing.run(db, window).await
}

/// Pinned chats outside the archive.
#[boxed]
pub async fn pinned(db: &Db, user_id: &str) -> DbResult<Vec<Listed>> {
    Listing::of_user(user_id)
        .archived(false)
        .and("chat.pinned IS TRUE", Vec::new())
        .run(db, None)
        .await
}

/// Chats of a user in one of their folders, without pinned ones.
#[boxed]
pub async fn in_folder(
    db: &Db,
    user_id: &str,
    folder_id: &str,
    sort: Sort<'_>,
    window: Window,
) -> DbResult<Vec<Listed>> {
    let listing = Listing::of_user(user_id).archived(false).unpinned().sorted(sort);
    listing
        .and("chat.folder_id = ?", args![folder_id])
        .run(db, Some(window))
        .await
}

/// Everybody's chats in a folder, without pinned ones.
#[boxed]
pub async fn in_shared_folder(
    db: &Db,
    folder_id: &str,
    sort: Sort<'_>,
    window: Window,
) -> DbResult<Vec<Listed>> {
    shared_folder(folder_id).sorted(sort).run(db, Some(window)).await
}

fn shared_folder(folder_id: &str) -> Listing {
    let listing = Listing {
        conditions: vec![NOT_INTERNAL.to_owned()],
        args: Vec::new(),
        order: NEWEST_FIRST.to_owned(),
        order_args: Vec::new(),
    };
    listing
        .and("chat.folder_id = ?", args![folder_id])
        .archived(false)
        .unpinned()
}

/// How many chats [`in_shared_folder`] has in all.
#[boxed]
pub async fn count_in_shared_folder(db: &Db, folder_id: &str) -> DbResult<i64> {
    let listing = shared_folder(folder_id);
    let text = format!(
        "SELECT COUNT(*) FROM chat WHERE {}",
        listing.conditions.join(" AND ")
    );
    Ok(sql(text, listing.args).scalar(db).await?.unwrap_or(0))
}

/// Chats of a user that carry a tag, in the archive or not.
#[boxed]
pub async fn tagged(db: &Db, user_id: &str, tag_id: &str, window: Window) -> DbResult<Vec<Listed>> {
    let listing = Listing::of_user(user_id).and(tag_condition(db.dialect()), args![tag_id]);
    listing.run(db, Some(window)).await
}

/// What a list page of the settings can be narrowed and sorted by.
#[derive(Debug, Clone, Default)]
pub struct PageFilter {
    /// Text in the title.
    pub query: Option<String>,
    /// Column.
    pub order_by: Option<String>,
    /// `asc` or `desc`.
    pub direction: Option<String>,
}

/// Columns that lists can be sorted by.
const SORTABLE: &[&str] = &[
    "title",
    "updated_at",
    "created_at",
    "last_read_at",
    "id",
    "pinned",
    "archived",
];

impl PageFilter {
    /// Whether the order it names exists.
    pub fn is_valid(&self) -> bool {
        match (&self.order_by, &self.direction) {
            (Some(column), Some(direction)) => {
                SORTABLE.contains(&column.as_str())
                    && matches!(direction.to_ascii_lowercase().as_str(), "asc" | "desc")
            }
            _ => true,
        }
    }

    /// ORDER BY list on `table`; `None` for the list's own.
    pub(crate) fn order(&self, table: &str) -> Option<String> {
        let column = self.order_by.as_deref().filter(|name| SORTABLE.contains(name))?;
        let direction = if self.direction.as_deref()?.eq_ignore_ascii_case("asc") {
            "ASC"
        } else {
            "DESC"
        };
        Some(format!("{table}.{column} {direction}, {table}.id"))
    }

    fn apply(&self, db: &Db, mut listing: Listing) -> Listing {
        if let Some(query) = self.query.as_deref().filter(|query| !query.is_empty()) {
            let (condition, arg) = matches(db.dialect(), "chat.title", query);
            listing = listing.and(condition, vec![arg]);
        }
        if let Some(order) = self.order("chat") {
            listing.order = order;
        }
        listing
    }
}

/// The archive of a user.
#[boxed]
pub async fn archived(db: &Db, user_id: &str, filter: &PageFilter, window: Window) -> DbResult<Vec<Listed>> {
    filter
        .apply(db, Listing::of_user(user_id).archived(true))
        .run(db, Some(window))
        .await
}

/// How many chats a user has in the archive.
#[boxed]
pub async fn count_archived(db: &Db, user_id: &str) -> DbResult<i64> {
    let text = format!("SELECT COUNT(*) FROM chat WHERE user_id = ? AND archived = ? AND {NOT_INTERNAL}");
    Ok(sql(text, args![user_id, true]).scalar(db).await?.unwrap_or(0))
}

/// All chats of a user, archived ones when asked for.
#[boxed]
pub async fn of_user(
    db: &Db,
    user_id: &str,
    with_archived: bool,
    filter: &PageFilter,
    window: Window,
) -> DbResult<Vec<Listed>> {
    let listing = Listing::of_user(user_id);
    let listing = if with_archived {
        listing
    } else {
        listing.archived(false)
    };
    filter.apply(db, listing).run(db, Some(window)).await
}

/// Of these chats, those with a reply that is still being written.
#[boxed]
pub async fn unfinished(db: &Db, chat_ids: &[String]) -> DbResult<HashSet<String>> {
    if chat_ids.is_empty() {
        return Ok(HashSet::new());
    }
    let text = format!(
        "SELECT DISTINCT chat_id FROM chat_message WHERE role = 'assistant' AND done IS FALSE AND chat_id IN ({})",
        placeholders(chat_ids.len())
    );
    let rows = sql(text, chat_ids.iter().map(Arg::from).collect())
        .all(db)
        .await?;
    rows.iter().map(|row| row.at(0)).collect()
}

/// Unread chats of a user by folder, for each of their folders; chats in inner folders count for the outer ones too.
#[boxed]
pub async fn unread_by_folder(db: &Db, user_id: &str) -> DbResult<Vec<(String, i64)>> {
    let folders = sql(
        "SELECT id, parent_id FROM folder WHERE user_id = ?",
        args![user_id],
    )
    .all(db)
    .await?;
    if folders.is_empty() {
        return Ok(Vec::new());
    }
    let folders: Vec<(String, Option<String>)> = folders
        .iter()
        .map(|row| Ok((row.at(0)?, row.at(1)?)))
        .collect::<DbResult<_>>()?;
    Ok(add_up(&folders, unread_directly_in(db, user_id).await?))
}

async fn unread_directly_in(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<HashMap<String, i64>> {
    let text = format!(
        "SELECT folder_id, COUNT(*) FROM chat WHERE user_id = ? AND folder_id IS NOT NULL AND archived = ? \
         AND updated_at > COALESCE(last_read_at, 0) AND NOT {UNFINISHED} GROUP BY folder_id"
    );
    let rows = sql(text, args![user_id, false]).all(conn).await?;
    rows.iter().map(|row| Ok((row.at(0)?, row.at(1)?))).collect()
}

fn add_up(folders: &[(String, Option<String>)], direct: HashMap<String, i64>) -> Vec<(String, i64)> {
    let parents: HashMap<&str, Option<&str>> = folders
        .iter()
        .map(|(id, parent)| (id.as_str(), parent.as_deref()))
        .collect();
    let mut totals: HashMap<&str, i64> = HashMap::new();
    for (folder_id, count) in &direct {
        let mut seen = HashSet::new();
        let mut next = Some(folder_id.as_str());
        while let Some(id) = next.filter(|id| seen.insert(*id)) {
            *totals.entry(id).or_default() += count;
            next = parents.get(id).copied().flatten();
        }
    }
    folders
        .iter()
        .map(|(id, _)| (id.clone(), totals.get(id.as_str()).copied().unwrap_or(0)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unread_chats_count_for_outer_folders_and_cycles_end() {
        let folders = vec![
            ("a".to_owned(), None),
            ("b".to_owned(), Some("a".to_owned())),
            ("x".to_owned(), Some("y".to_owned())),
            ("y".to_owned(), Some("x".to_owned())),
        ];
        let direct = HashMap::from([
            ("a".to_owned(), 1),
            ("b".to_owned(), 2),
            ("x".to_owned(), 4),
            ("gone".to_owned(), 9),
        ]);
        let counts: HashMap<String, i64> = add_up(&folders, direct).into_iter().collect();
        let expected = [("a", 3), ("b", 2), ("x", 4), ("y", 4)];
        assert_eq!(
            counts,
            expected
                .into_iter()
                .map(|(id, count)| (id.to_owned(), count))
                .collect()
        );
    }

    #[test]
    fn orders_are_checked() {
        let filter = |by: &str, direction: &str| PageFilter {
            query: None,
            order_by: Some(by.to_owned()),
            direction: Some(direction.to_owned()),
        };
        assert_eq!(
            filter("title", "ASC").order("chat").as_deref(),
            Some("chat.title ASC, chat.id")
        );
        assert!(filter("title", "desc").is_valid());
        assert!(!filter("title; DROP TABLE chat", "asc").is_valid() && !filter("title", "up").is_valid());
        assert_eq!(filter("nothing", "asc").order("chat"), None);
    }

    #[test]
    fn pages_start_at_one() {
        assert_eq!(
            (
                Window::page(3, 60).skip,
                Window::page(0, 60).skip,
                Window::page(-4, 60).skip
            ),
            (120, 0, 0)
        );
    }

    #[tokio::test]
    async fn the_sidebar_leaves_out_what_stands_elsewhere() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            assert_eq!(pinned(&db, &ada.id).await.unwrap(), []);
            let mut ids = Vec::new();
            for title in ["b", "a", "pinned", "in a folder", "archived"] {
                ids.push(crate::testing::chat(&db, &ada, title, "?").await.id);
            }
            let folder = crate::folders::create(&db, &ada.id, None, "F".into(), None, None)
                .await
                .unwrap();
            crate::chats::toggle_pinned(&db, &ids[2]).await.unwrap();
            crate::chats::move_to_folder(&db, &ids[3], Some(&folder.id), true)
                .await
                .unwrap();
            let mut tx = db.begin().await.unwrap();
            assert!(crate::chats::toggle_archived(&mut tx, &ids[4]).await.unwrap());
            tx.commit().await.unwrap();
            let titles = async |by: &str, direction: &str, with: bool, window: Option<Window>| {
                let sort = Sort {
                    by,
                    direction,
                    unread_for: None,
                };
                let list = sidebar(&db, &ada.id, with, with, sort, window).await.unwrap();
                list.into_iter().filter_map(|line| line.title).collect::<Vec<_>>()
            };
            assert_eq!(titles("updated_at", "desc", false, None).await, ["a", "b"]);
            assert_eq!(
                titles("title", "asc", true, None).await,
                ["a", "b", "in a folder", "pinned"]
            );
            assert_eq!(
                titles("title", "asc", true, Some(Window::page(2, 3))).await,
                ["pinned"]
            );
            assert_eq!(pinned(&db, &ada.id).await.unwrap().len(), 1);
            assert_eq!(count_archived(&db, &ada.id).await.unwrap(), 1);
            let filter = PageFilter {
                query: Some("ARCH".into()),
                ..PageFilter::default()
            };
            assert_eq!(
                archived(&db, &ada.id, &filter, Window::page(1, 9)).await.unwrap()[0].id,
                ids[4]
            );
        }
    }

    #[tokio::test]
    async fn unread_chats_come_first_unless_they_are_being_written() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let first = crate::testing::chat(&db, &ada, "first", "?").await;
            let second = crate::testing::chat(&db, &ada, "second", "?").await;
            let folder = crate::folders::create(&db, &ada.id, None, "F".into(), None, None)
                .await
                .unwrap();
            for chat in [&first, &second] {
                crate::chats::move_to_folder(&db, &chat.id, Some(&folder.id), true)
                    .await
                    .unwrap();
            }
            crate::chats::mark_unread(&*db, &first.id).await.unwrap();
            let order = async || {
                let sort = Sort {
                    by: "unread_updated_at",
                    direction: "desc",
                    unread_for: Some(&ada.id),
                };
                let list = in_shared_folder(&db, &folder.id, sort, Window::page(1, 9))
                    .await
                    .unwrap();
                list.into_iter().filter_map(|line| line.title).collect::<Vec<_>>()
            };
            assert_eq!(order().await[0], "first");
            assert_eq!(
                unread_by_folder(&db, &ada.id).await.unwrap(),
                [(folder.id.clone(), 1)]
            );
            let reply = json!({"role": "assistant", "parentId": "q", "content": "", "done": false});
            let reply = reply.as_object().cloned().unwrap();
            crate::chat_edits::upsert_message(&db, &first.id, "r", reply, false)
                .await
                .unwrap();
            assert_eq!(
                unfinished(&db, &[first.id.clone(), second.id.clone()])
                    .await
                    .unwrap(),
                HashSet::from([first.id])
            );
            assert_eq!(
                unread_by_folder(&db, &ada.id).await.unwrap(),
                [(folder.id.clone(), 0)]
            );
            assert_eq!(
                crate::chats::mark_all_read(&*db, &ada.id, Some(std::slice::from_ref(&folder.id)))
                    .await
                    .unwrap(),
                2
            );
        }
    }
}
