//! `/api/v1/search`: one search over chats, notes and messages of channels, with the places that it can be narrowed
//! to.

use std::collections::{HashMap, HashSet};

use axum::Json;
use oui_config::{channels as channel_keys, features};
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, choice, form};
use oui_models::channels::{self, ChannelRow};
use oui_models::folders::FolderRow;
use oui_models::history;
use oui_models::workspace_search::{self as search, Found, Hit, Kinds, Place, Sharing};
use oui_web::{Area, Caller, Query, Verified, endpoints};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

const PAGE_SIZE: i64 = 24;
/// Words of a query that count.
const MAX_TERMS: usize = 12;
/// Characters of a snippet.
const SNIPPET: usize = 200;
/// Characters of a preview.
const PREVIEW: usize = 2400;
/// What stands as it is in a query parameter.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b' ');

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "search" at "/api/v1/search";
        GET "" Verified => find,
    }
}

choice! {
    enum Kind { All = "all", Chat = "chat", Message = "message", Note = "note" }
}

choice! {
    enum Whose { All = "all", Mine = "mine", Shared = "shared" }
}

/// A text of at most so many characters.
#[derive(Debug, Clone, Default)]
struct Short<const MAX: usize>(String);

impl<const MAX: usize> Field for Short<MAX> {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let text = String::parse(input, issues)?;
        if text.chars().count() <= MAX {
            return Some(Self(text));
        }
        issues.push_ctx(
            "string_too_long",
            format!("String should have at most {MAX} characters"),
            input,
            json!({ "max_length": MAX }),
        );
        None
    }

    fn schema() -> Value {
        json!({ "type": "string", "maxLength": MAX })
    }
}

/// A page, counted from 1.
#[derive(Debug, Clone, Copy)]
struct Page(i64);

impl Field for Page {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let (kind, text, ctx) = match i64::parse(input, issues)? {
            ..1 => (
                "greater_than_equal",
                "greater than or equal to 1",
                json!({ "ge": 1 }),
            ),
            100_001.. => (
                "less_than_equal",
                "less than or equal to 100000",
                json!({ "le": 100_000 }),
            ),
            page => return Some(Self(page)),
        };
        issues.push_ctx(kind, format!("Input should be {text}"), input, ctx);
        None
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 1, "maximum": 100_000 })
    }
}

form! {
    struct SearchQuery {
        q: Short<500> = Short::default(),
        kind: Kind = Kind::All,
        sharing: Whose = Whose::All,
        scope: Short<200> = Short::default(),
        page: Page = Page(1),
    }
}

/// What the caller may read: where to look and how to call it.
struct Readable {
    folders: Vec<FolderRow>,
    shared_folders: HashSet<String>,
    channels: Vec<ChannelRow>,
    channel_names: HashMap<String, String>,
}

impl Readable {
    async fn of(caller: &Caller<Verified>, with_channels: bool) -> ApiResult<Self> {
        let (db, membership) = (caller.db(), caller.membership().await?);
        let (folders, shared_folders) = search::folders_of(db, caller.id(), &membership).await?;
        let channels: Vec<ChannelRow> = if with_channels {
            let entries = channels::of_user(db, caller.id(), &membership).await?;
            entries.into_iter().map(|entry| entry.row).collect()
        } else {
            Vec::new()
        };
        let rows: Vec<&ChannelRow> = channels.iter().collect();
        let channel_names = search::channel_names(db, caller.id(), &caller.user().name, &rows).await?;
        Ok(Self {
            folders,
            shared_folders,
            channels,
            channel_names,
        })
    }

    fn channel_name(&self, id: &str) -> &str {
        self.channel_names.get(id).map(String::as_str).unwrap_or_default()
    }

    /// Folders and channels that a search can be narrowed to.
    fn scopes(&self) -> Vec<Value> {
        let folders = self
            .folders
            .iter()
            .map(|folder| ("folder", &folder.id, folder.name.clone()));
        let channels = self
            .channels
            .iter()
            .map(|channel| ("channel", &channel.id, self.channel_name(&channel.id).to_owned()));
        let mut all: Vec<_> = folders
            .chain(channels)
            .map(|(kind, id, name)| (kind, name.to_lowercase(), format!("{kind}:{id}"), name))
            .collect();
        all.sort();
        all.into_iter()
            .map(|(kind, _, id, name)| json!({ "id": id, "name": name, "kind": kind }))
            .collect()
    }

    /// The place that a scope names; `None` when the caller may not look there.
    fn place(&self, scope: &str) -> Option<Place> {
        if scope.is_empty() {
            return Some(Place::Anywhere);
        }
        match scope.split_once(':')? {
            ("folder", id) if self.folders.iter().any(|folder| folder.id == id) => {
                let mut below = HashSet::from([id.to_owned()]);
                search::with_children(&self.folders, &mut below);
                Some(Place::Folders(below.into_iter().collect()))
            }
            ("channel", id) if self.channels.iter().any(|channel| channel.id == id) => {
                Some(Place::Channel(id.to_owned()))
            }
            _ => None,
        }
    }
}

async fn find(caller: Caller<Verified>, Query(form): Query<SearchQuery>) -> ApiResult<Json<Value>> {
    let config = &caller.app().config;
    let with_messages = config.get(&channel_keys::ENABLE_CHANNELS) && caller.may("features.channels").await?;
    let with_notes = config.get(&features::ENABLE_NOTES) && caller.may("features.notes").await?;
    let mut kinds = vec!["chat"];
    kinds.extend(with_messages.then_some("message"));
    kinds.extend(with_notes.then_some("note"));
    let readable = Readable::of(&caller, with_messages).await?;
    let (text, scopes) = (form.q.0.trim(), readable.scopes());
    let terms = terms(text);
    let mut items = Vec::new();
    if let Some(place) = readable.place(&form.scope.0) {
        let wanted = |kind: Kind| form.kind == Kind::All || form.kind == kind;
        let membership = caller.membership().await?;
        let folders: Vec<String> = readable.folders.iter().map(|folder| folder.id.clone()).collect();
        let channels: Vec<String> = match &place {
            Place::Channel(id) => vec![id.clone()],
            _ => readable
                .channels
                .iter()
                .map(|channel| channel.id.clone())
                .collect(),
        };
        let query = search::Query {
            user_id: caller.id(),
            membership: &membership,
            text,
            terms: &terms,
            sharing: match form.sharing {
                Whose::All => Sharing::All,
                Whose::Mine => Sharing::Mine,
                Whose::Shared => Sharing::Shared,
            },
            place: &place,
            folders: &folders,
            channels: &channels,
            kinds: Kinds {
                chats: wanted(Kind::Chat),
                notes: with_notes && wanted(Kind::Note),
                messages: with_messages && wanted(Kind::Message),
            },
            skip: (form.page.0 - 1) * PAGE_SIZE,
            limit: PAGE_SIZE + 1,
        };
        items = search::run(caller.db(), &query).await?;
    }
    let size = usize::try_from(PAGE_SIZE).map_err(ApiError::internal)?;
    let has_more = items.len() > size;
    items.truncate(size);
    let shown = Shown {
        caller: &caller,
        readable: &readable,
        text,
        terms: &terms,
    };
    let items: Vec<Value> = items.iter().map(|hit| shown.item(hit)).collect();
    Ok(Json(
        json!({ "items": items, "has_more": has_more, "scopes": scopes, "kinds": kinds }),
    ))
}

/// The words of a text in lower case, each once.
fn terms(text: &str) -> Vec<String> {
    let mut terms: Vec<String> = Vec::new();
    for word in text.to_lowercase().split_whitespace() {
        if !terms.iter().any(|known| known == word) {
            terms.push(word.to_owned());
        }
    }
    terms.truncate(MAX_TERMS);
    terms
}

/// How hits are shown.
struct Shown<'a> {
    caller: &'a Caller<Verified>,
    readable: &'a Readable,
    text: &'a str,
    terms: &'a [String],
}

/// One hit before its texts are cut.
struct Item<'a> {
    id: String,
    kind: &'static str,
    title: Option<&'a str>,
    context: String,
    content: &'a str,
    url: String,
    shared: bool,
    pinned: bool,
}

impl Shown<'_> {
    fn item(&self, hit: &Hit) -> Value {
        let item = match &hit.found {
            Found::Chat(chat) => {
                let own = chat.user_id.as_deref() == Some(self.caller.id());
                let folder_id = chat.folder_id.as_deref();
                let folders = &self.readable.folders;
                let folder = folders
                    .iter()
                    .find(|folder| Some(folder.id.as_str()) == folder_id);
                let (content, message) = passage(chat.chat.as_ref(), self.terms);
                let in_shared = folder_id.is_some_and(|id| self.readable.shared_folders.contains(id));
                Item {
                    id: format!("chat:{}", chat.id),
                    kind: "chat",
                    title: chat.title.as_deref(),
                    context: match folder {
                        Some(folder) => folder.name.clone(),
                        None if own => "Personal chat".to_owned(),
                        None => "Shared chat".to_owned(),
                    },
                    content,
                    url: with_parameters(&format!("/c/{}", chat.id), &[("message", message)]),
                    shared: !own || chat.share_id.as_deref().is_some_and(|id| !id.is_empty()) || in_shared,
                    pinned: own && chat.pinned == Some(true),
                }
            }
            Found::Snapshot(snapshot) => {
                let (content, message) = passage(snapshot.chat.as_ref(), self.terms);
                Item {
                    id: format!("shared:{}", snapshot.id),
                    kind: "chat",
                    title: snapshot.title.as_deref(),
                    context: "Shared snapshot".to_owned(),
                    content,
                    url: with_parameters(&format!("/s/{}", snapshot.id), &[("message", message)]),
                    shared: true,
                    pinned: false,
                }
            }
            Found::Note(note, pinned, shared) => {
                let shared = *shared || note.user_id.as_deref() != Some(self.caller.id());
                let content = note.data.as_ref().and_then(|data| data.pointer("/content/md"));
                let search = Some(self.text).filter(|text| !text.is_empty());
                Item {
                    id: format!("note:{}", note.id),
                    kind: "note",
                    title: note.title.as_deref(),
                    context: if shared { "Shared note" } else { "Personal note" }.to_owned(),
                    content: content.and_then(Value::as_str).unwrap_or_default(),
                    url: with_parameters(&format!("/notes/{}", note.id), &[("search", search)]),
                    shared,
                    pinned: *pinned,
                }
            }
            Found::Message(message) => {
                let id = &message.channel_id;
                let name = self.readable.channel_name(id);
                let direct = self
                    .readable
                    .channels
                    .iter()
                    .any(|channel| channel.id == *id && channel.kind.as_deref() == Some("dm"));
                let thread = message.parent_id.as_ref().unwrap_or(&message.id);
                Item {
                    id: format!("message:{}", message.id),
                    kind: "message",
                    title: message.author.as_deref().or(Some("Message")),
                    context: if direct {
                        name.to_owned()
                    } else {
                        format!("#{name}")
                    },
                    content: &message.content,
                    url: with_parameters(
                        &format!("/channels/{id}"),
                        &[("thread", Some(thread)), ("message", Some(&message.id))],
                    ),
                    shared: true,
                    pinned: false,
                }
            }
        };
        json!({
            "id": item.id,
            "kind": item.kind,
            "title": item.title.filter(|title| !title.is_empty()).unwrap_or("Untitled"),
            "context": item.context,
            "snippet": excerpt(item.content, self.terms, SNIPPET),
            "preview": excerpt(item.content, self.terms, PREVIEW),
            "url": item.url,
            "updated_at": hit.updated_at,
            "shared": item.shared,
            "pinned": item.pinned,
        })
    }
}

/// The path with the parameters that have a value.
fn with_parameters(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut url = path.to_owned();
    for (name, value) in parameters {
        if let Some(value) = value {
            let value = utf8_percent_encode(value, PLAIN).to_string().replace(' ', "+");
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("{name}={value}"));
        }
    }
    url
}

/// The first message that has all the words, else the first with any of them, with its id; the last message where
/// none has.
fn passage<'a>(document: Option<&'a Value>, terms: &[String]) -> (&'a str, Option<&'a str>) {
    let Some(document) = document.and_then(Value::as_object) else {
        return ("", None);
    };
    let all: Vec<(&str, &Value)> = history::all(document)
        .into_iter()
        .filter_map(|message| Some((history::text(message, "content")?, message)))
        .collect();
    let lower: Vec<String> = all.iter().map(|(text, _)| text.to_lowercase()).collect();
    let has = |text: &String, term: &String| text.contains(term.as_str());
    let with_all = lower
        .iter()
        .position(|text| !terms.is_empty() && terms.iter().all(|term| has(text, term)));
    let found = with_all.or_else(|| {
        lower
            .iter()
            .position(|text| terms.iter().any(|term| has(text, term)))
    });
    match found {
        Some(at) => (all[at].0, history::text(all[at].1, "id")),
        None => (all.last().map_or("", |(text, _)| text), None),
    }
}

/// The part of a text around the first word, in characters.
fn excerpt(content: &str, terms: &[String], length: usize) -> String {
    let letters: Vec<char> = content.chars().collect();
    // One letter for one, so that places in both are the same.
    let lower: String = letters
        .iter()
        .map(|letter| letter.to_lowercase().next().unwrap_or(*letter))
        .collect();
    let at = terms
        .iter()
        .filter_map(|term| lower.find(term.as_str()))
        .min()
        .unwrap_or(0);
    let at = lower[..at].chars().count();
    let start = at.saturating_sub(length / 4);
    let end = (start + length).min(letters.len());
    let part: String = letters[start.min(end)..end].iter().collect();
    let before = if start > 0 { "…" } else { "" };
    let after = if end < letters.len() { "…" } else { "" };
    format!("{before}{}{after}", part.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_stand_around_the_first_word() {
        let text = format!("{}Äpfel und Birnen{}", "x".repeat(100), "y".repeat(300));
        let part = excerpt(&text, &terms("birnen"), 40);
        assert_eq!(part, format!("…{}Äpfel und Birnen{}…", "", "y".repeat(24)));
        assert_eq!(excerpt("short", &[], 40), "short");
    }

    #[test]
    fn the_message_with_all_words_is_shown() {
        let chat = json!({"history": {"messages": {
            "a": {"id": "a", "content": "only cats"},
            "b": {"id": "b", "content": "Cats and Dogs"},
            "c": {"id": "c", "content": ["no text"]},
        }}});
        assert_eq!(
            passage(Some(&chat), &terms("dogs CATS")),
            ("Cats and Dogs", Some("b"))
        );
        assert_eq!(
            passage(Some(&chat), &terms("cats birds")),
            ("only cats", Some("a"))
        );
        assert_eq!(passage(Some(&chat), &terms("birds")), ("Cats and Dogs", None));
        assert_eq!(
            with_parameters("/c/1", &[("message", Some("a b&c")), ("x", None)]),
            "/c/1?message=a+b%26c"
        );
    }
}
