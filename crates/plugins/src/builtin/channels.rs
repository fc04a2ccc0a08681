//! Channels of the user: finding them, searching what was written in them, reading messages and threads.

use oui_models::channels::{self as rows, ChannelRow};
use oui_models::messages::{self, MessageRow, Part};
use oui_models::users;
use serde_json::{Value, json};

use super::builtins;
use super::spec::{Shape, default, optional, required};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

builtins! {
    TOOLS {
        "search_channels"
        "Finds the team channels that the user can read by name and description."
        [
            required("query", Shape::Text, "Text to look for."),
            default("count", Shape::Int, "5", "How many channels at most."),
        ] => search;

        "search_channel_messages"
        "Searches what people wrote in the user's channels, threads included, newest first."
        [
            required("query", Shape::Text, "Text to look for."),
            default("count", Shape::Int, "10", "How many messages at most."),
            optional("start_timestamp", Shape::Int, "Only messages written at or after this Unix timestamp in seconds."),
            optional("end_timestamp", Shape::Int, "Only messages written at or before this Unix timestamp in seconds."),
        ] => search_messages;

        "view_channel_thread"
        "Reads a whole thread of a channel in the order in which it was written."
        [required("parent_message_id", Shape::Text, "Id of the message that began the thread.")] => view_thread;

        "view_channel_message"
        "Reads one message of a channel as a whole."
        [required("message_id", Shape::Text, "Id of the message.")] => view_message;
    }
}

/// Most messages of a thread.
const THREAD: i64 = 10_000;

/// Characters before and after what was found.
const BEFORE: usize = 50;
const AFTER: usize = 100;

async fn own(context: &ToolContext) -> Result<Vec<ChannelRow>, ToolError> {
    let entries = rows::of_user(&context.db, &context.user.id, &context.membership).await?;
    Ok(entries.into_iter().map(|entry| entry.row).collect())
}

/// A message in a channel of the user, and the channel.
async fn readable(context: &ToolContext, id: &str) -> Result<(MessageRow, ChannelRow), ToolError> {
    let message = messages::by_id(&context.db, id).await?;
    let message = message.ok_or_else(|| ToolError::new("Message not found"))?;
    let channel = own(context)
        .await?
        .into_iter()
        .find(|channel| Some(&channel.id) == message.channel_id.as_ref());
    let channel = channel.ok_or_else(|| ToolError::new("Access denied"))?;
    Ok((message, channel))
}

async fn search(context: &ToolContext, args: Args) -> Answer {
    let query = args.text("query")?.to_lowercase();
    let count = usize::try_from(args.count("count", 5)).unwrap_or_default();
    let matches = |text: Option<&str>| text.unwrap_or_default().to_lowercase().contains(&query);
    let channels = own(context).await?;
    let found = channels
        .iter()
        .filter(|channel| matches(channel.name.as_deref()) || matches(channel.description.as_deref()));
    let shown = found.take(count).map(|channel| {
        json!({
            "id": channel.id, "name": channel.name, "description": channel.description.as_deref().unwrap_or_default(),
            "type": channel.kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("public"),
        })
    });
    Ok(shown.collect())
}

/// The neighbourhood of what was found.
fn snippet(content: &str, query: &str) -> String {
    let text: Vec<char> = content.chars().collect();
    let lower: Vec<char> = content.chars().flat_map(|c| c.to_lowercase().next()).collect();
    let wanted: Vec<char> = query.chars().flat_map(|c| c.to_lowercase().next()).collect();
    let at = (!wanted.is_empty())
        .then(|| lower.windows(wanted.len()).position(|window| window == wanted))
        .flatten();
    let (start, end) = match at {
        Some(at) => (
            at.saturating_sub(BEFORE),
            (at + wanted.len() + AFTER).min(text.len()),
        ),
        None => (0, text.len().min(BEFORE + AFTER)),
    };
    let shown: String = text[start..end].iter().collect();
    let (before, after) = (
        if start > 0 { "..." } else { "" },
        if end < text.len() { "..." } else { "" },
    );
    format!("{before}{shown}{after}")
}

async fn search_messages(context: &ToolContext, args: Args) -> Answer {
    let query = args.text("query")?;
    let channels = own(context).await?;
    let ids: Vec<String> = channels.iter().map(|channel| channel.id.clone()).collect();
    let at = |name: &str| {
        let seconds = args.optional_int(name).filter(|at| *at != 0);
        seconds.map(|at| at.saturating_mul(1_000_000_000))
    };
    let period = (at("start_timestamp"), at("end_timestamp"));
    let found = messages::search(&context.db, &ids, &query, period, args.count("count", 10)).await?;
    let shown = found.iter().map(|message| {
        let channel = channels
            .iter()
            .find(|channel| Some(&channel.id) == message.channel_id.as_ref());
        json!({
            "channel_id": message.channel_id,
            "channel_name": channel.and_then(|channel| channel.name.as_deref()).unwrap_or("Unknown"),
            "message_id": message.id,
            "content_snippet": snippet(message.content.as_deref().unwrap_or_default(), &query),
            "is_thread_reply": message.parent_id.is_some(),
            "parent_id": message.parent_id,
            "created_at": message.created_at,
        })
    });
    Ok(shown.collect())
}

async fn name_of(context: &ToolContext, user_id: Option<&str>) -> Result<Option<String>, ToolError> {
    Ok(match user_id {
        Some(id) => users::by_id(&context.db, id).await?.map(|user| user.name),
        None => None,
    })
}

async fn view_message(context: &ToolContext, args: Args) -> Answer {
    let (message, channel) = readable(context, &args.text("message_id")?).await?;
    let replies = messages::replies(&context.db, &message.id).await?;
    let mut shown = json!({
        "id": message.id, "channel_id": message.channel_id, "channel_name": channel.name, "content": message.content,
        "user_id": message.user_id, "is_thread_reply": message.parent_id.is_some(), "parent_id": message.parent_id,
        "reply_count": replies, "created_at": message.created_at, "updated_at": message.updated_at,
    });
    if let Some(name) = name_of(context, message.user_id.as_deref()).await? {
        shown["user_name"] = json!(name);
    }
    Ok(shown)
}

async fn view_thread(context: &ToolContext, args: Args) -> Answer {
    let id = args.text("parent_message_id")?;
    let (parent, channel) = readable(context, &id).await?;
    let mut thread = messages::of_thread(&context.db, &channel.id, &id, Part::After(0), THREAD).await?;
    thread.retain(|message| message.id != parent.id);
    thread.reverse();
    let authors: Vec<String> = thread
        .iter()
        .chain([&parent])
        .filter_map(|message| message.user_id.clone())
        .collect();
    let people = users::by_ids(&context.db, &authors).await?;
    let name = |message: &MessageRow| {
        let author = people
            .iter()
            .find(|user| Some(&user.id) == message.user_id.as_ref());
        author.map(|user| user.name.clone())
    };
    let mut shown = vec![json!({
        "id": parent.id, "content": parent.content, "user_id": parent.user_id, "user_name": name(&parent),
        "is_parent": true, "created_at": parent.created_at,
    })];
    shown.extend(thread.iter().map(|message| {
        json!({
            "id": message.id, "content": message.content, "user_id": message.user_id, "user_name": name(message),
            "is_parent": false, "reply_to_id": message.reply_to_id, "created_at": message.created_at,
        })
    }));
    Ok(json!({
        "channel_id": channel.id, "channel_name": channel.name, "thread_id": id, "message_count": shown.len(),
        "messages": Value::Array(shown),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets_show_the_neighbourhood() {
        assert_eq!(snippet("A Wren sings", "wren"), "A Wren sings");
        let long = format!("{}Wren{}", "a".repeat(80), "b".repeat(200));
        let shown = snippet(&long, "wren");
        assert!(shown.starts_with("...") && shown.ends_with("...") && shown.contains("Wren"));
        assert_eq!(shown.chars().count(), 3 + BEFORE + 4 + AFTER + 3);
        assert_eq!(snippet(&"x".repeat(200), "wren").chars().count(), 153);
    }
}
