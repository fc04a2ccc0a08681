//! Settings pages: tables that say which field of a form is which configuration key, what it takes and what
//! happens when it is absent. Reading a page and saving one are the same few functions for all of them.
//! [`pages!`](crate::pages!) declares pages, [`shapes!`](crate::shapes!) objects inside their values.

use oui_core::boxed;
use std::collections::BTreeMap;

use oui_config::{Meta, Snapshot};
use oui_core::form::{Field, Issues};
use oui_core::{ApiError, ApiResult};
use serde_json::{Map, Value};

use crate::app::App;

/// New values by the path of their key.
pub type Changes = BTreeMap<String, Value>;

/// What the absence of a field means.
#[derive(Clone, Copy)]
pub enum Absent {
    /// An error.
    Refused,
    /// Nothing changes; a null is taken if the type allows it.
    Kept,
    /// Nothing changes, nor for a null.
    Skipped,
    /// This value.
    Default(fn() -> Value),
}

/// One field: its name, how it is read, and what its absence means.
pub struct Entry {
    /// Name on the wire.
    pub name: &'static str,
    /// Reads the value, or notes what is wrong with it.
    pub read: fn(&Value, &mut Issues) -> Option<Value>,
    /// What its absence means.
    pub absent: Absent,
}

/// Reads a value as `T` and gives it back in its plain form.
pub fn take<T: Field + Into<Value>>(input: &Value, issues: &mut Issues) -> Option<Value> {
    T::parse(input, issues).map(Into::into)
}

impl Entry {
    /// The value from the object that the field stands in. `None` in the result: leave it alone.
    #[expect(clippy::option_option, reason = "the outer one says that the input was wrong")]
    fn of(&self, object: &Map<String, Value>, parent: &Value, issues: &mut Issues) -> Option<Option<Value>> {
        issues.inside(self.name, |issues| match (object.get(self.name), self.absent) {
            (Some(Value::Null), Absent::Skipped) => Some(None),
            (Some(value), _) => (self.read)(value, issues).map(Some),
            (None, Absent::Default(value)) => Some(Some(value())),
            (None, Absent::Kept | Absent::Skipped) => Some(None),
            (None, Absent::Refused) => {
                issues.missing(parent);
                None
            }
        })
    }
}

/// The object at the present place, or a note that it is none.
fn object<'v>(input: &'v Value, issues: &mut Issues) -> Option<&'v Map<String, Value>> {
    let object = input.as_object();
    if object.is_none() {
        let text = "Input should be a valid dictionary or object to extract fields from";
        issues.push("model_attributes_type", text, input);
    }
    object
}

/// Reads an object with these fields, for [`shapes!`](crate::shapes!). With `extra` unknown fields are kept.
pub fn read_shape(
    entries: &[Entry],
    extra: bool,
    input: &Value,
    issues: &mut Issues,
) -> Option<Map<String, Value>> {
    let given = object(input, issues)?;
    let mut read = Map::new();
    let mut good = true;
    for entry in entries {
        match entry.of(given, input, issues) {
            Some(Some(value)) => drop(read.insert(entry.name.to_owned(), value)),
            Some(None) => {}
            None => good = false,
        }
    }
    if extra {
        let unknown = given
            .iter()
            .filter(|(name, _)| entries.iter().all(|entry| entry.name != name.as_str()));
        read.extend(unknown.map(|(name, value)| (name.clone(), value.clone())));
    }
    good.then_some(read)
}

/// One field of a page and its key.
pub struct Pair {
    /// The field.
    pub entry: Entry,
    /// The key.
    pub key: &'static Meta,
}

/// A page: the fields of a form that are kept in the configuration.
pub struct Page {
    /// Rows in the order of the form.
    pub pairs: &'static [Pair],
}

impl Page {
    /// The page with its present values.
    pub fn show(&self, config: &Snapshot) -> Map<String, Value> {
        let fields = self.pairs.iter();
        fields
            .filter_map(|pair| Some((pair.entry.name.to_owned(), config.value(pair.key.path())?.clone())))
            .collect()
    }

    /// Reads the fields of the page at the present place of a form; every problem is noted.
    pub fn read(&self, input: &Value, issues: &mut Issues) -> Option<Changes> {
        let given = object(input, issues)?;
        let mut changes = Changes::new();
        let mut good = true;
        for Pair { entry, key } in self.pairs {
            match entry.of(given, input, issues) {
                Some(Some(value)) => drop(changes.insert(key.path().to_owned(), value)),
                Some(None) => {}
                None => good = false,
            }
        }
        good.then_some(changes)
    }

    /// Reads a request body that is the page and nothing else.
    pub fn body(&self, input: &Value) -> ApiResult<Changes> {
        let mut issues = Issues::at("body");
        let changes = self.read(input, &mut issues);
        changes.ok_or_else(|| ApiError::unprocessable(issues.into_found()))
    }

    /// Saves the page from a request body and shows it.
    #[boxed]
    pub async fn save(&self, app: &App, input: &Value) -> ApiResult<Map<String, Value>> {
        app.save_config(self.body(input)?).await?;
        Ok(self.show(&app.config.snapshot()))
    }
}

/// Declares pages.
///
/// ```ignore
/// pages! {
///     /// What the page is about.
///     pub(crate) static EXAMPLE = {
///         NAME: String => section::KEY,               // must be there
///         LIMIT?: Option<i64> => section::LIMIT,      // absent: unchanged
///         MODE~: String => section::MODE,             // absent or null: unchanged
///         KIND: String = "plain" => section::KIND,    // absent: this value
///         SIZE by read_size => section::SIZE,         // read by a function; marks and values as above
///     };
/// }
/// ```
#[macro_export]
macro_rules! pages {
    ($($(#[$meta:meta])* $vis:vis static $page:ident = { $($rows:tt)* };)*) => {$(
        $(#[$meta])*
        $vis static $page: $crate::pages::Page =
            $crate::pages::Page { pairs: $crate::page_rows!([] $($rows)*) };
    )*};
}

/// Rows of [`pages!`](crate::pages!): first the name and its mark, then how the value is read, then the rest.
#[doc(hidden)]
#[macro_export]
macro_rules! page_rows {
    ([$($done:tt)*]) => { &[$($done)*] };
    ([$($done:tt)*] $name:ident ? $($rest:tt)*) => {
        $crate::page_rows!(@read [$($done)*] $name ($crate::pages::Absent::Kept) $($rest)*)
    };
    ([$($done:tt)*] $name:ident ~ $($rest:tt)*) => {
        $crate::page_rows!(@read [$($done)*] $name ($crate::pages::Absent::Skipped) $($rest)*)
    };
    ([$($done:tt)*] $name:ident $($rest:tt)*) => {
        $crate::page_rows!(@read [$($done)*] $name ($crate::pages::Absent::Refused) $($rest)*)
    };
    (@read [$($done:tt)*] $name:ident $absent:tt : $ty:ty => $($rest:tt)*) => {
        $crate::page_rows!(@key [$($done)*] $name $absent ($crate::pages::take::<$ty>) $($rest)*)
    };
    (@read [$($done:tt)*] $name:ident $absent:tt : $ty:ty = $default:expr => $($rest:tt)*) => {
        $crate::page_rows!(@key [$($done)*] $name
            ($crate::pages::Absent::Default(|| ::serde_json::Value::from($default)))
            ($crate::pages::take::<$ty>) $($rest)*)
    };
    (@read [$($done:tt)*] $name:ident $absent:tt by $read:ident => $($rest:tt)*) => {
        $crate::page_rows!(@key [$($done)*] $name $absent ($read) $($rest)*)
    };
    (@read [$($done:tt)*] $name:ident $absent:tt by $read:ident = $default:expr => $($rest:tt)*) => {
        $crate::page_rows!(@key [$($done)*] $name
            ($crate::pages::Absent::Default(|| ::serde_json::Value::from($default))) ($read) $($rest)*)
    };
    (@key [$($done:tt)*] $name:ident ($absent:expr) ($read:expr) $key:expr, $($rest:tt)*) => {
        $crate::page_rows!([$($done)* $crate::pages::Pair {
            entry: $crate::pages::Entry { name: stringify!($name), read: $read, absent: $absent },
            key: $key.meta(),
        },] $($rest)*)
    };
}

/// Declares objects inside the values of pages, each a type that holds the object as it is stored. Fields are
/// `name: type` (must be there) or `name: type = default`; `; extra` at the end keeps unknown fields.
#[macro_export]
macro_rules! shapes {
    ($($(#[$meta:meta])* $vis:vis struct $shape:ident {
        $($name:ident : $ty:ty $(= $default:expr)?),* $(,)? $(; $extra:ident)?
    })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $vis struct $shape(::serde_json::Map<String, ::serde_json::Value>);

        impl ::oui_core::form::Field for $shape {
            fn parse(input: &::serde_json::Value, issues: &mut ::oui_core::form::Issues) -> Option<Self> {
                static ENTRIES: &[$crate::pages::Entry] = &[$($crate::pages::Entry {
                    name: stringify!($name),
                    read: $crate::pages::take::<$ty>,
                    absent: $crate::shapes!(@absent $($default)?),
                }),*];
                $crate::pages::read_shape(ENTRIES, $crate::shapes!(@extra $($extra)?), input, issues).map(Self)
            }

            fn schema() -> ::serde_json::Value {
                ::serde_json::json!({ "type": "object" })
            }
        }

        impl From<$shape> for ::serde_json::Value {
            fn from(shape: $shape) -> Self {
                Self::Object(shape.0)
            }
        }
    )*};
    (@absent) => { $crate::pages::Absent::Refused };
    (@absent $default:expr) => { $crate::pages::Absent::Default(|| ::serde_json::Value::from($default)) };
    (@extra) => { false };
    (@extra extra) => { true };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    shapes! {
        /// A sample object.
        struct Sample { url: String, type: String = "openapi"; extra }
    }

    crate::pages! {
        /// A sample page.
        static SAMPLE = {
            SIGNUP: bool => oui_config::ui::ENABLE_SIGNUP,
            TOP_K~: Option<i64> => oui_config::rag::RAG_TOP_K,
            MODELS?: Option<String> => oui_config::ui::DEFAULT_MODELS,
            MARK: String = "none" => oui_config::ui::RESPONSE_WATERMARK,
            ROLE? by shout => oui_config::ui::DEFAULT_USER_ROLE,
            SERVERS?: Vec<Sample> => oui_config::connections::TOOL_SERVER_CONNECTIONS,
        };
    }

    fn shout(input: &Value, issues: &mut Issues) -> Option<Value> {
        String::parse(input, issues).map(|text| json!(text.to_uppercase()))
    }

    #[test]
    fn a_page_is_shown_and_fields_have_readers() {
        let environment = oui_config::Environment::from_map([("ENABLE_SIGNUP", "false")]);
        let config = oui_config::Config::new(&environment, BTreeMap::new());
        let shown = SAMPLE.show(&config.snapshot());
        assert_eq!(
            (&shown["SIGNUP"], &shown["ROLE"]),
            (&json!(false), &json!("pending"))
        );
        let changes = SAMPLE.body(&json!({"SIGNUP": true, "ROLE": "user"})).unwrap();
        assert_eq!(changes["ui.default_user_role"], "USER");
    }

    #[test]
    fn absence_means_what_the_row_says() {
        let changes = SAMPLE
            .body(&json!({"SIGNUP": "no", "TOP_K": null, "MODELS": null}))
            .unwrap();
        assert_eq!(
            json!(changes),
            json!({"ui.enable_signup": false, "ui.default_models": null, "ui.watermark": "none"})
        );
        let error = SAMPLE.body(&json!({"TOP_K": "x"})).unwrap_err();
        let issues = error.detail().as_array().unwrap().clone();
        assert_eq!(issues.len(), 2);
        assert_eq!(
            (&issues[0]["loc"], &issues[0]["type"]),
            (&json!(["body", "SIGNUP"]), &json!("missing"))
        );
        assert_eq!(issues[1]["type"], "int_parsing");
        assert_eq!(
            SAMPLE.body(&json!([])).unwrap_err().detail()[0]["type"],
            "model_attributes_type"
        );
    }

    #[test]
    fn shapes_fill_in_and_keep_extras() {
        let body = json!({"SIGNUP": true, "SERVERS": [{"url": "u", "more": 1}]});
        let changes = SAMPLE.body(&body).unwrap();
        assert_eq!(
            changes["tool_server.connections"],
            json!([{"url": "u", "type": "openapi", "more": 1}])
        );
        let error = SAMPLE
            .body(&json!({"SIGNUP": true, "SERVERS": [{}]}))
            .unwrap_err();
        assert_eq!(error.detail()[0]["loc"], json!(["body", "SERVERS", 0, "url"]));
    }
}
