//! Documents generated from the declarations: `.env.example` and the reference page.
//!
//! Both list the process settings first, then the configuration keys, in the order of declaration; a
//! committed
//! copy is compared with these texts, so that no document can fall behind.

use std::fmt::Write as _;

use serde_json::Value;

use crate::derive::INPUTS;
use crate::key::{Form, Meta};
use crate::keys::registry;
use crate::permissions::PERMISSIONS;
use crate::settings::TABLES;

/// One documented variable or key.
struct Row {
    section: &'static str,
    variable: Option<&'static str>,
    stored: &'static str,
    kind: &'static str,
    default: String,
    secret: bool,
    fallbacks: &'static [&'static str],
    doc: String,
}

fn rows() -> Vec<Row> {
    let settings = TABLES.iter().copied().flatten().map(|meta| Row {
        section: meta.section,
        variable: Some(meta.env),
        stored: "",
        kind: meta.kind,
        default: meta.default.to_owned(),
        secret: meta.secret,
        fallbacks: meta.fallbacks,
        doc: meta.doc.trim().to_owned(),
    });
    let inputs = INPUTS.iter().map(|input| Row {
        section: "Shared defaults",
        variable: Some(input.name),
        stored: "",
        kind: "a text",
        default: input.default.to_owned(),
        secret: input.secret,
        fallbacks: &[],
        doc: input.doc.to_owned(),
    });
    let permissions = PERMISSIONS.iter().map(|permission| Row {
        section: "Default permissions",
        variable: Some(permission.variable),
        stored: "",
        kind: "true or false",
        default: permission.default.to_string(),
        secret: false,
        fallbacks: &[],
        doc: format!(
            "Default of the permission `{}.{}`.",
            permission.group, permission.name
        ),
    });
    settings
        .chain(inputs)
        .chain(registry().map(key_row))
        .chain(permissions)
        .collect()
}

fn key_row(meta: &'static Meta) -> Row {
    Row {
        section: meta.section(),
        variable: meta.env(),
        stored: meta.path(),
        kind: meta.takes(),
        default: shown_default(meta),
        secret: meta.is_secret(),
        fallbacks: meta.aliases(),
        doc: meta.doc().to_owned(),
    }
}

/// The default as it would be written in the environment; long texts are left out.
fn shown_default(meta: &Meta) -> String {
    if meta.env().is_none() {
        return String::new();
    }
    match meta.default_value() {
        Value::Null => String::new(),
        Value::String(text) if text.contains('\n') => String::new(),
        Value::String(text) => text,
        Value::Array(items) if meta.form() == Form::List => {
            let urls_or_keys = meta.path().ends_with("_urls") || meta.path().ends_with("_keys");
            let separator = if urls_or_keys { ";" } else { "," };
            items
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(separator)
        }
        other => other.to_string(),
    }
}

/// All variables with their defaults, commented out, as a template for a `.env` file.
pub fn env_example() -> String {
    let mut text = String::from(
        "# Settings of the server. Copy this file to .env and remove the # of the lines you change.\n\
         # Variables of the process win over this file. What administrators have saved wins over both.\n",
    );
    let mut section = "";
    for row in rows() {
        let Some(variable) = row.variable else { continue };
        if row.section != section {
            section = row.section;
            line(&mut text, format_args!("\n## {section}\n"));
        }
        line(&mut text, format_args!("# {}", row.doc));
        line(&mut text, format_args!("#{variable}={}\n", quoted(&row.default)));
    }
    text
}

/// Quotes what a `.env` file would otherwise read differently.
fn quoted(value: &str) -> String {
    let plain = !value.contains([' ', '#', '"', '\'', '\\', '$']);
    if plain {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
    }
}

/// All variables and keys as Markdown tables.
pub fn reference_page() -> String {
    let mut text = String::from(
        "# Configuration reference\n\n\
         Generated from the declarations in `crates/config`. A row with a stored key can be changed by \
         administrators while the server runs; the stored value then wins over the environment.\n",
    );
    let mut section = "";
    for row in rows() {
        if row.section != section {
            section = row.section;
            line(&mut text, format_args!("\n## {section}\n"));
            line(
                &mut text,
                format_args!("| Variable | Stored key | Takes | Default | Meaning |"),
            );
            line(&mut text, format_args!("|---|---|---|---|---|"));
        }
        let mut meaning = row.doc;
        if !row.fallbacks.is_empty() {
            let names: Vec<String> = row.fallbacks.iter().map(|name| code(name)).collect();
            line_part(
                &mut meaning,
                format_args!(" While not set: {}.", names.join(", ")),
            );
        }
        if row.secret {
            meaning.push_str(" Secret.");
        }
        let (variable, stored, default) = (
            code(row.variable.unwrap_or("")),
            code(row.stored),
            code(&row.default),
        );
        line(
            &mut text,
            format_args!("| {variable} | {stored} | {} | {default} | {meaning} |", row.kind),
        );
    }
    text
}

/// A table cell in code style; an empty one stays empty.
fn code(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("`{}`", text.replace('|', "\\|"))
    }
}

fn line(text: &mut String, part: std::fmt::Arguments<'_>) {
    line_part(text, part);
    text.push('\n');
}

fn line_part(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::settings::Settings;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn the_example_lists_every_variable_once() {
        let example = env_example();
        let listed: Vec<&str> = example
            .lines()
            .filter_map(|line| line.strip_prefix('#')?.split_once('='))
            .map(|(name, _)| name)
            .filter(|name| !name.contains(' '))
            .collect();
        let once: BTreeSet<&str> = listed.iter().copied().collect();
        assert_eq!(listed.len(), once.len());
        for name in [
            "PORT",
            "ENABLE_SIGNUP",
            "OPENAI_API_KEY",
            "USER_PERMISSIONS_CHAT_DELETE",
        ] {
            assert!(once.contains(name), "{name}");
        }
        assert_eq!(
            once.len(),
            rows().iter().filter(|row| row.variable.is_some()).count()
        );
    }

    /// A `.env` with every line of the example enabled must mean the same as an empty one.
    #[test]
    fn the_example_states_the_defaults() {
        let text: String = env_example()
            .lines()
            .filter(|line| line.starts_with('#') && !line.starts_with("# ") && !line.starts_with("##"))
            .map(|line| format!("{}\n", &line[1..]))
            .collect();
        let values = crate::dotenv::parse(&text, &BTreeMap::new()).values;
        let all = Environment::from_map(values)
            .in_directory("/srv/oui")
            .with("WEBUI_SECRET_KEY", "s");
        let settings = Settings::load(&all).unwrap();
        assert_eq!(settings.warnings, Vec::<String>::new());
        // Unset and empty differ for texts that may be missing, and for prompts left out of the example.
        for meta in registry().filter(|meta| !shown_default(meta).is_empty()) {
            assert_eq!(meta.resolve(&all).value, meta.default_value(), "{}", meta.path());
        }
    }

    #[test]
    fn the_page_has_whole_rows_and_no_secrets() {
        let page = reference_page();
        for line in page.lines().filter(|line| line.starts_with('|')) {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 6, "{line}");
        }
        assert!(
            page.contains("| `ENABLE_SIGNUP` | `ui.enable_signup` | true or false | `true` |"),
            "{page}"
        );
        assert!(page.contains("While not set: `YDC_API_KEY`."));
        assert!(page.contains("|  | `ui.i18n` | an object |"));
    }
}
