//! Skills on their way in and out: archives, JSON and single texts become packages, packages become an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read, Write};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::files::{File, LARGEST_FILE, ROOT, checked, checked_path, root_text};

/// Most bytes of an import, packed and unpacked.
pub(super) const LARGEST_IMPORT: usize = 200 * 1024 * 1024;
/// Most files of an archive.
const MOST_ENTRIES: usize = 10_000;

const TOO_LARGE: &str = "Import exceeds 200 MiB";
const LINKS: &str = "Archives cannot contain links or special files";

/// One skill to import.
pub(super) struct Package {
    /// Proposed id.
    pub(super) id: String,
    /// Proposed name.
    pub(super) name: String,
    /// Description.
    pub(super) description: Value,
    /// Tags and translations.
    pub(super) meta: Value,
    /// Whether it is offered, when the package says so.
    pub(super) is_active: Option<Value>,
    /// Its files.
    pub(super) files: Vec<File>,
}

/// Where in an archive of a repository skills are looked for: below this path of the only folder at its root.
pub(super) struct Discover<'a> {
    /// The path, ending with a slash, or empty. None: the archive is none of a repository.
    pub(super) directory: Option<&'a str>,
}

/// Reads skills out of a file, by the end of its name. With `discover` other files of an archive are passed over.
pub(super) fn parse(
    data: &[u8],
    name: &str,
    discover: Option<&Discover<'_>>,
) -> Result<Vec<Package>, String> {
    if data.len() > LARGEST_IMPORT {
        return Err(TOO_LARGE.into());
    }
    let name = name.to_lowercase();
    if name.ends_with(".json") {
        let value: Value = serde_json::from_slice(data).map_err(|error| error.to_string())?;
        let all = match value {
            Value::Array(all) => all,
            one => vec![one],
        };
        return packages(all.iter().map(listed).collect::<Result<_, _>>()?);
    }
    if name.ends_with(".zip") || name.ends_with(".skill") {
        let sets = unpacked(data, discover)?;
        return packages(sets.into_iter().map(|files| (Map::new(), files)).collect());
    }
    if name.ends_with(".md") {
        return packages(vec![(
            Map::new(),
            vec![File::from_bytes(ROOT.into(), data.to_vec())],
        )]);
    }
    Err("Use JSON, ZIP, .skill, or Markdown".into())
}

/// A package of a JSON file, with its files.
fn listed(value: &Value) -> Result<(Map<String, Value>, Vec<File>), String> {
    let object = value.as_object().ok_or("Each imported skill must be an object")?;
    let files = match object.get("files") {
        Some(files) => {
            let files = files.as_array().ok_or("files must be a list")?;
            files.iter().map(File::from_json).collect()
        }
        None => {
            let content = object.get("content").and_then(Value::as_str).unwrap_or_default();
            vec![File {
                path: ROOT.into(),
                content: content.into(),
                encoding: None,
            }]
        }
    };
    Ok((object.clone(), files))
}

/// Folders that hold a skill and are not inside another one's.
fn outermost(mut roots: Vec<String>) -> Vec<String> {
    roots.sort();
    let all = roots.clone();
    roots.retain(|root| {
        !all.iter()
            .any(|parent| root != parent && root.starts_with(parent.as_str()))
    });
    roots
}

/// Sets of files of an archive, one for each skill in it.
fn unpacked(data: &[u8], discover: Option<&Discover<'_>>) -> Result<Vec<Vec<File>>, String> {
    let mut archive = ZipArchive::new(Cursor::new(data)).map_err(|_| "File is not a zip file")?;
    let mut entries: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut links = Vec::new();
    let mut total = 0u64;
    for index in 0..archive.len() {
        let mut entry = archive.by_index_raw(index).map_err(|error| error.to_string())?;
        let mut path = checked_path(entry.name().trim_end_matches('/'))?.to_owned();
        let kind = entry.unix_mode().unwrap_or_default() & 0o170_000;
        let special = ![0, 0o100_000, 0o040_000].contains(&kind);
        if special && discover.is_none() {
            return Err(LINKS.into());
        }
        if entry.is_dir() {
            continue;
        }
        if let Some(directory) = discover.and_then(|discover| discover.directory) {
            path = path
                .split_once('/')
                .map_or_else(String::new, |(_, rest)| rest.to_owned());
            if !path.starts_with(directory) {
                continue;
            }
        }
        if special {
            links.push(path);
            continue;
        }
        if entries.contains_key(&path) {
            return Err(format!("Duplicate archive path: {path}"));
        }
        total += entry.size();
        if entry.size() > LARGEST_FILE as u64
            || total > LARGEST_IMPORT as u64
            || entries.len() >= MOST_ENTRIES
        {
            return Err("Archive exceeds import limits".into());
        }
        if entry.encrypted() {
            return Err("Encrypted skill archives are not supported".into());
        }
        drop(entry);
        entry = archive
            .by_index(index)
            .map_err(|_| "Skill archive uses an unsupported compression method")?;
        // The size that the archive tells is not believed.
        let mut bytes = Vec::new();
        entry
            .by_ref()
            .take(LARGEST_FILE as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| error.to_string())?;
        if bytes.len() > LARGEST_FILE {
            return Err("Archive exceeds import limits".into());
        }
        entries.insert(path, bytes);
    }
    let roots = if entries.contains_key(ROOT) {
        vec![String::new()]
    } else {
        let root = |path: &String| {
            path.strip_suffix(ROOT)
                .filter(|root| root.ends_with('/'))
                .map(str::to_owned)
        };
        outermost(entries.keys().filter_map(root).collect())
    };
    if roots.is_empty() {
        return Err("Archive contains no SKILL.md".into());
    }
    let inside = |path: &str| roots.iter().any(|root| path.starts_with(root.as_str()));
    if links.iter().any(|path| inside(path)) {
        return Err(LINKS.into());
    }
    if discover.is_none() && !entries.keys().all(|path| inside(path)) {
        return Err("Archive contains files outside skill directories".into());
    }
    let mut sets: Vec<Vec<File>> = roots.iter().map(|_| Vec::new()).collect();
    for (path, bytes) in entries {
        let found = roots.iter().position(|root| path.starts_with(root.as_str()));
        if let Some(index) = found {
            sets[index].push(File::from_bytes(path[roots[index].len()..].to_owned(), bytes));
        }
    }
    Ok(sets)
}

/// Skills out of the files of uploaded folders.
pub(super) fn from_folders(files: Vec<File>) -> Result<Vec<Package>, String> {
    let root = |file: &File| {
        file.path
            .strip_suffix(ROOT)
            .filter(|root| root.ends_with('/'))
            .map(str::to_owned)
    };
    let roots = outermost(files.iter().filter_map(root).collect());
    if roots.is_empty() {
        return Err("Select a folder containing one or more non-nested skills".into());
    }
    let mut sets: Vec<(Map<String, Value>, Vec<File>)> =
        roots.iter().map(|_| (Map::new(), Vec::new())).collect();
    for file in files {
        let found = roots.iter().position(|root| file.path.starts_with(root.as_str()));
        let index = found.ok_or("Files outside skill directories")?;
        let path = file.path[roots[index].len()..].to_owned();
        sets[index].1.push(File { path, ..file });
    }
    packages(sets)
}

/// Gives packages what they do not say themselves: from the head of `SKILL.md`.
fn packages(sets: Vec<(Map<String, Value>, Vec<File>)>) -> Result<Vec<Package>, String> {
    let mut all = Vec::new();
    let mut total = 0;
    for (said, files) in sets {
        let files = checked(files, &[])?;
        for file in &files {
            total += file.bytes()?.len();
        }
        if total > LARGEST_IMPORT {
            return Err(format!("{TOO_LARGE} decoded"));
        }
        let head = frontmatter(root_text(&files));
        let filled = |value: Option<&Value>| value.filter(|value| is_filled(value)).cloned();
        let name = filled(said.get("name"))
            .or_else(|| filled(head.get("name")))
            .unwrap_or_else(|| json!("Imported skill"));
        let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        let id = filled(said.get("id")).and_then(|id| id.as_str().map(str::to_owned));
        let described = said.get("description").or_else(|| head.get("description"));
        all.push(Package {
            id: id.unwrap_or_else(|| slug(&name)),
            description: described.cloned().unwrap_or_else(|| json!("")),
            meta: filled(said.get("meta")).unwrap_or_else(|| json!({})),
            is_active: said.get("is_active").cloned(),
            name,
            files,
        });
    }
    Ok(all)
}

fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
    }
}

/// An id made of a name.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for character in name.to_lowercase().chars() {
        if character.is_ascii_lowercase() || character.is_ascii_digit() || "_-".contains(character) {
            slug.push(character);
        } else if !slug.ends_with('\u{0}') {
            slug.push('\u{0}');
        }
    }
    let slug = slug.replace('\u{0}', "-");
    match slug.trim_matches('-') {
        "" => "imported-skill".to_owned(),
        slug => slug.to_owned(),
    }
}

/// The head of a text: YAML between two lines of three dashes.
pub(super) fn frontmatter(content: &str) -> Map<String, Value> {
    #[expect(clippy::expect_used, reason = "the pattern is a constant; a test compiles it")]
    static HEAD: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?s)\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\z)").expect("a pattern")
    });
    let head = HEAD
        .captures(content)
        .map(|found| serde_saphyr::from_str::<Value>(&found[1]));
    match head {
        Some(Ok(Value::Object(head))) => head,
        _ => Map::new(),
    }
}

/// One archive of all packages (`{id, files}`), each in a folder of its own.
pub(super) fn archive<'p>(packages: impl Iterator<Item = (&'p str, &'p [File])>) -> Result<Vec<u8>, String> {
    let mut roots = BTreeSet::new();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    for (id, files) in packages {
        let head = frontmatter(root_text(files));
        let named = head
            .get("name")
            .and_then(Value::as_str)
            .filter(|name| is_folder_name(name));
        let root = checked_path(named.unwrap_or(id))?.to_owned();
        for file in files {
            let path = format!("{root}/{}", checked_path(&file.path)?);
            writer
                .start_file(path, options)
                .map_err(|error| error.to_string())?;
            writer
                .write_all(&file.bytes()?)
                .map_err(|error| error.to_string())?;
        }
        if !roots.insert(root) {
            return Err("Selected skills have duplicate export directory names".into());
        }
    }
    let bytes = writer.finish().map_err(|error| error.to_string())?;
    Ok(bytes.into_inner())
}

/// Lower-case words joined by dashes.
fn is_folder_name(name: &str) -> bool {
    name.split('-').all(|word| {
        !word.is_empty()
            && word
                .chars()
                .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> File {
        File {
            path: path.into(),
            content: content.into(),
            encoding: None,
        }
    }

    #[test]
    fn what_is_packed_can_be_read() {
        let one = [
            file(ROOT, "---\nname: first-one\ndescription: Does it.\n---\n# One"),
            file("a/b.txt", "b"),
        ];
        let two = [file(ROOT, "# Two")];
        let bytes = archive([("one", &one[..]), ("two", &two[..])].into_iter()).unwrap();
        let read = parse(&bytes, "x.ZIP", None).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(
            (read[0].id.as_str(), read[0].name.as_str(), &read[0].description),
            ("first-one", "first-one", &json!("Does it."))
        );
        assert_eq!(read[0].files, one);
        assert_eq!(
            (read[1].id.as_str(), read[1].name.as_str()),
            ("imported-skill", "Imported skill")
        );
        let twice = archive([("one", &two[..]), ("one", &two[..])].into_iter()).unwrap_err();
        assert!(
            twice.contains("duplicate") || twice.contains("Duplicate"),
            "{twice}"
        );
    }

    #[test]
    fn other_files_and_broken_ones_are_refused() {
        assert_eq!(
            parse(b"x", "a.txt", None).err().unwrap(),
            "Use JSON, ZIP, .skill, or Markdown"
        );
        assert_eq!(
            parse(b"x", "a.zip", None).err().unwrap(),
            "File is not a zip file"
        );
        assert_eq!(
            parse(b"[1]", "a.json", None).err().unwrap(),
            "Each imported skill must be an object"
        );
        let text = parse("---\nname: Größe & Gewicht\n---\n".as_bytes(), "SKILL.md", None).unwrap();
        assert_eq!(text[0].id, "gr-e-gewicht");
    }
}
