//! Search over everything that a user may read: chats, snapshots of shared chats, notes, messages of channels. One
//! query finds and ranks a page of ids; only these rows are read whole.

use oui_core::boxed;
use std::collections::{HashMap, HashSet};

use crate::args;
use crate::channels::ChannelRow;
use crate::chat_search::contains_literally;
use crate::chats::ChatRow;
use crate::db::{Arg, Db, DbResult, Dialect, FromRow, placeholders, sql};
use crate::folders::FolderRow;
use crate::grants;
use crate::groups::Membership;
use crate::notes::{self, NoteRow};
use crate::shared::{Condition, like_literal};
use crate::shared_chats::SharedChatRow;

/// Whose things are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everything.
    All,
    /// The user's own.
    Mine,
    /// Those of others.
    Shared,
}

/// Where is looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Everywhere.
    Anywhere,
    /// In these folders.
    Folders(Vec<String>),
    /// In this channel.
    Channel(String),
}

/// What is looked for, and by whom.
pub struct Query<'a> {
    /// Who looks.
    pub user_id: &'a str,
    /// Their groups.
    pub membership: &'a Membership,
    /// The text without blanks around it.
    pub text: &'a str,
    /// Its words in lower case.
    pub terms: &'a [String],
    /// Whose things.
    pub sharing: Sharing,
    /// Where.
    pub place: &'a Place,
    /// Folders that the user may read, those below them included.
    pub folders: &'a [String],
    /// Channels to look in.
    pub channels: &'a [String],
    /// Whether chats, notes and messages are looked at.
    pub kinds: Kinds,
    /// Hits to skip.
    pub skip: i64,
    /// Hits to find.
    pub limit: i64,
}

/// Kinds of things.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    /// Chats and snapshots of shared ones.
    pub chats: bool,
    /// Notes.
    pub notes: bool,
    /// Messages of channels.
    pub messages: bool,
}

/// A message of a channel.
#[derive(Debug, Clone)]
pub struct FoundMessage {
    /// Row id.
    pub id: String,
    /// Channel.
    pub channel_id: String,
    /// Message that it answers.
    pub parent_id: Option<String>,
    /// Its text.
    pub content: String,
    /// Name of who wrote it.
    pub author: Option<String>,
}

/// Something that was found.
#[derive(Debug, Clone)]
pub enum Found {
    /// A chat.
    Chat(Box<ChatRow>),
    /// The snapshot of a shared chat.
    Snapshot(Box<SharedChatRow>),
    /// A note, whether the user pinned it, and whether it is shared.
    Note(Box<NoteRow>, bool, bool),
    /// A message.
    Message(Box<FoundMessage>),
}

/// Something that was found, with the second in which it last changed.
#[derive(Debug, Clone)]
pub struct Hit {
    /// What.
    pub found: Found,
    /// Seconds.
    pub updated_at: i64,
}

/// The folders that a user may read with those below them, and which of all these are shared.
#[boxed]
pub async fn folders_of(
    db: &Db,
    user_id: &str,
    membership: &Membership,
) -> DbResult<(Vec<FolderRow>, HashSet<String>)> {
    let columns: Vec<String> = FolderRow::NAMES
        .iter()
        .map(|name| format!("f.\"{name}\""))
        .collect();
    let (reach, reach_args) = grants::reach_condition("folder", "read", user_id, membership);
    // UNION stops at cycles.
    let text = format!(
        "WITH RECURSIVE mine(id) AS (\
           SELECT f.id FROM folder f WHERE f.user_id = ? \
             OR EXISTS (SELECT 1 FROM access_grant WHERE resource_id = f.id AND {reach}) \
           UNION SELECT f.id FROM folder f JOIN mine ON f.parent_id = mine.id) \
         SELECT {}, EXISTS (SELECT 1 FROM access_grant g WHERE g.resource_type = 'folder' \
           AND g.resource_id = f.id AND g.permission = 'read') FROM folder f JOIN mine ON f.id = mine.id",
        columns.join(", ")
    );
    let mut args = args![user_id];
    args.extend(reach_args);
    let rows = sql(text, args).all(db).await?;
    let mut folders = Vec::with_capacity(rows.len());
    let mut shared = HashSet::new();
    for row in &rows {
        let folder = FolderRow::from_row(row)?;
        if row.at::<bool>(FolderRow::NAMES.len())? {
            shared.insert(folder.id.clone());
        }
        folders.push(folder);
    }
    with_children(&folders, &mut shared);
    Ok((folders, shared))
}

/// Adds the folders below those of the set.
pub fn with_children(folders: &[FolderRow], set: &mut HashSet<String>) {
    loop {
        let before = set.len();
        for folder in folders {
            if folder
                .parent_id
                .as_ref()
                .is_some_and(|parent| set.contains(parent))
            {
                set.insert(folder.id.clone());
            }
        }
        if set.len() == before {
            return;
        }
    }
}

/// The column contains the text literally, whatever the case.
fn has(column: &str, text: &str) -> Condition {
    (
        format!("LOWER({column}) LIKE LOWER(?) ESCAPE '/'"),
        args![format!("%{}%", like_literal(text))],
    )
}

/// How well a title fits: 0 is the text itself, 1 contains it, 3 is all else.
fn rank(title: &str, text: &str) -> Condition {
    if text.is_empty() {
        return ("3".to_owned(), Vec::new());
    }
    let (contains, contains_args) = has(title, text);
    let mut args = args![text.to_lowercase()];
    args.extend(contains_args);
    (
        format!("CASE WHEN LOWER({title}) = ? THEN 0 WHEN {contains} THEN 1 ELSE 3 END"),
        args,
    )
}

/// One SELECT of the union.
struct Source {
    name: &'static str,
    table: &'static str,
    updated: &'static str,
    rank: Condition,
    conditions: Vec<Condition>,
}

impl Source {
    fn new(name: &'static str, table: &'static str, updated: &'static str, rank: Condition) -> Self {
        Self {
            name,
            table,
            updated,
            rank,
            conditions: Vec::new(),
        }
    }

    fn and(&mut self, text: impl Into<String>, args: Vec<Arg>) {
        self.conditions.push((text.into(), args));
    }

    fn owned_by(&mut self, column: &str, query: &Query<'_>) {
        match query.sharing {
            Sharing::All => {}
            Sharing::Mine => self.and(format!("{column} = ?"), args![query.user_id]),
            Sharing::Shared => self.and(format!("{column} <> ?"), args![query.user_id]),
        }
    }

    fn into_sql(self) -> Condition {
        let (rank, mut args) = self.rank;
        let texts: Vec<String> = self
            .conditions
            .into_iter()
            .map(|(text, more)| {
                args.extend(more);
                text
            })
            .collect();
        let (name, table, updated) = (self.name, self.table, self.updated);
        let text = format!(
            "SELECT '{name}' AS source, {table}.id AS id, {rank} AS fit, {updated} AS updated_at \
             FROM {table} WHERE {}",
            texts.join(" AND ")
        );
        (text, args)
    }
}

fn in_list(column: &str, ids: &[String]) -> Condition {
    if ids.is_empty() {
        return (format!("{column} IN (NULL)"), Vec::new());
    }
    (
        format!("{column} IN ({})", placeholders(ids.len())),
        ids.iter().map(Arg::from).collect(),
    )
}

/// A grant on the chat's snapshot names the user or a group of theirs; such links are not public.
fn granted_snapshot(column: &str, query: &Query<'_>) -> Condition {
    let groups = query.membership.ids();
    let (in_groups, group_args) = in_list("g.principal_id", &groups);
    let mut args = args![query.user_id];
    args.extend(group_args);
    (
        format!(
            "EXISTS (SELECT 1 FROM access_grant g WHERE g.resource_type = 'shared_chat' \
             AND g.resource_id = {column} AND g.permission = 'read' AND \
             ((g.principal_type = 'user' AND g.principal_id = ?) OR (g.principal_type = 'group' AND {in_groups})))"
        ),
        args,
    )
}

/// Chats that the user may open as they are.
fn open_chats(query: &Query<'_>) -> Condition {
    let (in_folders, folder_args) = in_list("chat.folder_id", query.folders);
    let (granted, granted_args) = granted_snapshot("s.chat_id", query);
    let mut args = args![query.user_id];
    args.extend(folder_args);
    args.extend(granted_args);
    (
        format!(
            "(chat.user_id = ? OR {in_folders} OR chat.id IN (SELECT s.chat_id FROM shared_chat s \
             WHERE (s.chat ->> 'share_mode') = 'continue' AND {granted}))"
        ),
        args,
    )
}

fn chats(query: &Query<'_>, dialect: Dialect) -> Source {
    let rank = if query.text.is_empty() {
        (
            "CASE WHEN chat.pinned AND chat.user_id = ? THEN 0 ELSE 3 END".to_owned(),
            args![query.user_id],
        )
    } else {
        rank("chat.title", query.text)
    };
    let mut source = Source::new("chat", "chat", "chat.updated_at", rank);
    let (open, args) = open_chats(query);
    source.and(open, args);
    source.and("NOT COALESCE(chat.archived, FALSE)", Vec::new());
    source.and(crate::chat_lists::NOT_INTERNAL, Vec::new());
    source.owned_by("chat.user_id", query);
    if let Place::Folders(ids) = query.place {
        let (text, args) = in_list("chat.folder_id", ids);
        source.and(text, args);
    }
    for term in query.terms {
        let (text, args) = contains_literally(dialect, term);
        source.and(text, args);
    }
    source
}

fn snapshots(query: &Query<'_>, dialect: Dialect) -> Source {
    let rank = rank("shared_chat.title", query.text);
    let mut source = Source::new("shared", "shared_chat", "shared_chat.updated_at", rank);
    let (granted, args) = granted_snapshot("shared_chat.chat_id", query);
    source.and(granted, args);
    let (open, args) = open_chats(query);
    source.and(
        format!("NOT EXISTS (SELECT 1 FROM chat WHERE chat.id = shared_chat.chat_id AND {open})"),
        args,
    );
    if query.sharing == Sharing::Shared {
        source.owned_by("shared_chat.user_id", query);
    }
    for term in query.terms {
        let (title, mut args) = has("shared_chat.title", term);
        let mut any = vec![title];
        for (from, content) in snapshot_messages(dialect) {
            let (matches, more) = has(content, term);
            any.push(format!("EXISTS (SELECT 1 FROM {from} WHERE {matches})"));
            args.extend(more);
        }
        source.and(format!("({})", any.join(" OR ")), args);
    }
    source
}

/// Where the messages of a snapshot are, as tables named `old`, and their text.
fn snapshot_messages(dialect: Dialect) -> [(&'static str, &'static str); 2] {
    match dialect {
        Dialect::Sqlite => [
            (
                "json_each(shared_chat.chat, '$.history.messages') AS old",
                "CASE WHEN json_valid(old.value) THEN json_extract(old.value, '$.content') END",
            ),
            (
                "json_each(shared_chat.chat, '$.messages') AS old",
                "CASE WHEN json_valid(old.value) THEN json_extract(old.value, '$.content') END",
            ),
        ],
        Dialect::Postgres => [
            (
                "json_each(CASE WHEN json_typeof(shared_chat.chat #> '{history,messages}') = 'object' \
                 THEN shared_chat.chat #> '{history,messages}' ELSE '{}' END) AS old",
                r"CASE WHEN CAST(old.value AS TEXT) NOT LIKE '%\\u0000%' THEN old.value ->> 'content' END",
            ),
            (
                "json_array_elements(CASE WHEN json_typeof(shared_chat.chat -> 'messages') = 'array' \
                 THEN shared_chat.chat -> 'messages' ELSE '[]' END) AS old",
                r"CASE WHEN CAST(old.value AS TEXT) NOT LIKE '%\\u0000%' THEN old.value ->> 'content' END",
            ),
        ],
    }
}

const PINNED_NOTE: &str = "EXISTS (SELECT 1 FROM pinned_note p WHERE p.note_id = note.id AND p.user_id = ?)";
const SHARED_NOTE: &str = "EXISTS (SELECT 1 FROM access_grant g WHERE g.resource_type = 'note' \
                           AND g.resource_id = note.id AND g.permission = 'read')";

fn notes_source(query: &Query<'_>, dialect: Dialect) -> Source {
    let rank = if query.text.is_empty() {
        (
            format!("CASE WHEN {PINNED_NOTE} THEN 0 ELSE 3 END"),
            args![query.user_id],
        )
    } else {
        rank("note.title", query.text)
    };
    let mut source = Source::new("note", "note", "note.updated_at / 1000000000", rank);
    let (reach, reach_args) = grants::reach_condition(notes::KIND, "read", query.user_id, query.membership);
    let mut args = args![query.user_id];
    args.extend(reach_args);
    source.and(
        format!(
            "(note.user_id = ? OR EXISTS (SELECT 1 FROM access_grant WHERE resource_id = note.id AND {reach}))"
        ),
        args,
    );
    source.owned_by("note.user_id", query);
    let content = match dialect {
        Dialect::Sqlite => "json_extract(note.data, '$.content.md')",
        Dialect::Postgres => "(note.data -> 'content' ->> 'md')",
    };
    for term in query.terms {
        let (title, mut args) = has("note.title", term);
        let (content, more) = has(content, term);
        args.extend(more);
        source.and(format!("({title} OR {content})"), args);
    }
    source
}

fn messages(query: &Query<'_>) -> Source {
    let rank = ("3".to_owned(), Vec::new());
    let mut source = Source::new("message", "message", "message.updated_at / 1000000000", rank);
    let (text, args) = in_list("message.channel_id", query.channels);
    source.and(text, args);
    source.owned_by("message.user_id", query);
    for term in query.terms {
        let (text, args) = has("message.content", term);
        source.and(text, args);
    }
    source
}

/// A page of what fits, best first.
#[boxed]
pub async fn run(db: &Db, query: &Query<'_>) -> DbResult<Vec<Hit>> {
    let dialect = db.dialect();
    let mut sources = Vec::new();
    let in_channel = matches!(query.place, Place::Channel(_));
    let in_folder = matches!(query.place, Place::Folders(_));
    if query.kinds.chats && !in_channel {
        sources.push(chats(query, dialect));
        if !in_folder && query.sharing != Sharing::Mine {
            sources.push(snapshots(query, dialect));
        }
    }
    if query.kinds.notes && !in_channel && !in_folder {
        sources.push(notes_source(query, dialect));
    }
    if query.kinds.messages && !in_folder {
        sources.push(messages(query));
    }
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let mut args = Vec::new();
    let selects: Vec<String> = sources
        .into_iter()
        .map(|source| {
            let (text, more) = source.into_sql();
            args.extend(more);
            text
        })
        .collect();
    args.extend(args![query.limit, query.skip]);
    let text = format!(
        "SELECT source, id, updated_at FROM ({}) AS found \
         ORDER BY fit, updated_at DESC, source, id LIMIT ? OFFSET ?",
        selects.join(" UNION ALL ")
    );
    let rows = sql(text, args).all(db).await?;
    let mut places: Vec<(String, String, i64)> = Vec::with_capacity(rows.len());
    for row in &rows {
        places.push((
            row.at(0)?,
            row.at(1)?,
            row.at::<Option<i64>>(2)?.unwrap_or_default(),
        ));
    }
    let mut found = read(db, query.user_id, &places).await?;
    // A row may be gone since it was found.
    Ok(places
        .into_iter()
        .filter_map(|(source, id, updated_at)| {
            let found = found.remove(&(source, id))?;
            Some(Hit { found, updated_at })
        })
        .collect())
}

/// The whole rows, by source and id.
async fn read(
    db: &Db,
    user_id: &str,
    places: &[(String, String, i64)],
) -> DbResult<HashMap<(String, String), Found>> {
    let ids = |name: &str| -> Vec<String> {
        let of_source = places.iter().filter(|(source, ..)| source == name);
        of_source.map(|(_, id, _)| id.clone()).collect()
    };
    let mut found = HashMap::new();
    let mut keep = |source: &str, id: String, what: Found| {
        found.insert((source.to_owned(), id), what);
    };
    let (condition, args) = in_list("id", &ids("chat"));
    for row in ChatRow::list(db, &format!("WHERE {condition}"), args).await? {
        keep("chat", row.id.clone(), Found::Chat(Box::new(row)));
    }
    let (condition, args) = in_list("id", &ids("shared"));
    for row in SharedChatRow::list(db, &format!("WHERE {condition}"), args).await? {
        keep("shared", row.id.clone(), Found::Snapshot(Box::new(row)));
    }
    let columns: Vec<String> = NoteRow::NAMES
        .iter()
        .map(|name| format!("note.\"{name}\""))
        .collect();
    let (condition, more) = in_list("note.id", &ids("note"));
    let text = format!(
        "SELECT {}, {PINNED_NOTE}, {SHARED_NOTE} FROM note WHERE {condition}",
        columns.join(", ")
    );
    let mut args = args![user_id];
    args.extend(more);
    for row in &sql(text, args).all(db).await? {
        let (note, next) = (NoteRow::from_row(row)?, NoteRow::NAMES.len());
        let id = note.id.clone();
        keep(
            "note",
            id,
            Found::Note(Box::new(note), row.at(next)?, row.at(next + 1)?),
        );
    }
    let (condition, args) = in_list("m.id", &ids("message"));
    let text = format!(
        "SELECT m.id, m.channel_id, m.parent_id, m.content, u.name FROM message m \
         LEFT JOIN \"user\" u ON u.id = m.user_id WHERE {condition}"
    );
    for row in &sql(text, args).all(db).await? {
        let message = FoundMessage {
            id: row.at(0)?,
            channel_id: row.at::<Option<String>>(1)?.unwrap_or_default(),
            parent_id: row.at(2)?,
            content: row.at::<Option<String>>(3)?.unwrap_or_default(),
            author: row.at(4)?,
        };
        keep("message", message.id.clone(), Found::Message(Box::new(message)));
    }
    Ok(found)
}

/// Names of the channels as a user sees them: direct ones without a name are called after the others in them.
#[boxed]
pub async fn channel_names(
    db: &Db,
    user_id: &str,
    own_name: &str,
    channels: &[&ChannelRow],
) -> DbResult<HashMap<String, String>> {
    let nameless = |channel: &ChannelRow| {
        channel.kind.as_deref() == Some("dm") && channel.name.as_deref().unwrap_or_default().is_empty()
    };
    let direct: Vec<String> = channels
        .iter()
        .filter(|row| nameless(row))
        .map(|row| row.id.clone())
        .collect();
    let mut people: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for (channel, person) in crate::channels::people(db, &direct).await? {
        if person.id != user_id {
            people.entry(channel).or_default().push((person.name, person.id));
        }
    }
    Ok(channels
        .iter()
        .map(|channel| {
            let name = if nameless(channel) {
                let mut others = people.remove(&channel.id).unwrap_or_default();
                others.sort();
                let names: Vec<String> = others.into_iter().map(|(name, _)| name).collect();
                if names.is_empty() {
                    own_name.to_owned()
                } else {
                    names.join(", ")
                }
            } else {
                channel.name.clone().unwrap_or_default()
            };
            (channel.id.clone(), name)
        })
        .collect())
}
