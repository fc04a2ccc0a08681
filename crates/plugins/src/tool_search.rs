//! Search among many tools: long specifications are left out of requests and only named; the model looks them up with
//! one tool and calls what it found through another.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::args::Args;
use crate::tool::{Answer, Callable, Kind, Object, Tool, ToolContext, ToolError};
use crate::toolbox::Toolbox;

/// The tool that finds others.
pub const SEARCH: &str = "search_tools";

/// The tool that calls what was found.
pub const CALL: &str = "call_tool";

/// Characters of a description where tools are only named.
const SHORT: usize = 100;

/// Most results of one search.
const MOST: i64 = 20;

/// Which tools are left out of requests.
pub struct Rule {
    /// Characters of a specification that are not too many.
    pub threshold: i64,
    /// Patterns of names that are never left out.
    pub always_loaded: Vec<String>,
    /// Whether built-in tools may be left out.
    pub builtin: bool,
}

impl Rule {
    /// Names of the tools that are left out, sorted.
    pub fn deferred(&self, tools: &Toolbox) -> Vec<String> {
        let is_deferred = |tool: &&Tool| {
            let length = tool.spec.to_string().chars().count();
            (self.builtin || tool.kind != Kind::Builtin)
                && !self
                    .always_loaded
                    .iter()
                    .any(|pattern| matches(pattern, &tool.name))
                && i64::try_from(length).unwrap_or(i64::MAX) > self.threshold
        };
        let mut names: Vec<String> = tools
            .iter()
            .filter(is_deferred)
            .map(|tool| tool.name.clone())
            .collect();
        names.sort_unstable();
        names
    }
}

/// Whether a name fits a pattern of the shell: `*`, `?`, `[abc]`, `[!abc]`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Whether the pattern up to here fits the name up to each place.
    let mut fits = vec![false; name.len() + 1];
    fits[0] = true;
    let mut at = 0;
    while at < pattern.len() {
        let mut next = vec![false; name.len() + 1];
        if pattern[at] == '*' {
            let first = fits.iter().position(|fit| *fit).unwrap_or(next.len());
            next[first..].fill(true);
            at += 1;
        } else {
            let (set, after) = set_at(&pattern, at);
            for (place, letter) in name.iter().enumerate() {
                next[place + 1] = fits[place] && set(*letter);
            }
            at = after;
        }
        fits = next;
    }
    fits[name.len()]
}

/// What letters the part of a pattern takes, and where the next part begins.
fn set_at(pattern: &[char], at: usize) -> (Box<dyn Fn(char) -> bool + '_>, usize) {
    let letter = pattern[at];
    if letter == '?' {
        return (Box::new(|_| true), at + 1);
    }
    let negated = pattern.get(at + 1) == Some(&'!');
    let first = at + 1 + usize::from(negated);
    let close = pattern
        .iter()
        .skip(first + 1)
        .position(|c| *c == ']')
        .map(|found| first + 1 + found);
    let (Some(close), '[') = (close, letter) else {
        return (Box::new(move |c| c == letter), at + 1);
    };
    let members = &pattern[first..close];
    let has = move |c: char| {
        let mut rest = members;
        while let Some((&start, after)) = rest.split_first() {
            match after {
                ['-', end, tail @ ..] => {
                    if (start..=*end).contains(&c) {
                        return true;
                    }
                    rest = tail;
                }
                _ => {
                    if start == c {
                        return true;
                    }
                    rest = after;
                }
            }
        }
        false
    };
    (Box::new(move |c| has(c) != negated), close + 1)
}

/// What the model is told of tools that are left out.
pub fn manifest(tools: &Toolbox, deferred: &[String]) -> String {
    let mut text = String::from(
        "<available_tools>\nThere are more tools than those whose definitions you have. To use one of these, look its \
         definition up with search_tools (words of what you need, or its exact name), then call it with call_tool: \
         tool_name is its exact name, params a JSON object as a text, such as \
         call_tool(tool_name=\"get_weather\", params='{\"city\":\"Dubai\"}'). They cannot be called directly. Search \
         before you say that something cannot be done.\n",
    );
    for tool in deferred.iter().filter_map(|name| tools.get(name)) {
        let about = tool.spec["description"].as_str().unwrap_or_default();
        let mut about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((cut, _)) = about
            .char_indices()
            .nth(SHORT - 1)
            .filter(|_| about.chars().count() > SHORT)
        {
            about.truncate(about[..cut].trim_end().len());
            about.push('…');
        }
        let name = &tool.name;
        text.push_str(&format!(
            "<tool>\n<name>{name}</name>\n<description>{about}</description>\n</tool>\n"
        ));
    }
    text.push_str("</available_tools>");
    text
}

/// The two tools for `deferred` ones.
pub fn tools(tools: &Toolbox, deferred: &[String]) -> [Tool; 2] {
    let found = deferred.iter().filter_map(|name| tools.get(name));
    let specs: Vec<(String, Value)> = found
        .map(|tool| (tool.name.clone(), (*tool.spec).clone()))
        .collect();
    let text = |about: &str| json!({ "type": "string", "description": about });
    let builtin = |name: &str, spec: Value, callable: Arc<dyn Callable>| Tool {
        name: name.to_owned(),
        id: format!("builtin:{name}"),
        kind: Kind::Builtin,
        spec: spec.into(),
        callable,
    };
    let search = json!({
        "name": SEARCH,
        "description": "Finds tools among those that are only named in <available_tools>, and gives their definitions. What it finds is called with call_tool.",
        "parameters": { "type": "object", "required": ["query"], "properties": {
            "query": text("Words of what is needed, or the exact name of a tool."),
            "count": { "type": "integer", "default": 5, "description": "How many at most, up to 20." },
        } },
    });
    let call = json!({
        "name": CALL,
        "description": "Calls a tool that search_tools found.",
        "strict": true,
        "parameters": { "type": "object", "required": ["tool_name", "params"], "additionalProperties": false, "properties": {
            "tool_name": text("Exact name of the tool."),
            "params": text("Its arguments: a JSON object as a text, {} for none."),
        } },
    });
    [
        builtin(SEARCH, search, Arc::new(Search { specs })),
        builtin(CALL, call, Arc::new(Dispatch)),
    ]
}

/// The tool and the arguments that a call of [`CALL`] means.
///
/// # Errors
/// What the model did wrong.
pub fn resolve(arguments: &str, tools: &Toolbox) -> Result<(String, String), String> {
    let given: Value = serde_json::from_str(arguments).map_err(|error| error.to_string())?;
    let fields = given.as_object().filter(|fields| {
        fields.len() == 2 && fields.contains_key("tool_name") && fields.contains_key("params")
    });
    let fields = fields.ok_or("call_tool requires tool_name and params.")?;
    let name = fields["tool_name"]
        .as_str()
        .filter(|name| !name.trim().is_empty());
    let name = name.ok_or("tool_name must be a non-empty string.")?;
    if name == SEARCH || name == CALL {
        return Err("call_tool cannot invoke search_tools or itself.".into());
    }
    if tools.get(name).is_none() {
        return Err(format!(
            "Tool \"{name}\" is not available. Search for an available tool."
        ));
    }
    let params = fields["params"]
        .as_str()
        .ok_or("params must be a JSON-encoded object string.")?;
    let params: Value = serde_json::from_str(params).map_err(|error| error.to_string())?;
    if !params.is_object() {
        return Err("params must decode to a JSON object.".into());
    }
    Ok((name.to_owned(), params.to_string()))
}

struct Search {
    specs: Vec<(String, Value)>,
}

#[async_trait]
impl Callable for Search {
    async fn call(&self, _: &ToolContext, arguments: Object) -> Answer {
        let args = Args::new(SEARCH, arguments);
        let found = ranked(
            &args.text("query")?,
            &self.specs,
            args.int("count", 5).clamp(1, MOST),
        );
        if found.is_empty() {
            let message = "No matching tools found. Try different keywords or the exact tool name.";
            return Ok(json!({ "tools": [], "message": message }));
        }
        Ok(json!({ "tools": found }))
    }
}

/// Stands in the list of tools only: calls are taken apart before they are run.
struct Dispatch;

#[async_trait]
impl Callable for Dispatch {
    async fn call(&self, _: &ToolContext, _: Object) -> Answer {
        Err(ToolError::new("call_tool requires tool_name and params."))
    }
}

/// Words in lower case; names are taken apart at their capitals.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for letter in text.chars() {
        let begins = letter.is_uppercase() && (before.is_lowercase() || before.is_ascii_digit());
        if !letter.is_alphanumeric() || begins {
            words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// The specifications that fit best: an exact name alone, else by how rare the words are that they share with the
/// query, and how many.
fn ranked(query: &str, specs: &[(String, Value)], count: i64) -> Vec<Value> {
    let query = query.trim();
    if let Some((_, spec)) = specs.iter().find(|(name, _)| name == query) {
        return vec![spec.clone()];
    }
    let mut wanted = words(query);
    wanted.sort_unstable();
    wanted.dedup();
    let text = |name: &str, spec: &Value| {
        let parameters = spec.pointer("/parameters/properties").and_then(Value::as_object);
        let parameters: Vec<&str> = parameters
            .into_iter()
            .flat_map(|all| all.keys().map(String::as_str))
            .collect();
        format!(
            "{name} {} {}",
            spec["description"].as_str().unwrap_or_default(),
            parameters.join(" ")
        )
    };
    let documents: Vec<Vec<String>> = specs
        .iter()
        .map(|(name, spec)| words(&text(name, spec)))
        .collect();
    let total = documents.len() as f64;
    let average = documents.iter().map(Vec::len).sum::<usize>() as f64 / total.max(1.0);
    let score = |document: &Vec<String>| {
        wanted.iter().fold(0.0, |sum, word| {
            let times = document.iter().filter(|other| *other == word).count() as f64;
            if times == 0.0 {
                return sum;
            }
            let having = documents.iter().filter(|other| other.contains(word)).count() as f64;
            let rarity = ((total - having + 0.5) / (having + 0.5)).ln().max(0.0);
            let length = document.len() as f64 / average.max(1.0);
            sum + 1.0 + rarity * times * 2.5 / (times + 1.5 * (0.25 + 0.75 * length))
        })
    };
    let mut scored: Vec<(f64, &(String, Value))> = documents.iter().map(score).zip(specs).collect();
    scored.retain(|(score, _)| *score > 0.0);
    scored.sort_by(|(a, (first, _)), (b, (second, _))| b.total_cmp(a).then_with(|| first.cmp(second)));
    let best = scored.into_iter().take(usize::try_from(count).unwrap_or(1));
    best.map(|(_, (_, spec))| spec.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, about: &str) -> (String, Value) {
        (name.to_owned(), json!({ "name": name, "description": about }))
    }

    #[test]
    fn patterns_are_those_of_the_shell() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("search_*", "search_notes", true),
            ("search_*", "find", false),
            ("*_note?", "view_notes", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[a", "[a", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn the_best_tools_come_first() {
        let specs = [
            spec("jiraCreateIssue", "Creates an issue."),
            spec("jira_search", "Searches issues."),
            spec("send_mail", "Sends mail to people."),
        ];
        let names = |query: &str| {
            let found = ranked(query, &specs, 5);
            found
                .iter()
                .map(|spec| spec["name"].as_str().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("create jira issue")[0], "jiraCreateIssue");
        assert_eq!(names("jira_search"), ["jira_search"]);
        assert_eq!(names("mail"), ["send_mail"]);
        assert!(names("weather").is_empty() && names("  ").is_empty());
    }

    #[test]
    fn calls_mean_tools_that_are_there() {
        let mut tools = Toolbox::default();
        tools.add(Tool {
            name: "mail".into(),
            id: "t".into(),
            kind: Kind::Python,
            spec: Arc::new(json!({ "name": "mail" })),
            callable: Arc::new(Dispatch),
        });
        let call = |arguments: Value| resolve(&arguments.to_string(), &tools);
        let good = call(json!({"tool_name": "mail", "params": "{\"to\": \"a\"}"})).unwrap();
        assert_eq!(good, ("mail".to_owned(), "{\"to\":\"a\"}".to_owned()));
        for (arguments, error) in [
            (json!({"tool_name": "mail"}), "requires"),
            (json!({"tool_name": " ", "params": "{}"}), "non-empty"),
            (json!({"tool_name": "call_tool", "params": "{}"}), "itself"),
            (json!({"tool_name": "none", "params": "{}"}), "not available"),
            (json!({"tool_name": "mail", "params": {}}), "string"),
            (json!({"tool_name": "mail", "params": "[]"}), "decode"),
        ] {
            assert!(call(arguments).unwrap_err().contains(error), "{error}");
        }
    }
}
