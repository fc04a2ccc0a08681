//! Request validation in the words of the reference's validator (pydantic in lax mode): a form is
//! declared once with [`form!`](crate::form!), parsed from JSON or query text, and every problem is reported at once
//! as `{type, loc, msg, input, ctx?}`. Rules that look at more than one field belong to the handler.

mod fields;

pub use fields::Nullable;

use serde_json::{Map, Value, json};

/// Where the parser stands and what it has found so far.
#[derive(Debug, Default)]
pub struct Issues {
    loc: Vec<Value>,
    found: Vec<Value>,
}

impl Issues {
    /// Starts below `root`, for example `body` or `query`.
    pub fn at(root: &str) -> Self {
        Self {
            loc: vec![Value::from(root)],
            found: Vec::new(),
        }
    }

    /// Runs `parse` one step deeper.
    pub fn inside<T>(&mut self, step: impl Into<Value>, parse: impl FnOnce(&mut Self) -> T) -> T {
        self.loc.push(step.into());
        let parsed = parse(self);
        self.loc.pop();
        parsed
    }

    /// Notes a problem at the present place.
    pub fn push(&mut self, kind: &str, msg: impl Into<String>, input: &Value) {
        self.found
            .push(json!({ "type": kind, "loc": self.loc, "msg": msg.into(), "input": input }));
    }

    /// Notes a problem that has a context object.
    pub fn push_ctx(&mut self, kind: &str, msg: impl Into<String>, input: &Value, ctx: Value) {
        self.found
            .push(json!({ "type": kind, "loc": self.loc, "msg": msg.into(), "input": input, "ctx": ctx }));
    }

    /// Notes a missing value; `parent` is the object it is missing from.
    pub fn missing(&mut self, parent: &Value) {
        self.push("missing", "Field required", parent);
    }

    /// The list of problems, for [`ApiError::unprocessable`](crate::ApiError::unprocessable).
    pub fn into_found(self) -> Vec<Value> {
        self.found
    }

    /// Whether nothing was wrong.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

/// A value that can be read from JSON under the validator's rules.
pub trait Field: Sized {
    /// Reads the value, or notes what is wrong with it.
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self>;

    /// The value of a field that is absent, or a note that it is required.
    fn absent(parent: &Value, issues: &mut Issues) -> Option<Self> {
        issues.missing(parent);
        None
    }

    /// JSON schema of the type.
    fn schema() -> Value;
}

/// A request body or query string with named fields. Made by [`form!`](crate::form!).
pub trait Form: Field {
    /// Names of the fields, in the order of declaration.
    const FIELDS: &'static [&'static str];

    /// Reads the form from the object at `root` (`body`, `query`).
    fn read(root: &str, input: &Value) -> Result<Self, Vec<Value>> {
        let mut issues = Issues::at(root);
        match Self::parse(input, &mut issues) {
            Some(form) if issues.is_empty() => Ok(form),
            _ => Err(issues.into_found()),
        }
    }
}

/// Fields that a form does not name, for forms that keep what they do not know.
pub type Extra = Map<String, Value>;

/// Declares a form.
///
/// ```
/// oui_core::form! {
///     /// What a sign-in sends.
///     pub struct SigninForm {
///         /// Address.
///         pub email: String,
///         /// Password.
///         pub password: String,
///         /// Optional fields are `None` when absent.
///         pub note: Option<String>,
///         /// A default makes a field optional.
///         pub stay: bool = true,
///     }
/// }
/// use oui_core::Form;
/// let form = SigninForm::read("body", &serde_json::json!({"email": "a", "password": "b"})).unwrap();
/// assert!(form.stay && form.note.is_none());
/// let issues = SigninForm::read("body", &serde_json::json!({"email": 1})).unwrap_err();
/// assert_eq!(issues.len(), 2);
/// ```
///
/// A last line `.. pub extra` keeps unknown fields in `extra: Extra`.
#[macro_export]
macro_rules! form {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$fmeta:meta])* $fvis:vis $field:ident $(as $wire:literal)? : $ty:ty $(= $default:expr)?),* $(,)?
        $(; .. $evis:vis $extra:ident)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $vis struct $name {
            $($(#[$fmeta])* $fvis $field: $ty,)*
            $(/// Fields that the form does not name.
            $evis $extra: $crate::form::Extra,)?
        }

        impl $crate::form::Field for $name {
            fn parse(input: &::serde_json::Value, issues: &mut $crate::form::Issues) -> Option<Self> {
                let Some(object) = input.as_object() else {
                    issues.push(
                        "model_attributes_type",
                        "Input should be a valid dictionary or object to extract fields from",
                        input,
                    );
                    return None;
                };
                let _ = object;
                $(let $field: Option<$ty> = {
                    let name = $crate::form!(@wire $field $($wire)?);
                    issues.inside(name, |issues| match object.get(name) {
                        Some(value) => <$ty as $crate::form::Field>::parse(value, issues),
                        None => $crate::form!(@absent $ty, input, issues $(, $default)?),
                    })
                };)*
                $(let $extra = object
                    .iter()
                    .filter(|(key, _)| !<Self as $crate::form::Form>::FIELDS.contains(&key.as_str()))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();)?
                Some(Self { $($field: $field?,)* $($extra,)? })
            }

            fn schema() -> ::serde_json::Value {
                let mut properties = ::serde_json::Map::new();
                let mut required: Vec<&str> = Vec::new();
                $({
                    let name = $crate::form!(@wire $field $($wire)?);
                    properties.insert(name.to_owned(), <$ty as $crate::form::Field>::schema());
                    let mut probe = $crate::form::Issues::default();
                    let absent: Option<$ty> =
                        $crate::form!(@absent $ty, &::serde_json::Value::Null, &mut probe $(, $default)?);
                    if absent.is_none() {
                        required.push(name);
                    }
                })*
                ::serde_json::json!({
                    "type": "object",
                    "title": stringify!($name),
                    "properties": properties,
                    "required": required,
                })
            }
        }

        impl $crate::form::Form for $name {
            const FIELDS: &'static [&'static str] = &[$($crate::form!(@wire $field $($wire)?)),*];
        }
    };
    (@wire $field:ident) => { stringify!($field) };
    (@wire $field:ident $wire:literal) => { $wire };
    (@absent $ty:ty, $input:expr, $issues:expr) => {
        <$ty as $crate::form::Field>::absent($input, $issues)
    };
    (@absent $ty:ty, $input:expr, $issues:expr, $default:expr) => {{
        let _ = &$issues;
        Some($default)
    }};
}

/// Declares a choice between fixed texts (a `Literal` of the reference).
///
/// ```
/// oui_core::choice! {
///     /// How to sort.
///     pub enum Direction { Asc = "asc", Desc = "desc" }
/// }
/// assert_eq!(Direction::Asc.as_str(), "asc");
/// ```
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $name {
            $($(#[$vmeta])*
            #[doc = concat!("`", $text, "`")]
            $variant,)*
        }

        impl $name {
            /// The text on the wire.
            $vis fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl $crate::form::Field for $name {
            fn parse(input: &::serde_json::Value, issues: &mut $crate::form::Issues) -> Option<Self> {
                match input.as_str() {
                    $(Some($text) => Some(Self::$variant),)*
                    _ => {
                        $crate::form::literal_error(&[$($text),*], input, issues);
                        None
                    }
                }
            }

            fn schema() -> ::serde_json::Value {
                ::serde_json::json!({ "type": "string", "enum": [$($text),*] })
            }
        }
    };
}

/// Notes that `input` is none of `expected`: `Input should be 'a', 'b' or 'c'`.
pub fn literal_error(expected: &[&str], input: &Value, issues: &mut Issues) {
    let quoted: Vec<String> = expected.iter().map(|text| format!("'{text}'")).collect();
    let listed = match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    };
    issues.push_ctx(
        "literal_error",
        format!("Input should be {listed}"),
        input,
        json!({ "expected": listed }),
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    form! {
        /// Exercises every kind of field.
        struct Sample {
            name: String,
            age: i64,
            tags: Vec<String> = Vec::new(),
            bio: Option<String>,
            kind as "type": String = "plain".to_owned(),
            ; .. rest
        }
    }

    #[test]
    fn defaults_and_extras() {
        let form = Sample::read("body", &json!({"name": "n", "age": "7", "x": 1})).unwrap();
        assert_eq!(
            (form.name.as_str(), form.age, form.kind.as_str()),
            ("n", 7, "plain")
        );
        assert!(form.tags.is_empty() && form.bio.is_none());
        assert_eq!(Value::Object(form.rest), json!({"x": 1}));
    }

    #[test]
    fn all_problems_are_reported_with_their_places() {
        let issues = Sample::read("body", &json!({"age": 1.5, "tags": ["a", 2]})).unwrap_err();
        assert_eq!(
            Value::Array(issues),
            json!([
                {"type": "missing", "loc": ["body", "name"], "msg": "Field required", "input": {"age": 1.5, "tags": ["a", 2]}},
                {"type": "int_from_float", "loc": ["body", "age"],
                 "msg": "Input should be a valid integer, got a number with a fractional part", "input": 1.5},
                {"type": "string_type", "loc": ["body", "tags", 1], "msg": "Input should be a valid string", "input": 2},
            ])
        );
    }

    #[test]
    fn a_body_that_is_no_object() {
        let issues = Sample::read("body", &json!([])).unwrap_err();
        assert_eq!(issues[0]["type"], "model_attributes_type");
        assert_eq!(issues[0]["loc"], json!(["body"]));
    }

    #[test]
    fn schema_names_required_fields() {
        assert_eq!(Sample::schema()["required"], json!(["name", "age"]));
    }

    choice! {
        /// Sample choice.
        enum Colour { Red = "red", Green = "green", Blue = "blue" }
    }

    #[test]
    fn choices_name_what_they_expect() {
        let mut issues = Issues::at("query");
        assert_eq!(Colour::parse(&json!("green"), &mut issues), Some(Colour::Green));
        assert_eq!(Colour::parse(&json!("pink"), &mut issues), None);
        assert_eq!(
            issues.into_found()[0]["msg"],
            "Input should be 'red', 'green' or 'blue'"
        );
        assert_eq!(Colour::Blue.as_str(), "blue");
    }
}
