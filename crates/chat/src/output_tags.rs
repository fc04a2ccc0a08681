//! Finds paired tags in streamed text and turns what is between them into items of their own:
//! `<think>...</think>` becomes a reasoning item, solution markers an item without its markers, code that is to be run
//! (the older way of calling) an item of its own. Text is scanned once: the scan remembers how far it has looked.

use oui_core::ids;
use serde_json::{Map, Value, json};

use crate::output::{close_reasoning, message_item};

/// Pairs that models put around their thoughts.
const REASONING: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reason>", "</reason>"),
    ("<reasoning>", "</reasoning>"),
    ("<thought>", "</thought>"),
    ("<Thought>", "</Thought>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("◁think▷", "◁/think▷"),
];

/// Pairs around a final answer.
const SOLUTION: &[(&str, &str)] = &[("<|begin_of_solution|>", "<|end_of_solution|>")];

/// The pair around code that is to be run.
const CODE: (&str, &str) = ("<code_interpreter>", "</code_interpreter>");

/// Type of an item with code.
pub const CODE_ITEM: &str = "open_webui:code_interpreter";

/// Longest opening tag with attributes that is still recognised, in bytes.
const MAX_OPENING: usize = 512;

/// The pairs to look for.
pub struct Tags {
    reasoning: Vec<(String, String)>,
    solution: bool,
    code: bool,
}

impl Default for Tags {
    fn default() -> Self {
        Self {
            reasoning: REASONING
                .iter()
                .map(|(start, end)| ((*start).into(), (*end).into()))
                .collect(),
            solution: true,
            code: false,
        }
    }
}

impl Tags {
    /// Reads the parameter `reasoning_tags`: false switches detection off, a pair replaces the usual ones.
    pub fn from_param(param: Option<&Value>) -> Option<Self> {
        match param {
            Some(Value::Bool(false)) => None,
            Some(Value::Array(pair)) if pair.len() == 2 => match (pair[0].as_str(), pair[1].as_str()) {
                (Some(start), Some(end)) if !start.is_empty() && !end.is_empty() => Some(Self {
                    reasoning: vec![(start.to_owned(), end.to_owned())],
                    ..Self::default()
                }),
                _ => Some(Self::default()),
            },
            _ => Some(Self::default()),
        }
    }

    /// The pairs of `tags`, if any, and the one around code.
    pub fn with_code(tags: Option<Self>) -> Self {
        let tags = tags.unwrap_or(Self {
            reasoning: Vec::new(),
            solution: false,
            code: true,
        });
        Self { code: true, ..tags }
    }
}

/// What a pair of tags makes of the text between them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Reasoning,
    Solution,
    Code,
}

/// How far the last item has been looked at.
#[derive(Default)]
pub struct TagScan {
    item: String,
    looked: usize,
}

struct Opening {
    start: usize,
    end: usize,
    start_tag: String,
    end_tag: String,
    attributes: Map<String, Value>,
    block: Block,
}

impl TagScan {
    /// Looks at the last item; answers whether items were rewritten. Several tags in one chunk are all found.
    pub fn run(&mut self, tags: &Tags, reasoning: bool, items: &mut Vec<Value>, now: f64) -> bool {
        let mut changed = false;
        while self.step(tags, reasoning, items, now) {
            changed = true;
        }
        changed
    }

    fn step(&mut self, tags: &Tags, reasoning: bool, items: &mut Vec<Value>, now: f64) -> bool {
        let Some(last) = items.last() else { return false };
        let id = last["id"].as_str().unwrap_or_default();
        if self.item != id {
            id.clone_into(&mut self.item);
            self.looked = 0;
        }
        let in_block = last["status"] == "in_progress" && last.get("end_tag").is_some();
        if in_block {
            self.close(items, now)
        } else {
            self.open(tags, reasoning, items, now)
        }
    }

    fn open(&mut self, tags: &Tags, reasoning: bool, items: &mut Vec<Value>, now: f64) -> bool {
        let Some(last) = items.last_mut().filter(|item| item["type"] == "message") else {
            return false;
        };
        let text = last_text(last);
        let from = floor_char(text, self.looked.saturating_sub(MAX_OPENING));
        let Some(found) = find_opening(text, from, tags, reasoning) else {
            self.looked = text.len();
            return false;
        };
        let (before, after) = (text[..found.start].to_owned(), text[found.end..].to_owned());
        if before.trim().is_empty() {
            items.pop();
        } else {
            set_last_text(last, &before);
        }
        items.push(block(found, &after, now));
        true
    }

    fn close(&mut self, items: &mut Vec<Value>, now: f64) -> bool {
        let Some(item) = items.last_mut() else {
            return false;
        };
        let end_tag = item["end_tag"].as_str().unwrap_or_default();
        let text = last_text(item);
        let from = floor_char(text, self.looked.saturating_sub(end_tag.len()));
        let Some(at) = text[from..].find(end_tag).map(|at| from + at) else {
            self.looked = text.len();
            return false;
        };
        let inner = text[..at].trim().to_owned();
        let rest = text[at + end_tag.len()..].trim_start().to_owned();
        if inner.is_empty() {
            items.pop();
        } else {
            set_last_text(item, &inner);
            if item["type"] == CODE_ITEM {
                // It stays open until it has run.
                close_reasoning(item, now);
                item["status"] = json!("in_progress");
            } else if item["type"] == "reasoning" {
                close_reasoning(item, now);
            } else {
                item["ended_at"] = json!(now);
                item["status"] = json!("completed");
            }
        }
        items.push(message_item(&rest));
        true
    }
}

fn block(found: Opening, text: &str, now: f64) -> Value {
    let content = json!([{ "type": "output_text", "text": text }]);
    if found.block == Block::Code {
        let lang = found
            .attributes
            .get("lang")
            .cloned()
            .unwrap_or_else(|| json!("python"));
        return json!({
            "type": CODE_ITEM, "id": ids::output_item("ci_"), "status": "in_progress",
            "start_tag": found.start_tag, "end_tag": found.end_tag, "attributes": found.attributes,
            "lang": lang, "code": text, "output": null, "started_at": now,
        });
    }
    if found.block == Block::Reasoning {
        return json!({
            "type": "reasoning", "id": ids::output_item("r_"), "status": "in_progress",
            "start_tag": found.start_tag, "end_tag": found.end_tag, "attributes": found.attributes,
            "content": if text.is_empty() { json!([]) } else { content }, "summary": null, "started_at": now,
        });
    }
    json!({
        "type": "message", "id": ids::output_item("msg_"), "status": "in_progress", "role": "assistant",
        "content": content, "_tag_type": "solution", "start_tag": found.start_tag, "end_tag": found.end_tag,
        "attributes": found.attributes, "started_at": now,
    })
}

fn find_opening(text: &str, from: usize, tags: &Tags, reasoning: bool) -> Option<Opening> {
    let solution = SOLUTION.iter().filter(|_| tags.solution);
    let solution = solution.map(|(start, end)| (*start, *end, Block::Solution));
    let code = tags.code.then_some((CODE.0, CODE.1, Block::Code));
    let thoughts = tags
        .reasoning
        .iter()
        .filter(|_| reasoning)
        .map(|(start, end)| (start.as_str(), end.as_str(), Block::Reasoning));
    thoughts
        .chain(solution)
        .chain(code)
        .filter_map(|(start_tag, end_tag, block)| {
            let (start, end, attributes) = find_tag(text, from, start_tag)?;
            let attributes = read_attributes(attributes);
            let (start_tag, end_tag) = (start_tag.to_owned(), end_tag.to_owned());
            Some(Opening {
                start,
                end,
                start_tag,
                end_tag,
                attributes,
                block,
            })
        })
        .min_by_key(|opening| opening.start)
}

/// Where `tag` begins and ends in the text, and its attributes: `<think a="b">` is a `<think>`.
fn find_tag<'t>(text: &'t str, from: usize, tag: &str) -> Option<(usize, usize, &'t str)> {
    let bracketed = tag
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        .filter(|n| !n.starts_with('|'));
    let Some(name) = bracketed else {
        let at = from + text[from..].find(tag)?;
        return Some((at, at + tag.len(), ""));
    };
    let opening = &tag[..=name.len()];
    let mut search = from;
    while let Some(at) = text[search..].find(opening).map(|at| search + at) {
        let rest = &text[at + opening.len()..];
        match rest.chars().next() {
            Some('>') => return Some((at, at + tag.len(), "")),
            Some(next) if next.is_whitespace() => {
                if let Some(close) = rest.find('>') {
                    return Some((at, at + opening.len() + close + 1, &rest[..close]));
                }
            }
            _ => {}
        }
        search = at + opening.len();
    }
    None
}

fn read_attributes(text: &str) -> Map<String, Value> {
    let mut attributes = Map::new();
    let mut rest = text;
    while let Some(equals) = rest.find("=\"") {
        let name = rest[..equals]
            .rsplit(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next()
            .unwrap_or_default();
        let Some(length) = rest[equals + 2..].find('"') else {
            break;
        };
        if !name.is_empty() {
            attributes.insert(name.to_owned(), json!(rest[equals + 2..equals + 2 + length]));
        }
        rest = &rest[equals + 3 + length..];
    }
    attributes
}

fn last_text(item: &Value) -> &str {
    if let Some(code) = item["code"].as_str() {
        return code;
    }
    let part = item["content"].as_array().and_then(|parts| parts.last());
    part.and_then(|part| part["text"].as_str()).unwrap_or_default()
}

fn set_last_text(item: &mut Value, text: &str) {
    if item["type"] == CODE_ITEM {
        item["code"] = json!(text);
        return;
    }
    if let Some(part) = item["content"].as_array_mut().and_then(|parts| parts.last_mut()) {
        part["text"] = json!(text);
    }
}

fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pieces: &[&str]) -> Vec<Value> {
        let (tags, mut scan) = (Tags::default(), TagScan::default());
        let mut items = vec![message_item("")];
        for piece in pieces {
            crate::output::append_text(items.last_mut().unwrap(), piece);
            scan.run(&tags, true, &mut items, 1.0);
        }
        items
    }

    /// Kinds and texts; blanks at the edges depend on how the text was cut.
    fn texts(items: &[Value]) -> Vec<(String, String)> {
        items
            .iter()
            .map(|item| {
                (
                    item["type"].as_str().unwrap().to_owned(),
                    last_text(item).trim().to_owned(),
                )
            })
            .collect()
    }

    #[test]
    fn every_split_gives_the_same_items() {
        let text = "Well. <think lang=\"en\">α deep</think> done ◁think▷x◁/think▷y";
        let whole = texts(&run(&[text]));
        assert_eq!(whole.len(), 5);
        assert_eq!(whole[1], ("reasoning".to_owned(), "α deep".to_owned()));
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            assert_eq!(texts(&run(&[&text[..at], &text[at..]])), whole, "split at {at}");
        }
    }

    #[test]
    fn attributes_and_lookalikes() {
        let items = run(&["<think type=\"a\" x=\"1\">t</think>"]);
        assert_eq!(items[0]["attributes"], json!({"type": "a", "x": "1"}));
        assert_eq!(texts(&run(&["<thinker>no</thinker>"])).len(), 1);
        assert_eq!(
            texts(&run(&["<think></think>only"])),
            [("message".to_owned(), "only".to_owned())]
        );
    }

    #[test]
    fn code_is_kept_apart_where_it_is_looked_for() {
        let text =
            "Look: <code_interpreter type=\"code\" lang=\"python\">print('<think>')</code_interpreter>\n";
        let (tags, mut scan) = (Tags::with_code(Tags::from_param(None)), TagScan::default());
        let mut items = vec![message_item("")];
        for piece in text.split_inclusive(' ') {
            crate::output::append_text(items.last_mut().unwrap(), piece);
            scan.run(&tags, true, &mut items, 1.0);
        }
        assert_eq!((items.len(), &items[1]["type"]), (3, &json!(CODE_ITEM)));
        assert_eq!(
            (&items[1]["code"], &items[1]["status"]),
            (&json!("print('<think>')"), &json!("in_progress"))
        );
        assert_eq!(items[1]["attributes"]["type"], "code");
        assert_eq!(run(&[text]).len(), 2, "elsewhere only the thought is found");
        assert!(Tags::with_code(None).reasoning.is_empty());
    }

    #[test]
    fn the_parameter_chooses_the_tags() {
        assert!(Tags::from_param(Some(&json!(false))).is_none());
        let own = Tags::from_param(Some(&json!(["[", "]"]))).unwrap();
        assert_eq!(own.reasoning, [("[".to_owned(), "]".to_owned())]);
        assert_eq!(Tags::from_param(None).unwrap().reasoning.len(), 8);
    }
}
