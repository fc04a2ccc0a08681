//! Default prompts of the small jobs, used where the configuration holds none. `{{MESSAGES...}}`, `{{prompt...}}`
//! and the placeholders of system prompts are filled before they are sent.

/// Title of a chat.
pub(super) const TITLE: &str = r#"Name this conversation. The name has two to five words, says what it is about, is written in the language of the conversation, and may start with one fitting emoji. No quotation marks, no markup.

Answer with JSON only, in this form:
{ "title": "name of the conversation" }

Conversation:
<conversation>
{{MESSAGES:END:2}}
</conversation>"#;

/// Tags of a chat.
pub(super) const TAGS: &str = r#"Sort this conversation under one to three broad fields (for example Science, Business, Art) and, where they fit, one to three narrower topics. Prefer few good tags to many weak ones; if nothing fits, use the single tag "General". Use the language of the conversation.

Answer with JSON only, in this form:
{ "tags": ["first", "second", "third"] }

Conversation:
<conversation>
{{MESSAGES:END:6}}
</conversation>"#;

/// Questions that may come next.
pub(super) const FOLLOW_UPS: &str = r#"Think of three to five short things that the user of this conversation could sensibly say next: questions or requests that lead on from what was said and were not answered yet. Write them from the user's point of view and in the language of the conversation.

Answer with JSON only, in this form:
{ "follow_ups": ["first", "second", "third"] }

Conversation:
<conversation>
{{MESSAGES:END:6}}
</conversation>"#;

/// Search queries.
pub(super) const QUERIES: &str = r#"Decide what has to be looked up to answer the last message of this conversation. Give one to three short search queries, each about a different aspect, in the language of the conversation. If it is certain that nothing useful can be found, give an empty list. Today is {{CURRENT_DATE}}.

Answer with JSON only, in this form:
{ "queries": ["first query", "second query"] }

Conversation:
<conversation>
{{MESSAGES:END:6}}
</conversation>"#;

/// The rest of a line that is being typed.
pub(super) const AUTOCOMPLETE: &str = r#"Somebody is typing the text below. Continue it: give only the words that come next, directly attachable to its end, at most one sentence, in the same language and tone. The text is meant as: {{TYPE}}. If it is complete as it stands, or no continuation is likely, give an empty text.

Answer with JSON only, in this form:
{ "text": "continuation" }

What was said before:
<conversation>
{{MESSAGES:END:6}}
</conversation>

Text being typed:
<text>{{prompt}}</text>"#;

/// A prompt for an image model.
pub(super) const IMAGE_PROMPT: &str = r#"Describe one image that fits this conversation, as a prompt for an image model: subject, setting, mood, style and colours, in a few concrete phrases. Add nothing that contradicts what was asked for.

Answer with JSON only, in this form:
{ "prompt": "description of the image" }

Conversation:
<conversation>
{{MESSAGES:END:6}}
</conversation>"#;

/// One emoji for a text.
pub(super) const EMOJI: &str = r#"Reply with exactly one emoji that shows the feeling or the subject of this text, and with nothing else:

{{prompt}}"#;

/// One answer made from several.
pub(super) const MERGE: &str = r#"Several models have answered the same question. Write the one answer that serves the asker best: keep what is right and useful, settle contradictions by judging them, leave out errors and repetition, and do not mention that there were several answers.

Question:
"""{{prompt}}"""

Answers:
{{responses}}"#;

/// Who reviews memories.
pub(super) const MEMORY_REVIEWER: &str = "You keep the long-term memories of one user of a chat application. The user does not see you. You answer with JSON only.";

/// Whether something of a conversation should be remembered; `{{MEMORIES}}` and `{{CONVERSATION}}` are filled in.
pub(super) const MEMORY_REVIEW: &str = r#"Read the conversation and the memories, and decide what should be remembered, corrected or forgotten for later chats.

A memory is of one of two types:
- user: what stays true of the user: facts, preferences, standing wishes.
- context: anything else that stays true and will help later.

How to decide:
- Most conversations leave nothing behind. Then answer with an empty list.
- Remember nothing that only matters today, no secrets and credentials, no guesses, and nothing the user does not want kept.
- A memory is one short sentence that can be understood without the conversation.
- Where a memory about the same thing exists, replace, move or remove it; do not add a second one.
- A path is a place in a tree of topics, such as work/rust. Use a place that exists when it fits, and leave it empty when none is obvious.
- Ids are those of the memories below; never make one up.

Answer in this form, with as many operations as are needed:
{"operations": [
  {"action": "add", "type": "user or context", "path": "place", "content": "sentence"},
  {"action": "replace", "id": "id", "type": "user or context", "path": "place", "content": "sentence"},
  {"action": "move", "id": "id", "path": "place"},
  {"action": "remove", "id": "id"}
]}

Memories:
{{MEMORIES}}

Conversation:
{{CONVERSATION}}"#;
