//! Search in chats: filters (`tag:`, `folder:`, `pinned:`, `archived:`, `shared:`), titles and the texts of messages.
//! Texts are matched in the rows of `chat_message`; only chats without rows are matched in their documents.

use oui_core::boxed;
use std::collections::HashMap;

use serde_json::Value;

use crate::chat_lists::{Line, Listed, NOT_INTERNAL, Window};
use crate::db::{Arg, Db, DbResult, Dialect, placeholders, sql};
use crate::tags::tag_condition;
use crate::{args, folders, history, tags};

/// Words that filter and are no text to look for.
const FILTERS: [&str; 5] = ["tag:", "folder:", "pinned:", "archived:", "shared:"];

/// Characters of a snippet.
const SNIPPET: usize = 200;

/// A condition with its arguments.
type Condition = (String, Vec<Arg>);

/// Condition that a text column contains `text`, whatever the case. `%` and `_` in it stand for anything, as in the
/// reference.
pub fn matches(dialect: Dialect, column: &str, text: &str) -> (String, Arg) {
    let pattern = format!("%{text}%");
    match dialect {
        Dialect::Sqlite => (
            format!("{column} REGEXP ?"),
            Arg::from(oui_migrations::like_regex(&pattern, None)),
        ),
        Dialect::Postgres => (format!("{column} ILIKE ?"), Arg::from(pattern)),
    }
}

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    /// All words that are no filters, in lower case.
    pub phrase: String,
    /// The words of the phrase one by one, when there are several.
    terms: Vec<String>,
    tags: Vec<String>,
    folders: Vec<String>,
    pinned: Option<bool>,
    archived: Option<bool>,
    shared: Option<bool>,
}

impl Search {
    /// Reads a search text.
    pub fn parse(text: &str) -> Self {
        let text = text.replace('\0', "").to_lowercase();
        let words: Vec<&str> = text.split_whitespace().collect();
        let after = |prefix: &str| -> Vec<String> {
            words
                .iter()
                .filter(|word| word.starts_with(prefix))
                .map(|word| word.replace(prefix, ""))
                .collect()
        };
        let switch = |name: &str| match (
            words.contains(&&*format!("{name}:true")),
            words.contains(&&*format!("{name}:false")),
        ) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        let kept: Vec<&str> = words
            .iter()
            .copied()
            .filter(|word| !FILTERS.iter().any(|filter| word.starts_with(filter)))
            .collect();
        let phrase = kept.join(" ");
        let mut terms: Vec<String> = Vec::new();
        for term in phrase.split(|character: char| !character.is_ascii_alphanumeric()) {
            if !term.is_empty() && term != phrase && !terms.iter().any(|known| known == term) {
                terms.push(term.to_owned());
            }
        }
        Self {
            terms,
            tags: after("tag:"),
            folders: after("folder:"),
            pinned: switch("pinned"),
            archived: switch("archived"),
            shared: switch("shared"),
            phrase,
        }
    }

    /// The texts to show a piece around, best first.
    fn needles(&self) -> Vec<&str> {
        std::iter::once(self.phrase.as_str())
            .chain(self.terms.iter().map(String::as_str))
            .collect()
    }
}

/// A chat that was found.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The line of the list.
    pub listed: Listed,
    /// Whether it is in the archive.
    pub archived: bool,
    /// The text around the first match in a message.
    pub snippet: Option<String>,
}

impl Hit {
    /// The line as routes send it; `active` tells whether a reply is being written.
    pub fn line(&self, active: bool) -> Line<'_> {
        Line {
            snippet: self.snippet.as_deref(),
            archived: self.archived,
            ..self.listed.line(active)
        }
    }
}

/// Searches the chats of a user.
#[boxed]
pub async fn run(db: &Db, user_id: &str, search: &Search, window: Window) -> DbResult<Vec<Hit>> {
    let dialect = db.dialect();
    let mut conditions: Vec<Condition> = vec![
        ("chat.user_id = ?".into(), args![user_id]),
        (NOT_INTERNAL.into(), Vec::new()),
    ];
    conditions.push((
        "chat.archived = ?".into(),
        args![search.archived.unwrap_or(false)],
    ));
    if let Some(pinned) = search.pinned {
        conditions.push(("chat.pinned = ?".into(), args![pinned]));
    }
    if let Some(shared) = search.shared {
        let null = if shared { "IS NOT NULL" } else { "IS NULL" };
        conditions.push((format!("chat.share_id {null}"), Vec::new()));
    }
    if !search.folders.is_empty() {
        let ids = folders::named(db, user_id, &search.folders).await?;
        // An empty list is no SQL.
        let list = if ids.is_empty() {
            "NULL".to_owned()
        } else {
            placeholders(ids.len())
        };
        conditions.push((
            format!("chat.folder_id IN ({list})"),
            ids.iter().map(Arg::from).collect(),
        ));
    }
    conditions.extend(tag_conditions(dialect, &search.tags));
    let order = text_condition(dialect, search, &mut conditions);
    let (mut text, mut args) = statement(&conditions);
    if let Some((exact, exact_args)) = order {
        text.push_str(&format!("CASE WHEN {exact} THEN 0 ELSE 1 END, "));
        args.extend(exact_args);
    }
    text.push_str("chat.updated_at DESC, chat.id LIMIT ? OFFSET ?");
    args.extend(args![window.limit, window.skip]);
    let rows = sql(text, args).all(db).await?;
    let mut hits = Vec::with_capacity(rows.len());
    for row in &rows {
        hits.push(Hit {
            listed: Listed::read(row)?,
            archived: row.at::<Option<bool>>(6)?.unwrap_or(false),
            snippet: None,
        });
    }
    if !search.phrase.is_empty() {
        add_snippets(db, search, &mut hits).await?;
    }
    Ok(hits)
}

fn statement(conditions: &[Condition]) -> (String, Vec<Arg>) {
    let texts: Vec<&str> = conditions.iter().map(|(text, _)| text.as_str()).collect();
    let args = conditions.iter().flat_map(|(_, args)| args.clone()).collect();
    let columns = Listed::COLUMNS;
    (
        format!(
            "SELECT {columns}, chat.archived FROM chat WHERE {} ORDER BY ",
            texts.join(" AND ")
        ),
        args,
    )
}

fn tag_conditions(dialect: Dialect, ids: &[String]) -> Vec<Condition> {
    if ids.iter().any(|id| id == "none") {
        return vec![(tags::untagged_condition(dialect).to_owned(), Vec::new())];
    }
    ids.iter()
        .map(|id| (tag_condition(dialect).to_owned(), args![id]))
        .collect()
}

/// Adds the condition on the texts. Answers what makes a hit exact when not all are.
fn text_condition(dialect: Dialect, search: &Search, conditions: &mut Vec<Condition>) -> Option<Condition> {
    if search.phrase.is_empty() {
        return None;
    }
    let exact = contains(dialect, &search.phrase);
    if search.terms.is_empty() {
        conditions.push(exact);
        return None;
    }
    let terms: Vec<Condition> = search.terms.iter().map(|term| contains(dialect, term)).collect();
    let texts: Vec<&str> = terms.iter().map(|(text, _)| text.as_str()).collect();
    let mut args = exact.1.clone();
    args.extend(terms.iter().flat_map(|(_, args)| args.clone()));
    conditions.push((format!("({} OR ({}))", exact.0, texts.join(" AND ")), args));
    Some(exact)
}

/// The title or a message contains the text.
fn contains(dialect: Dialect, text: &str) -> Condition {
    contains_by(dialect, |column| matches(dialect, column, text))
}

/// The title or a message contains the text, in which `%` and `_` stand for themselves.
pub(crate) fn contains_literally(dialect: Dialect, text: &str) -> Condition {
    let pattern = format!("%{}%", crate::shared::like_literal(text));
    contains_by(dialect, |column| match dialect {
        Dialect::Sqlite => (
            format!("{column} REGEXP ?"),
            Arg::from(oui_migrations::like_regex(&pattern, Some('/'))),
        ),
        Dialect::Postgres => (
            format!("{column} ILIKE ? ESCAPE '/'"),
            Arg::from(pattern.as_str()),
        ),
    })
}

fn contains_by(dialect: Dialect, matches: impl Fn(&str) -> (String, Arg)) -> Condition {
    let (title, arg) = matches("chat.title");
    let (row, _) = matches(row_text(dialect));
    let in_rows = format!("EXISTS (SELECT 1 FROM chat_message m WHERE m.chat_id = chat.id AND {row})");
    let (old, _) = matches(document_text(dialect));
    let in_document =
        document_messages(dialect).map(|from| format!("EXISTS (SELECT 1 FROM {from} WHERE {old})"));
    // CASE keeps the document from being read where there are rows.
    let condition = format!(
        "({title} OR {in_rows} OR CASE WHEN {NO_ROWS} THEN ({} OR {}) ELSE FALSE END)",
        in_document[0], in_document[1]
    );
    (condition, vec![arg.clone(), arg.clone(), arg.clone(), arg])
}

const NO_ROWS: &str = "NOT EXISTS (SELECT 1 FROM chat_message m WHERE m.chat_id = chat.id)";

/// The text of a message row.
fn row_text(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "CASE WHEN json_valid(m.content) THEN json_extract(m.content, '$') END",
        // PostgreSQL can not decode the escape of NUL.
        Dialect::Postgres => {
            r"CASE WHEN json_typeof(m.content) = 'string' AND CAST(m.content AS TEXT) NOT LIKE '%\\u0000%' THEN m.content #>> '{}' END"
        }
    }
}

/// Where the messages of a document without rows are, as tables named `old`: in the tree and in the older list.
fn document_messages(dialect: Dialect) -> [&'static str; 2] {
    match dialect {
        Dialect::Sqlite => [
            "json_each(chat.chat, '$.history.messages') AS old",
            "json_each(chat.chat, '$.messages') AS old",
        ],
        Dialect::Postgres => [
            "json_each(CASE WHEN json_typeof(chat.chat #> '{history,messages}') = 'object' \
             THEN chat.chat #> '{history,messages}' ELSE '{}' END) AS old",
            "json_array_elements(CASE WHEN json_typeof(chat.chat -> 'messages') = 'array' \
             THEN chat.chat -> 'messages' ELSE '[]' END) AS old",
        ],
    }
}

fn document_text(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "CASE WHEN json_valid(old.value) THEN json_extract(old.value, '$.content') END",
        Dialect::Postgres => {
            r"CASE WHEN CAST(old.value AS TEXT) NOT LIKE '%\\u0000%' THEN old.value ->> 'content' END"
        }
    }
}

/// Messages that match, by chat, in the order of the conversation.
async fn matching_texts(db: &Db, search: &Search, hits: &[Hit]) -> DbResult<HashMap<String, Vec<String>>> {
    let dialect = db.dialect();
    let mut args: Vec<Arg> = hits.iter().map(|hit| Arg::from(&hit.listed.id)).collect();
    let mut any = Vec::new();
    for needle in search.needles() {
        let (condition, arg) = matches(dialect, row_text(dialect), needle);
        any.push(condition);
        args.push(arg);
    }
    let text = format!(
        "SELECT m.chat_id, m.content FROM chat_message m WHERE m.chat_id IN ({}) AND ({}) \
         ORDER BY m.created_at, CASE m.role WHEN 'user' THEN 0 ELSE 1 END, m.id",
        placeholders(hits.len()),
        any.join(" OR ")
    );
    let mut texts: HashMap<String, Vec<String>> = HashMap::new();
    for row in &sql(text, args).all(db).await? {
        if let Some(Value::String(content)) = row.at::<Option<Value>>(1)? {
            texts.entry(row.at(0)?).or_default().push(content);
        }
    }
    Ok(texts)
}

/// Texts of the messages of chats without rows.
async fn document_texts(db: &Db, ids: Vec<&String>) -> DbResult<HashMap<String, Vec<String>>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let text = format!(
        "SELECT id, chat FROM chat WHERE id IN ({}) AND {NO_ROWS}",
        placeholders(ids.len())
    );
    let rows = sql(text, ids.into_iter().map(Arg::from).collect())
        .all(db)
        .await?;
    let mut texts = HashMap::new();
    for row in &rows {
        let document: Option<Value> = row.at(1)?;
        let messages = document
            .as_ref()
            .and_then(Value::as_object)
            .map(history::all)
            .unwrap_or_default();
        let contents = messages
            .iter()
            .filter_map(|message| history::text(message, "content"));
        texts.insert(row.at(0)?, contents.map(str::to_owned).collect());
    }
    Ok(texts)
}

async fn add_snippets(db: &Db, search: &Search, hits: &mut [Hit]) -> DbResult<()> {
    if hits.is_empty() {
        return Ok(());
    }
    let mut texts = matching_texts(db, search, hits).await?;
    let without: Vec<&String> = hits
        .iter()
        .map(|hit| &hit.listed.id)
        .filter(|id| !texts.contains_key(*id))
        .collect();
    texts.extend(document_texts(db, without).await?);
    let needles = search.needles();
    for hit in hits {
        let texts = texts.get(&hit.listed.id).map(Vec::as_slice).unwrap_or_default();
        hit.snippet = needles
            .iter()
            .find_map(|needle| texts.iter().find_map(|text| snippet(text, needle)));
    }
    Ok(())
}

/// The piece of a text around a needle in lower case, with dots where something was cut off.
fn snippet(text: &str, needle: &str) -> Option<String> {
    let characters: Vec<char> = text.chars().collect();
    // Character by character, so that places stay the same.
    let lower: Vec<char> = characters
        .iter()
        .map(|character| character.to_lowercase().next().unwrap_or(*character))
        .collect();
    let needle: Vec<char> = needle.chars().collect();
    let index = lower
        .windows(needle.len().max(1))
        .position(|window| window == needle)?;
    let mut start = index.saturating_sub(SNIPPET / 2);
    let mut end = (start + SNIPPET).min(characters.len());
    if index + needle.len() > end {
        end = (index + needle.len()).min(characters.len());
        start = end.saturating_sub(SNIPPET);
    }
    let piece: String = characters[start..end].iter().collect();
    let piece = piece.split_whitespace().collect::<Vec<_>>().join(" ");
    let (before, after) = (
        if start > 0 { "..." } else { "" },
        if end < characters.len() { "..." } else { "" },
    );
    Some(format!("{before}{piece}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_no_text() {
        let search = Search::parse(" Red  tag:Fruit pinned:true Apple-pie archived:false folder:My_Work ");
        assert_eq!(search.phrase, "red apple-pie");
        assert_eq!(search.terms, ["red", "apple", "pie"]);
        assert_eq!(
            (search.tags, search.folders),
            (vec!["fruit".to_owned()], vec!["my_work".to_owned()])
        );
        assert_eq!(
            (search.pinned, search.archived, search.shared),
            (Some(true), Some(false), None)
        );
        assert!(Search::parse("one").terms.is_empty());
    }

    #[test]
    fn snippets_are_cut_around_the_match() {
        assert_eq!(
            snippet("Say\n hello  World", "hello").as_deref(),
            Some("Say hello World")
        );
        assert_eq!(snippet("Say", "hello"), None);
        let long = format!("{}Grüße{}", "a".repeat(300), "b".repeat(300));
        let cut = snippet(&long, "grüße").unwrap();
        assert!(cut.starts_with("...aaa") && cut.ends_with("bbb...") && cut.contains("Grüße"));
        assert_eq!(cut.chars().count(), SNIPPET + 6);
    }

    #[tokio::test]
    async fn texts_tags_and_marks_are_found() {
        for db in crate::testing::databases().await {
            let (ada, bob) = (
                crate::testing::user(&db, "ada").await,
                crate::testing::user(&db, "bob").await,
            );
            let fruit = crate::testing::chat(&db, &ada, "Obst", "Wo wachsen GRÜNE Äpfel?").await;
            let other = crate::testing::chat(&db, &ada, "Anything", "apples, and then some pears").await;
            crate::testing::chat(&db, &bob, "Obst", "Not Ada's").await;
            tags::add_to_chat(&db, &fruit.id, &ada.id, "Red Fruit")
                .await
                .unwrap();
            let found = async |text: &str| {
                let hits = run(&db, &ada.id, &Search::parse(text), Window::page(1, 60))
                    .await
                    .unwrap();
                hits.into_iter()
                    .map(|hit| (hit.listed.id, hit.snippet))
                    .collect::<Vec<_>>()
            };
            let snippet = Some("Wo wachsen GRÜNE Äpfel?".to_owned());
            assert_eq!(found("grüne äpfel").await, [(fruit.id.clone(), snippet)]);
            assert_eq!(found("obst").await, [(fruit.id.clone(), None)]);
            // All words, in any order, but not as a phrase.
            assert_eq!(found("pears apples").await.len(), 1);
            assert!(found("pears grapes").await.is_empty());
            assert_eq!(found("tag:red_fruit").await, [(fruit.id.clone(), None)]);
            assert_eq!(found("tag:none").await, [(other.id.clone(), None)]);
            assert_eq!(found("").await.len(), 2);
            assert!(found("archived:true").await.is_empty() && found("folder:none").await.is_empty());
            assert_eq!(found("shared:false pinned:false").await.len(), 2);
        }
    }

    #[tokio::test]
    async fn chats_without_rows_are_searched_in_their_documents() {
        for db in crate::testing::databases().await {
            let ada = crate::testing::user(&db, "ada").await;
            let chat = crate::testing::chat(&db, &ada, "Old", "Where are the penguins?").await;
            sql("DELETE FROM chat_message", Vec::new())
                .execute(&*db)
                .await
                .unwrap();
            let hits = run(&db, &ada.id, &Search::parse("penguins"), Window::page(1, 60))
                .await
                .unwrap();
            assert_eq!((hits.len(), hits[0].listed.id.as_str()), (1, chat.id.as_str()));
            assert_eq!(hits[0].snippet.as_deref(), Some("Where are the penguins?"));
        }
    }
}
