//! The declaration of one configuration key: its names, type, default and how the environment sets it.
//!
//! Keys are statics in `keys/*`, written with the `keys!` macro of this file. Values are not kept here but in
//! [`crate::Config`]; rules that look at several variables are in `derive`.

use std::marker::PhantomData;
use std::ops::Deref;

use serde_json::{Map, Value};

use crate::environment::Environment;
use crate::value::ConfigType;

/// A default that can stand in a static.
#[derive(Debug, Clone, Copy)]
pub enum Literal {
    /// JSON `null`: not set.
    Null,
    /// A switch.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Float(f64),
    /// A text.
    Text(&'static str),
    /// A list of texts.
    List(&'static [&'static str]),
    /// An empty object.
    Object,
    /// A larger value, as JSON.
    Json(fn() -> Value),
}

impl Literal {
    /// The JSON value.
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => value.into(),
            Self::Int(value) => value.into(),
            Self::Float(value) => value.into(),
            Self::Text(value) => value.into(),
            Self::List(items) => items.iter().copied().map(Value::from).collect::<Vec<_>>().into(),
            Self::Object => Value::Object(Map::new()),
            Self::Json(value) => value(),
        }
    }
}

/// How the text of a variable becomes JSON, and which JSON a stored row should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `true` (any case) or not.
    Bool,
    /// A whole number.
    Int,
    /// A decimal number.
    Float,
    /// Text as it is.
    Text,
    /// Text, or `null` while the variable is not set.
    OptionalText,
    /// A whole number, or `null` for an unset or empty variable.
    OptionalInt,
    /// A number that the environment gives as text and forms as number, text or nothing.
    LooseNumber,
    /// Texts separated by commas.
    List,
    /// Texts separated by commas, or `null` while the variable is not set.
    OptionalList,
    /// Any JSON; the default says which kind is expected.
    Json,
}

/// A rule that computes the value from several variables. An error text stops the start.
pub(crate) type Derive = fn(&Environment) -> Result<Value, String>;

/// A test of JSON from the environment. An error text is logged and the default is used.
pub(crate) type Check = fn(Value) -> Result<Value, String>;

/// Everything about a key but its Rust type; what tables, forms and documents iterate over.
#[derive(Debug)]
pub struct Meta {
    pub(crate) name: &'static str,
    pub(crate) section: &'static str,
    pub(crate) path: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) default: Literal,
    pub(crate) form: Form,
    pub(crate) in_env: bool,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) sources: &'static [&'static str],
    pub(crate) derive: Option<Derive>,
    pub(crate) check: Option<Check>,
    pub(crate) range: Option<(i64, i64)>,
    pub(crate) secret: bool,
    pub(crate) seeded: bool,
    pub(crate) lowercase: bool,
    pub(crate) skip_empty: bool,
    pub(crate) positive: bool,
    pub(crate) strict: bool,
}

impl Meta {
    /// Name of the static, which is also the variable where there is one and, as a rule, the field of the
    /// administration forms: `ENABLE_SIGNUP`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The environment variable; `None` for keys that only administrators set.
    pub fn env(&self) -> Option<&'static str> {
        self.in_env.then_some(self.name)
    }

    /// Older names of the variable, used while the newer ones are not set.
    pub fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// Other variables that the default is computed from.
    pub fn sources(&self) -> &'static [&'static str] {
        self.sources
    }

    /// Key of the stored row: `ui.enable_signup`.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Title of the group of keys this one stands in.
    pub fn section(&self) -> &'static str {
        self.section
    }

    /// What the key does, one sentence.
    pub fn doc(&self) -> &'static str {
        self.doc.trim()
    }

    /// The value in an empty environment.
    pub fn default_value(&self) -> Value {
        self.default.to_value()
    }

    /// How values look in the environment and in rows.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whether the value must be kept out of logs and documents.
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// Whether the first start writes a row for the key.
    pub fn is_seeded(&self) -> bool {
        self.seeded
    }

    /// Whether the environment wins over the stored row unless `ENABLE_OAUTH_PERSISTENT_CONFIG` is on.
    pub fn is_oauth(&self) -> bool {
        self.path.starts_with("oauth.")
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &'static str> {
        self.env().into_iter().chain(self.aliases.iter().copied())
    }
}

/// A typed configuration key; `T` is what [`crate::Config::get`] returns. Dereferences to its [`Meta`].
pub struct Key<T: 'static> {
    meta: Meta,
    of: PhantomData<fn() -> T>,
}

impl<T> Deref for Key<T> {
    type Target = Meta;

    fn deref(&self) -> &Meta {
        &self.meta
    }
}

macro_rules! builders {
    ($($(#[$doc:meta])+ $name:ident($($argument:ident: $type:ty),*) { $($field:ident = $value:expr),+ })+) => {$(
        $(#[$doc])+
        pub(crate) const fn $name(mut self, $($argument: $type),*) -> Self {
            $(self.meta.$field = $value;)+
            self
        }
    )+};
}

impl<T: ConfigType> Key<T> {
    const fn new(path: &'static str, form: Form, default: Literal) -> Self {
        let meta = Meta {
            name: "",
            section: "",
            path,
            doc: "",
            default,
            form,
            in_env: true,
            aliases: &[],
            sources: &[],
            derive: None,
            check: None,
            range: None,
            secret: false,
            seeded: true,
            lowercase: false,
            skip_empty: false,
            positive: false,
            strict: false,
        };
        Self {
            meta,
            of: PhantomData,
        }
    }

    /// The part of the declaration without the Rust type.
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    builders! {
        /// Set by the `keys!` macro.
        declared(name: &'static str, section: &'static str, doc: &'static str) {
            name = name, section = section, doc = doc
        }
        /// Older names of the variable.
        or_env(names: &'static [&'static str]) { aliases = names }
        /// An empty variable counts as not set.
        skip_empty() { skip_empty = true }
        /// Computed from several variables, of which `sources` are not the key's own.
        from(rule: Derive, sources: &'static [&'static str]) { derive = Some(rule), sources = sources }
        /// Not settable by the environment.
        no_env() { in_env = false }
        /// Not written at the first start.
        unseeded() { seeded = false }
        /// Kept out of logs and documents.
        secret() { secret = true }
        /// The variable's text is lower-cased.
        lowercase() { lowercase = true }
        /// The variable must be greater than zero.
        positive() { positive = true }
        /// The variable is moved into this range, ends included.
        clamp(low: i64, high: i64) { range = Some((low, high)) }
        /// JSON from the variable must pass this test.
        check(test: Check) { check = Some(test) }
        /// Text that is not JSON stops the start instead of giving the default.
        strict() { strict = true }
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])+ $type:ty => $name:ident($($argument:ident: $of:ty)?) = $form:ident, $default:expr;)+) => {$(
        impl Key<$type> {
            $(#[$doc])+
            pub(crate) const fn $name(path: &'static str $(, $argument: $of)?) -> Self {
                Self::new(path, Form::$form, $default)
            }
        }
    )+};
}

constructors! {
    /// A switch.
    bool => bool(default: bool) = Bool, Literal::Bool(default);
    /// A whole number.
    i64 => int(default: i64) = Int, Literal::Int(default);
    /// A decimal number.
    f64 => float(default: f64) = Float, Literal::Float(default);
    /// A text.
    String => text(default: &'static str) = Text, Literal::Text(default);
    /// A text that may be missing.
    Option<String> => optional_text() = OptionalText, Literal::Null;
    /// A whole number that may be missing.
    Option<i64> => optional_int() = OptionalInt, Literal::Null;
    /// A whole number kept as text by the environment; empty is none.
    Option<i64> => loose_int(default: &'static str) = LooseNumber, Literal::Text(default);
    /// A decimal number kept as text by the environment; empty is none.
    Option<f64> => loose_float(default: &'static str) = LooseNumber, Literal::Text(default);
    /// Texts separated by commas.
    Vec<String> => list(default: &'static [&'static str]) = List, Literal::List(default);
    /// Texts separated by commas that may be missing.
    Option<Vec<String>> => optional_list() = OptionalList, Literal::Null;
    /// Texts as a JSON list.
    Vec<String> => json_list() = Json, Literal::List(&[]);
    /// A JSON list.
    Value => array() = Json, Literal::List(&[]);
    /// A JSON object.
    Value => object() = Json, Literal::Object;
    /// Any JSON.
    Value => json(default: Literal) = Json, default;
}

/// Declares the keys of one section as statics and lists them in `ALL`.
///
/// The documentation comment of a key is also its description in `.env.example` and in the reference page;
/// the name of the static is also its environment variable.
macro_rules! keys {
    ($section:literal; $($(#[doc = $doc:literal])+ pub static $name:ident: $type:ty = $key:expr;)+) => {
        $(
            $(#[doc = $doc])+
            pub static $name: $type = $key.declared(stringify!($name), $section, concat!($($doc),+));
        )+

        /// The keys of this section in order of declaration.
        pub(crate) static ALL: &[&$crate::Meta] = &[$($name.meta()),+];
    };
}
pub(crate) use keys;
