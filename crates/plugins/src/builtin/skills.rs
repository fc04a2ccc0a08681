//! Skills that a model writes for its user: instructions with supporting files.

use oui_models::skill_edits::{self, NewSkill, Taken};
use serde_json::{Value, json};

use super::builtins;
use super::spec::{Shape, optional, required};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

/// Bytes of a file, of a skill, and how many files a skill has at most.
const FILE_LIMIT: usize = 10 * 1024 * 1024;
const SKILL_LIMIT: usize = 50 * 1024 * 1024;
const FILES: usize = 1000;

const FILE_LIST: &str = r#"{"type": "array", "items": {"type": "object", "properties": {
    "path": {"type": "string", "description": "Path of the file inside the skill."},
    "content": {"type": "string", "description": "Its text."}}, "required": ["path", "content"]}}"#;

builtins! {
    TOOLS {
        "create_skill"
        "Writes a new skill that only the user sees: instructions for a kind of work, which models can be given. The text begins with a header between lines of --- that has name and description."
        [
            required("id", Shape::Text, "Unique id in small letters, digits and hyphens."),
            required("name", Shape::Text, "Name shown."),
            required("content", Shape::Text, "The whole text of SKILL.md, header included."),
            optional("files", Shape::Schema(FILE_LIST), "Further files with text."),
            optional("commit_message", Shape::Text, "What is said of this version."),
        ] => create;
    }
}

/// A path inside a skill: relative, without steps up.
fn is_inside(path: &str) -> bool {
    let bad_sign = |sign: char| sign == '\\' || sign == ':' || sign.is_control();
    !path.is_empty()
        && !path.contains(bad_sign)
        && path
            .split('/')
            .all(|step| !step.is_empty() && step != "." && step != "..")
}

fn files(content: &str, given: Option<&Vec<Value>>) -> Result<Vec<Value>, ToolError> {
    let mut all = vec![json!({ "path": "SKILL.md", "content": content })];
    let mut total = content.len();
    for file in given.into_iter().flatten() {
        let text = |name: &str| file.get(name).and_then(Value::as_str);
        let (Some(path), Some(content)) = (text("path"), text("content")) else {
            return Err(ToolError::new("Each file needs path and content"));
        };
        if path == "SKILL.md" || file.get("encoding").is_some_and(|encoding| !encoding.is_null()) {
            return Err(ToolError::new(
                "Supporting files must be UTF-8 text; pass SKILL.md in content",
            ));
        }
        if !is_inside(path) || all.iter().any(|known| known["path"] == path) {
            return Err(ToolError::new(format!("Invalid or repeated path: {path}")));
        }
        total += content.len();
        if content.len() > FILE_LIMIT || total > SKILL_LIMIT || all.len() >= FILES {
            return Err(ToolError::new("The skill is too large"));
        }
        all.push(json!({ "path": path, "content": content }));
    }
    Ok(all)
}

/// A field of the header between lines of `---`.
fn header_field(content: &str, name: &str) -> Option<String> {
    let mut lines = content.lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let header = lines.take_while(|line| line.trim_end() != "---");
    let mut values = header.filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = values.next()?.trim();
    let quoted = ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Some(quoted.unwrap_or(value).to_owned())
}

async fn create(context: &ToolContext, args: Args) -> Answer {
    if !context.may("workspace.skills") {
        return Err(ToolError::new("Skill authoring permission required"));
    }
    let (id, name, content) = (args.text("id")?, args.text("name")?, args.text("content")?);
    let id = id.to_lowercase().replace(' ', "-");
    let is_slug =
        |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_' || sign == '-';
    if id.is_empty() || !id.chars().all(is_slug) {
        return Err(ToolError::new("Invalid skill ID"));
    }
    let new = NewSkill {
        files: files(&content, args.list("files"))?,
        description: Some(header_field(&content, "description").unwrap_or_default()),
        commit_message: args.optional_text("commit_message"),
        id: id.clone(),
        name,
        content,
    };
    match skill_edits::create(&context.db, &context.user.id, new).await? {
        Ok(_) => Ok(json!({ "id": id, "url": format!("/workspace/skills/edit?id={id}") })),
        Err(Taken::Id) => Err(ToolError::new(oui_core::messages::ID_TAKEN)),
        Err(Taken::Name) => Err(ToolError::new("A skill with this name already exists")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert!(is_inside("a/b.md"));
        for path in ["", "/a", "a//b", "../a", "a/..", "c:\\a", "a\0"] {
            assert!(!is_inside(path), "{path}");
        }
        assert!(
            files(
                "x",
                Some(&vec![
                    json!({"path": "a", "content": "y"}),
                    json!({"path": "a", "content": "z"})
                ])
            )
            .is_err()
        );
    }

    #[test]
    fn the_header_describes_the_skill() {
        let text = "---\nname: sing\ndescription: \"How to sing\"\n---\nSing.";
        assert_eq!(header_field(text, "description").as_deref(), Some("How to sing"));
        assert_eq!(header_field("description: x", "description"), None);
    }
}
