//! The files of a skill: which sets of files are one, changes to them, and the two forms that a file's content is
//! kept in. Paths are names only; nothing is written to a disk.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oui_core::form;
use oui_core::form::{Field, Issues, literal_error};
use serde_json::{Map, Value, json};

/// Largest file, in bytes.
pub(super) const LARGEST_FILE: usize = 10 * 1024 * 1024;
/// Most bytes of a skill.
const LARGEST_SKILL: usize = 50 * 1024 * 1024;
/// Most files of a skill.
const MOST_FILES: usize = 1000;
/// The file that every skill has.
pub(super) const ROOT: &str = "SKILL.md";

/// How content that is no text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base64;

impl Field for Base64 {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        if input == "base64" {
            return Some(Self);
        }
        literal_error(&["base64"], input, issues);
        None
    }

    fn schema() -> Value {
        json!({ "const": "base64" })
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Relative path, parts separated by slashes.
    pub(super) path: String,
    /// Its text, or its bytes in base64.
    pub(super) content: String,
    /// Whether it is base64.
    pub(super) encoding: Option<Base64>,
}

form! {
    /// A file as requests send it.
    struct FileForm {
        path: String,
        content: String,
        encoding: Option<Base64>,
    }
}

impl Field for File {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let form = FileForm::parse(input, issues)?;
        let unknown = input.as_object().into_iter().flatten();
        let known = ["path", "content", "encoding"];
        for (name, value) in unknown.filter(|(name, _)| !known.contains(&name.as_str())) {
            issues.inside(name.as_str(), |issues| {
                issues.push("extra_forbidden", "Extra inputs are not permitted", value);
            });
        }
        Some(Self {
            path: form.path,
            content: form.content,
            encoding: form.encoding,
        })
    }

    fn schema() -> Value {
        FileForm::schema()
    }
}

impl File {
    /// A file from what it holds: as text where it is text.
    pub(super) fn from_bytes(path: String, bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(content) if !content.contains('\0') => Self {
                path,
                content,
                encoding: None,
            },
            other => {
                let bytes = other.map_or_else(|error| error.into_bytes(), String::into_bytes);
                Self {
                    path,
                    content: STANDARD.encode(bytes),
                    encoding: Some(Base64),
                }
            }
        }
    }

    /// A stored file.
    pub(super) fn from_json(value: &Value) -> Self {
        let text = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            path: text("path"),
            content: text("content"),
            encoding: value
                .get("encoding")
                .filter(|encoding| !encoding.is_null())
                .map(|_| Base64),
        }
    }

    /// As it is stored.
    pub(super) fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("path".into(), json!(self.path));
        object.insert("content".into(), json!(self.content));
        if self.encoding.is_some() {
            object.insert("encoding".into(), json!("base64"));
        }
        Value::Object(object)
    }

    /// What it holds.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        match self.encoding {
            None => Ok(self.content.clone().into_bytes()),
            Some(Base64) => STANDARD.decode(&self.content).map_err(|error| error.to_string()),
        }
    }

    fn size(&self) -> Result<usize, String> {
        match self.encoding {
            None => Ok(self.content.len()),
            Some(Base64) => self.bytes().map(|bytes| bytes.len()),
        }
    }
}

/// Path, size and form of each file.
pub(super) fn summaries(files: &[File]) -> Value {
    let summary = |file: &File| {
        json!({
            "path": file.path,
            "size": file.size().unwrap_or_default(),
            "encoding": file.encoding.map(|_| "base64"),
        })
    };
    files.iter().map(summary).collect()
}

/// Stored files of a skill or a version of it.
pub(super) fn stored(data: Option<&Value>) -> Vec<File> {
    let files = data.and_then(|data| data.get("files")).and_then(Value::as_array);
    files.into_iter().flatten().map(File::from_json).collect()
}

/// Refuses paths that lead out of the skill or that some system reads otherwise.
pub(super) fn checked_path(path: &str) -> Result<&str, String> {
    if path.is_empty() || path.starts_with('/') || path.contains(['\\', '\0', ':']) {
        return Err("File paths must be relative POSIX paths".into());
    }
    if path.split('/').any(|part| ["", ".", ".."].contains(&part)) {
        return Err("Invalid file path".into());
    }
    Ok(path)
}

/// The files in order, if they make a skill. What was larger than the limits before may stay so.
pub(super) fn checked(files: Vec<File>, previous: &[File]) -> Result<Vec<File>, String> {
    if files.len() > MOST_FILES.max(previous.len()) {
        return Err(format!("A skill may contain at most {MOST_FILES} files"));
    }
    let old: BTreeMap<&str, usize> = previous
        .iter()
        .map(|file| Ok((file.path.as_str(), file.size()?)))
        .collect::<Result<_, String>>()?;
    let mut paths = BTreeSet::new();
    let mut total = 0;
    for file in &files {
        let path = checked_path(&file.path)?;
        if !paths.insert(path) {
            return Err(format!("Duplicate file: {path}"));
        }
        let size = file.size()?;
        if size > LARGEST_FILE.max(old.get(path).copied().unwrap_or_default()) {
            return Err(format!("File exceeds 10 MiB: {path}"));
        }
        total += size;
    }
    if total > LARGEST_SKILL.max(old.values().sum()) {
        return Err("Skill exceeds 50 MiB".into());
    }
    let is_file = |path: &str| {
        path.match_indices('/')
            .any(|(end, _)| paths.contains(&path[..end]))
    };
    if let Some(path) = paths.iter().find(|path| is_file(path)) {
        return Err(format!("A file is also used as a directory: {path}"));
    }
    if !files
        .iter()
        .any(|file| file.path == ROOT && file.encoding.is_none())
    {
        return Err("A skill requires a UTF-8 SKILL.md at its root".into());
    }
    let mut files = files;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Text of the file that every skill has.
pub(super) fn root_text(files: &[File]) -> &str {
    let root = files.iter().find(|file| file.path == ROOT);
    root.map_or("", |file| file.content.as_str())
}

/// What is done to a file or to all below a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Put,
    Move,
    Delete,
}

impl Field for What {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        match input.as_str() {
            Some("put") => Some(Self::Put),
            Some("move") => Some(Self::Move),
            Some("delete") => Some(Self::Delete),
            _ => {
                literal_error(&["put", "move", "delete"], input, issues);
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "enum": ["put", "move", "delete"] })
    }
}

form! {
    /// A change to files.
    pub(super) struct Operation {
        op: What,
        path: String,
        content: Option<String>,
        encoding: Option<Base64>,
        destination: Option<String>,
    }
}

/// The files after the changes.
pub(super) fn changed(files: &[File], operations: &[Operation]) -> Result<Vec<File>, String> {
    let mut all: BTreeMap<String, File> = files
        .iter()
        .map(|file| (file.path.clone(), file.clone()))
        .collect();
    for operation in operations {
        let path = checked_path(&operation.path)?;
        if operation.op == What::Put {
            let content = operation.content.clone().ok_or("put requires content")?;
            let file = File {
                path: path.to_owned(),
                content,
                encoding: operation.encoding,
            };
            all.insert(path.to_owned(), file);
            continue;
        }
        if path == ROOT {
            return Err("SKILL.md cannot be moved or deleted".into());
        }
        let below = format!("{path}/");
        let matched: Vec<String> = all
            .keys()
            .filter(|name| *name == path || name.starts_with(&below))
            .cloned()
            .collect();
        if matched.is_empty() {
            return Err(format!("File or directory not found: {path}"));
        }
        let taken: Vec<File> = matched.iter().filter_map(|name| all.remove(name)).collect();
        if operation.op == What::Delete {
            continue;
        }
        let destination = checked_path(operation.destination.as_deref().unwrap_or_default())?;
        if destination.starts_with(&below) {
            return Err("Cannot move a directory into itself".into());
        }
        for file in taken {
            let name = format!("{destination}{}", &file.path[path.len()..]);
            if all.contains_key(&name) {
                return Err("Move would overwrite an existing file".into());
            }
            all.insert(name.clone(), File { path: name, ..file });
        }
    }
    checked(all.into_values().collect(), files)
}

#[cfg(test)]
mod tests {
    use oui_core::Form;

    use super::*;

    fn text(path: &str, content: &str) -> File {
        File {
            path: path.into(),
            content: content.into(),
            encoding: None,
        }
    }

    fn operations(all: &Value) -> Vec<Operation> {
        all.as_array()
            .unwrap()
            .iter()
            .map(|one| Operation::read("body", one).unwrap())
            .collect()
    }

    #[test]
    fn sets_of_files_are_checked() {
        let root = || text(ROOT, "# A");
        let fails = |files: Vec<File>| checked(files, &[]).unwrap_err();
        assert_eq!(fails(vec![]), "A skill requires a UTF-8 SKILL.md at its root");
        assert_eq!(fails(vec![root(), text("../x", "")]), "Invalid file path");
        assert_eq!(
            fails(vec![root(), text("a:b", "")]),
            "File paths must be relative POSIX paths"
        );
        assert_eq!(fails(vec![root(), root()]), "Duplicate file: SKILL.md");
        assert_eq!(
            fails(vec![root(), text("a", ""), text("a/b", "")]),
            "A file is also used as a directory: a/b"
        );
        let large = text("a", &"x".repeat(LARGEST_FILE + 1));
        assert_eq!(fails(vec![root(), large.clone()]), "File exceeds 10 MiB: a");
        assert!(checked(vec![root(), large.clone()], &[large]).is_ok());
        let sorted = checked(vec![text("b", ""), root(), text("a", "")], &[]).unwrap();
        assert_eq!(
            sorted.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
            [ROOT, "a", "b"]
        );
    }

    #[test]
    fn files_are_put_moved_and_deleted() {
        let files = [text(ROOT, "# A"), text("docs/a.md", "a"), text("docs/b.md", "b")];
        let all = json!([
            {"op": "move", "path": "docs", "destination": "refs"},
            {"op": "delete", "path": "refs/b.md"},
            {"op": "put", "path": "x.bin", "content": "AAEC", "encoding": "base64"},
        ]);
        let after = changed(&files, &operations(&all)).unwrap();
        let paths: Vec<&str> = after.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [ROOT, "refs/a.md", "x.bin"]);
        assert_eq!(after[2].bytes().unwrap(), [0, 1, 2]);
        let fails = |all: Value| changed(&files, &operations(&all)).unwrap_err();
        assert_eq!(
            fails(json!([{"op": "delete", "path": ROOT}])),
            "SKILL.md cannot be moved or deleted"
        );
        assert_eq!(
            fails(json!([{"op": "delete", "path": "x"}])),
            "File or directory not found: x"
        );
        assert_eq!(
            fails(json!([{"op": "move", "path": "docs/a.md", "destination": "docs/b.md"}])),
            "Move would overwrite an existing file"
        );
        assert_eq!(fails(json!([{"op": "put", "path": "x"}])), "put requires content");
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        assert_eq!(File::from_bytes("a".into(), b"text".to_vec()), text("a", "text"));
        let binary = File::from_bytes("a".into(), vec![0xff, 0]);
        assert_eq!((binary.content.as_str(), binary.encoding), ("/wA=", Some(Base64)));
        assert_eq!(
            summaries(&[binary]),
            json!([{"path": "a", "size": 2, "encoding": "base64"}])
        );
    }
}
