//! The registry of all configuration keys, one module per section.
//!
//! Modules hold declarations only. A new section is one line in `sections!`.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::key::Meta;

macro_rules! sections {
    ($($name:ident),+ $(,)?) => {
        $(pub mod $name;)+

        static SECTIONS: &[&[&Meta]] = &[$($name::ALL),+];
    };
}

sections! {
    ui, auth, oauth, ldap, users, openai, ollama, connections, models, chat, task, features, channels, code,
    rag, loaders, drive, web, web_loader, images, audio,
}

/// All keys, section by section.
pub fn registry() -> impl Iterator<Item = &'static Meta> {
    SECTIONS.iter().copied().flatten().copied()
}

/// The key of a stored row.
pub fn by_path(path: &str) -> Option<&'static Meta> {
    static INDEX: LazyLock<HashMap<&str, &Meta>> =
        LazyLock::new(|| registry().map(|meta| (meta.path, meta)).collect());
    INDEX.get(path).copied()
}

/// The key of an environment variable, also by an older name that only one key uses; or of a name like
/// `USER_PERMISSIONS` that stands in administration forms without being a variable.
pub fn by_env(name: &str) -> Option<&'static Meta> {
    static INDEX: LazyLock<HashMap<&str, &Meta>> = LazyLock::new(|| {
        let mut index: HashMap<&str, &Meta> = HashMap::new();
        let shared = |alias: &str| registry().filter(|meta| meta.aliases.contains(&alias)).count() > 1;
        for meta in registry() {
            for alias in meta.aliases.iter().copied().filter(|alias| !shared(alias)) {
                index.insert(alias, meta);
            }
        }
        index.extend(registry().map(|meta| (meta.name, meta)));
        index
    });
    INDEX.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use serde_json::Value;
    use std::collections::{BTreeMap, BTreeSet};

    /// Facts recorded from the original: key, variables, type, default, row in a fresh database.
    const FACTS: &str = include_str!("../../data/config.tsv");

    fn facts() -> Vec<Vec<&'static str>> {
        FACTS
            .lines()
            .skip(1)
            .map(|line| line.split('\t').collect())
            .collect()
    }

    fn json_type(value: &Value) -> &'static str {
        match value {
            Value::Null => "null/any",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "float",
            Value::Number(_) => "int",
            Value::String(_) => "string",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        }
    }

    #[test]
    fn every_recorded_key_is_declared_once() {
        let recorded: BTreeSet<&str> = facts().iter().map(|row| row[0]).collect();
        assert_eq!(recorded.len(), 431);
        let declared: Vec<&str> = registry()
            .filter(|meta| meta.is_seeded())
            .map(Meta::path)
            .collect();
        assert_eq!(declared.len(), 431);
        assert_eq!(declared.into_iter().collect::<BTreeSet<_>>(), recorded);
        let names: BTreeSet<&str> = registry().map(Meta::name).collect();
        assert_eq!(names.len(), registry().count());
    }

    #[test]
    fn variables_types_and_defaults_are_the_recorded_ones() {
        for row in facts() {
            let meta = by_path(row[0]).unwrap();
            let recorded: BTreeSet<&str> = row[1].split(';').filter(|name| !name.is_empty()).collect();
            let declared = meta.variables().chain(meta.sources.iter().copied());
            assert_eq!(declared.collect::<BTreeSet<_>>(), recorded, "{}", row[0]);

            let default = meta.default_value();
            assert_eq!(json_type(&default), row[2], "{}", row[0]);
            if row[3] == "<prompt>" {
                assert!(default.is_string(), "{}", row[0]);
            } else {
                assert_eq!(
                    default,
                    serde_json::from_str::<Value>(row[3]).unwrap(),
                    "{}",
                    row[0]
                );
            }
            assert_eq!(!meta.is_oauth(), row[4] == "yes", "{}", row[0]);
        }
    }

    #[test]
    fn only_two_prompts_have_a_text() {
        let prompts: BTreeMap<&str, String> = facts()
            .iter()
            .filter(|row| row[3] == "<prompt>")
            .map(|row| {
                (
                    row[0],
                    by_path(row[0])
                        .unwrap()
                        .default_value()
                        .as_str()
                        .unwrap()
                        .to_owned(),
                )
            })
            .collect();
        assert_eq!(prompts.len(), 12);
        let filled: Vec<&str> = prompts
            .iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(path, _)| *path)
            .collect();
        assert_eq!(filled, ["image_generation.comfyui.workflow", "rag.template"]);
        assert!(prompts["rag.template"].contains("{{CONTEXT}}"));
        let workflow: Value = serde_json::from_str(&prompts["image_generation.comfyui.workflow"]).unwrap();
        assert_eq!(workflow["3"]["inputs"]["model"], serde_json::json!(["4", 0]));
        assert_eq!(workflow.as_object().unwrap().len(), 7);
    }

    #[test]
    fn computed_defaults_agree_with_the_declared_ones() {
        let environment = Environment::empty();
        for meta in registry() {
            let resolved = meta.resolve(&environment);
            assert!(resolved.fault.is_none(), "{}", meta.path);
            assert_eq!(resolved.value, meta.default_value(), "{}", meta.path);
        }
    }

    #[test]
    fn every_key_is_described() {
        for meta in registry() {
            assert!(meta.doc().ends_with('.'), "{}: {:?}", meta.path, meta.doc());
            assert!(!meta.section.is_empty(), "{}", meta.path);
            let secret_name = ["_API_KEY", "_SECRET", "_PASSWORD"]
                .iter()
                .any(|end| meta.name.ends_with(end));
            assert!(
                !secret_name || meta.secret,
                "{} is not marked as secret",
                meta.name
            );
        }
    }

    #[test]
    fn lookups() {
        assert_eq!(by_env("ENABLE_SIGNUP").map(Meta::path), Some("ui.enable_signup"));
        assert_eq!(
            by_env("YDC_API_KEY").map(Meta::path),
            Some("web.search.youcom_api_key")
        );
        assert_eq!(by_env("GEMINI_API_KEY").map(Meta::path), None);
        assert_eq!(
            by_env("USER_PERMISSIONS").map(Meta::path),
            Some("user.permissions")
        );
        assert_eq!(by_path("webui.url").map(Meta::name), Some("WEBUI_URL"));
        assert!(by_path("nothing").is_none());
    }
}
