//! Answers to the prompts with which Open WebUI has a model write titles, tags and the like.
//!
//! Such a prompt asks for JSON and names the key that it wants, so it is recognised by the word
//! JSON together with a quoted key of the table below. Chat history comes after the key in these
//! prompts, so the first key in the text decides.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{catalogue::Behaviour, conversation::Conversation, tool_calls};

/// A kind of task prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A chat's title: `{"title": …}`.
    Title,
    /// A chat's tags: `{"tags": […]}`.
    Tags,
    /// Suggested next messages: `{"follow_ups": […]}`.
    FollowUps,
    /// Search queries: `{"queries": […]}`.
    Queries,
    /// An emoji: `{"emoji": …}`.
    Emoji,
    /// The rest of a half-written message: `{"text": …}`.
    Autocomplete,
    /// A prompt for an image: `{"prompt": …}`.
    ImagePrompt,
    /// The choice of tools, asked for in the system message: `{"tool_calls": […]}`.
    ToolChoice,
}

/// The tasks asked for in the last user message, with the key that each asks for.
const USER_KEYS: &[(&str, Task)] = &[
    ("\"title\"", Task::Title),
    ("\"tags\"", Task::Tags),
    ("\"follow_ups\"", Task::FollowUps),
    ("\"queries\"", Task::Queries),
    ("\"emoji\"", Task::Emoji),
    ("\"text\"", Task::Autocomplete),
    ("\"prompt\"", Task::ImagePrompt),
];

impl Task {
    /// The task that a conversation asks for, if any.
    #[must_use]
    pub fn of(conversation: &Conversation) -> Option<Self> {
        let user = &conversation.last_user;
        if asks_for_json(user) {
            let places = USER_KEYS
                .iter()
                .filter_map(|(key, task)| Some((user.find(key)?, *task)));
            if let Some((_, task)) = places.min_by_key(|(place, _)| *place) {
                return Some(task);
            }
        }
        let system = &conversation.system;
        (asks_for_json(system) && system.contains("\"tool_calls\"")).then_some(Self::ToolChoice)
    }

    /// The fixed answer.
    #[must_use]
    pub fn answer(self, behaviour: Behaviour, conversation: &Conversation) -> Value {
        match self {
            Self::Title => json!({"title": "A fixed title"}),
            Self::Tags => json!({"tags": ["fixed", "scripted"]}),
            Self::FollowUps => {
                json!({"follow_ups": ["What comes first?", "What comes next?", "What comes last?"]})
            }
            Self::Queries => json!({"queries": ["a fixed query"]}),
            Self::Emoji => json!({"emoji": "🙂"}),
            Self::Autocomplete => json!({"text": " and a fixed ending."}),
            Self::ImagePrompt => json!({"prompt": "A fixed image prompt"}),
            Self::ToolChoice => json!({"tool_calls": tool_calls::choice(behaviour, conversation)}),
        }
    }
}

fn asks_for_json(text: &str) -> bool {
    text.split(|character: char| !character.is_alphanumeric())
        .any(|word| word == "JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(last_user: &str) -> Option<Task> {
        Task::of(&Conversation {
            last_user: last_user.to_owned(),
            ..Conversation::default()
        })
    }

    #[test]
    fn a_quoted_key_and_the_word_json_make_a_task() {
        for (key, task) in USER_KEYS {
            assert_eq!(asked(&format!("Write it as JSON: {{ {key}: 1 }}")), Some(*task));
            assert_eq!(asked(&format!("Write {{ {key}: 1 }}")), None);
        }
        assert_eq!(asked("Explain JSON and titles"), None);
        assert_eq!(asked("GeoJSON \"title\""), None);
    }

    #[test]
    fn the_first_key_decides() {
        assert_eq!(
            asked("JSON { \"tags\": [] }\nUSER: what is \"title\"?"),
            Some(Task::Tags)
        );
    }

    #[test]
    fn a_tool_choice_is_asked_for_in_the_system_message() {
        let conversation = Conversation {
            system: "As JSON: {\"tool_calls\": []}".to_owned(),
            last_user: "Query: hello".to_owned(),
            ..Conversation::default()
        };
        assert_eq!(Task::of(&conversation), Some(Task::ToolChoice));
        assert_eq!(
            Task::ToolChoice.answer(Behaviour::Echo, &conversation),
            json!({"tool_calls": []})
        );
    }
}
