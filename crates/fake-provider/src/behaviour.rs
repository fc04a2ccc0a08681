//! What each behaviour replies to a conversation.

use crate::{
    catalogue::Behaviour,
    conversation::Conversation,
    plan::{Ending, Part, Plan, Refusal, Reply, Usage},
    settings::Settings,
    task_prompts::Task,
    text, tool_calls,
};

/// Milliseconds between the chunks of `slow`.
const SLOW_PAUSE_MS: u64 = 200;
const SLOW_CHUNKS: usize = 10;
const LONG_CHUNKS: usize = 100;
const MOST_CHUNKS: usize = 100_000;

/// A last user message that begins with this and a name of the catalogue is answered as that
/// model would, whichever model was asked: a browser test need not change the model.
const DIRECTIVE: &str = "fake:";

/// The behaviour for a conversation: that of the model, unless the message directs otherwise.
pub(crate) fn chosen(model: Behaviour, conversation: &Conversation) -> Behaviour {
    let directed = conversation.last_user.strip_prefix(DIRECTIVE);
    directed
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(Behaviour::in_catalogue)
        .unwrap_or(model)
}

/// The reply of a behaviour. Task prompts are answered with their fixed JSON by every model but
/// those that refuse every request.
pub(crate) fn reply(behaviour: Behaviour, conversation: &Conversation, settings: &Settings) -> Reply {
    match behaviour {
        Behaviour::Refuse(status) => return Reply::Refusal(Refusal::of_status(status)),
        Behaviour::Embed => {
            let message = format!("\"{}\" does not support chat", conversation.model);
            return Reply::Refusal(Refusal::bad_request(message));
        }
        _ => {}
    }
    if let Some(task) = Task::of(conversation) {
        let answer = task.answer(behaviour, conversation).to_string();
        return Reply::Plan(Plan::texts([answer]));
    }
    Reply::Plan(plan(behaviour, conversation, settings))
}

fn plan(behaviour: Behaviour, conversation: &Conversation, settings: &Settings) -> Plan {
    let asked = |default| {
        text::last_number(&conversation.last_user)
            .unwrap_or(default)
            .min(MOST_CHUNKS)
    };
    match behaviour {
        Behaviour::Echo => echo(&conversation.last_user),
        // The two that never get here refuse every chat; they would say the fixed text.
        Behaviour::Fixed | Behaviour::Refuse(_) | Behaviour::Embed => {
            if settings.times {
                Plan::texts(std::iter::repeat_n(text::NO_TIME, settings.chunks))
            } else {
                Plan::texts(text::fixed_chunks(settings.chunks))
            }
        }
        Behaviour::Slow => Plan {
            pause_ms: Some(SLOW_PAUSE_MS),
            ..Plan::texts(text::fixed_chunks(asked(SLOW_CHUNKS)))
        },
        Behaviour::Long => Plan::texts(text::fixed_chunks(asked(LONG_CHUNKS))),
        Behaviour::Usage => Plan {
            usage: Some(Usage {
                prompt: 11,
                completion: 7,
                cached: 3,
                reasoning: 0,
            }),
            ..Plan::texts(["These", " are", " seven", " tokens", " of", " text", "."])
        },
        Behaviour::Reasoner => reasoner(),
        Behaviour::ThinkTags => Plan::texts([
            "<th",
            "ink>",
            "Considering",
            " the",
            " question.",
            "</thi",
            "nk>",
            "The answer",
            " is 42.",
        ]),
        Behaviour::Tools { parallel } => tools(parallel, conversation),
        Behaviour::ErrorMidstream => Plan::texts(["One", " two", " three"]).ending(Ending::Error),
        Behaviour::Broken => Plan::texts(["One", " two", " three"]).ending(Ending::Drop),
        Behaviour::Stall => Plan::texts(["One"]).ending(Ending::Hang),
        Behaviour::Garbage => garbage(),
    }
}

fn echo(text: &str) -> Plan {
    Plan::texts(text::words(text))
}

fn reasoner() -> Plan {
    let thoughts = ["Considering", " the", " question."].map(|text| Part::Reasoning(text.to_owned()));
    let answer = ["The answer", " is 42."].map(|text| Part::Text(text.to_owned()));
    Plan {
        parts: thoughts.into_iter().chain(answer).collect(),
        ..Plan::default()
    }
}

fn tools(parallel: bool, conversation: &Conversation) -> Plan {
    if !conversation.tool_results.is_empty() {
        return echo(&conversation.tool_results.join("\n"));
    }
    if conversation.tools.is_empty() {
        return echo(&conversation.last_user);
    }
    Plan {
        parts: tool_calls::calls(parallel, conversation),
        ..Plan::default()
    }
}

/// Noise before, between and after the chunks of a valid text, five lines of it.
fn garbage() -> Plan {
    let texts = ["Valid", " text", " in", " between."].map(|text| Part::Text(text.to_owned()));
    let parts = texts
        .into_iter()
        .flat_map(|text| [Part::Noise, text])
        .chain([Part::Noise]);
    Plan {
        parts: parts.collect(),
        ..Plan::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(behaviour: Behaviour, last_user: &str) -> Plan {
        let conversation = Conversation {
            last_user: last_user.to_owned(),
            ..Conversation::default()
        };
        match reply(behaviour, &conversation, &Settings::default()) {
            Reply::Plan(plan) => plan,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_message_can_direct_another_behaviour() {
        let asked = |text: &str| {
            let conversation = Conversation {
                last_user: text.to_owned(),
                ..Conversation::default()
            };
            chosen(Behaviour::Fixed, &conversation)
        };
        assert_eq!(asked("fake:error-429 please"), Behaviour::Refuse(429));
        assert_eq!(asked("fake:nobody"), Behaviour::Fixed);
        assert_eq!(asked("say fake:echo"), Behaviour::Fixed);
    }

    #[test]
    fn chunk_counts_come_from_the_message() {
        assert_eq!(said(Behaviour::Long, "give me 25 chunks").parts.len(), 25);
        assert_eq!(said(Behaviour::Long, "some").parts.len(), 100);
        assert_eq!(said(Behaviour::Long, "9999999").parts.len(), 100_000);
        let slow = said(Behaviour::Slow, "3");
        assert_eq!((slow.parts.len(), slow.pause_ms), (3, Some(200)));
    }

    #[test]
    fn task_prompts_are_answered_by_whole_json() {
        let plan = said(Behaviour::Stall, "As JSON: {\"title\": \"…\"}");
        assert_eq!(plan, Plan::texts([r#"{"title":"A fixed title"}"#]));
    }

    #[test]
    fn tools_answer_with_results() {
        let conversation = Conversation {
            tools: vec!["a".to_owned()],
            tool_results: vec!["it is 3".to_owned(), "and 4".to_owned()],
            ..Conversation::default()
        };
        let plan = tools(false, &conversation);
        assert_eq!(plan.text(), "it is 3\nand 4");
        assert_eq!(
            tools(
                false,
                &Conversation {
                    tool_results: vec![],
                    ..conversation
                }
            )
            .tool_calls()
            .count(),
            1
        );
    }
}
