//! Telling people of a channel of a message that they do not see, through the targets that they chose.

use std::sync::LazyLock;

use oui_config::ui;
use oui_core::notice::preview;
use oui_core::{ApiResult, Notice, Room};
use oui_models::channel_members;
use oui_models::messages::MessageRow;
use oui_web::{Caller, Verified};
use regex::Regex;
use serde_json::json;

use super::{Channel, reached};

/// Accounts that a text mentions, as the client writes it: `<@U:id|name>`.
fn mentioned(text: &str) -> Vec<&str> {
    #[expect(clippy::expect_used, reason = "the pattern is a constant; a test compiles it")]
    static MENTION: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"<@U:([^|>]+)(?:\|[^>]+)?>").expect("a pattern"));
    MENTION
        .captures_iter(text)
        .filter_map(|found| Some(found.get(1)?.as_str()))
        .collect()
}

/// Tells those who take part in the channel but do not have it open. Who muted it is told of mentions only.
pub(super) async fn notify_away(
    caller: &Caller<Verified>,
    channel: &Channel,
    message: &MessageRow,
) -> ApiResult<()> {
    let app = caller.app();
    if !app.config.get(&ui::ENABLE_USER_WEBHOOKS) {
        return Ok(());
    }
    let readers = if channel.row.is_closed() {
        None
    } else {
        reached(caller, channel).await?
    };
    let members = channel_members::of_channel(caller.db(), &channel.row.id).await?;
    let present = app.emitter.users_in(&Room::Channel(channel.row.id.clone())).await;
    let content = message.content.as_deref().unwrap_or_default();
    let mentioned = mentioned(content);
    let url = format!("{}/channels/{}", app.config.get(&ui::WEBUI_URL), channel.row.id);
    let name = channel.row.name.as_deref().unwrap_or_default();
    for member in members {
        let Some(user_id) = member.user_id else { continue };
        let reads = readers.as_ref().is_none_or(|readers| readers.contains(&user_id));
        let quiet = member.is_channel_muted && !mentioned.contains(&user_id.as_str());
        if !reads || quiet || present.contains(&user_id) {
            continue;
        }
        let notice = Notice::new("channel.message").about_kind("channel", channel.row.id.as_str());
        let notice = notice.titled(name).with(json!({
            "user_id": user_id, "channel_id": channel.row.id, "message_id": message.id,
            "sender_id": message.user_id, "content": content,
            "message": format!("#{name} - {url}\n\n{content}"), "content_preview": preview(content),
            "title": name, "url": url,
        }));
        caller.publish(notice);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_mentioned_by_their_ids() {
        assert_eq!(
            mentioned("<@U:a|Ada> and <@U:b>, not <@M:m|Model> or @U:c"),
            ["a", "b"]
        );
    }
}
