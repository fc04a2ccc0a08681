//! How one process setting is declared and read: name, default as text, parser, what a wrong text does.
//!
//! The groups in the sibling files list settings with the `settings!` macro; the same lines give the struct
//! fields, the loader and the documents. Rules across several settings are in `settings::resolve`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::environment::Environment;
use crate::error::Problem;
use crate::python;
use crate::secret::Secret;

/// What the documents say about a setting.
#[derive(Debug, Clone, Copy)]
pub struct SettingMeta {
    /// The environment variable.
    pub env: &'static str,
    /// Variables that count while this one is not set, in this order.
    pub fallbacks: &'static [&'static str],
    /// Kind of the value, in words.
    pub kind: &'static str,
    /// The default as it would be written in the environment; empty for none.
    pub default: &'static str,
    /// Whether the value must be kept out of logs and documents.
    pub secret: bool,
    /// What the setting does.
    pub doc: &'static str,
    /// Title of the group.
    pub section: &'static str,
}

/// What a text that cannot be read leads to.
#[derive(Clone, Copy)]
enum Invalid {
    /// The server does not start.
    Refuse,
    /// A warning; this text counts instead.
    Use(&'static str),
}

/// Declaration of one setting of type `T`.
pub(crate) struct Spec<T: 'static> {
    pub(crate) kind: &'static str,
    pub(crate) default: &'static str,
    pub(crate) fallbacks: &'static [&'static str],
    pub(crate) secret: bool,
    invalid: Invalid,
    parse: fn(&str) -> Option<T>,
}

impl<T> Spec<T> {
    /// A setting that is read by `parse`; a wrong text is replaced by the default.
    pub(crate) const fn new(kind: &'static str, default: &'static str, parse: fn(&str) -> Option<T>) -> Self {
        Self {
            kind,
            default,
            fallbacks: &[],
            secret: false,
            invalid: Invalid::Use(default),
            parse,
        }
    }

    /// Variables that count while this one is not set.
    pub(crate) const fn or(mut self, names: &'static [&'static str]) -> Self {
        self.fallbacks = names;
        self
    }

    /// A wrong text stops the start.
    pub(crate) const fn strict(mut self) -> Self {
        self.invalid = Invalid::Refuse;
        self
    }

    /// A wrong text counts as this one instead of the default.
    pub(crate) const fn wrong_is(mut self, text: &'static str) -> Self {
        self.invalid = Invalid::Use(text);
        self
    }

    /// Kept out of logs and documents.
    pub(crate) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// Reads settings and collects what is wrong with them.
pub(crate) struct Reader<'e> {
    pub(crate) environment: &'e Environment,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<String>,
}

impl<'e> Reader<'e> {
    pub(crate) fn new(environment: &'e Environment) -> Self {
        Self {
            environment,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "declared texts are constants; a test reads every one of them"
    )]
    pub(crate) fn read<T>(&mut self, name: &'static str, spec: &Spec<T>) -> T {
        let declared = |text: &str| (spec.parse)(text).expect("the declared default can be read");
        let names = std::iter::once(name).chain(spec.fallbacks.iter().copied());
        let Some((variable, text)) = self.environment.first(names) else {
            return declared(spec.default);
        };
        if let Some(value) = (spec.parse)(text) {
            return value;
        }
        let shown = if spec.secret {
            String::new()
        } else {
            format!(" {text:?}")
        };
        match spec.invalid {
            Invalid::Use(instead) => {
                if !text.trim().is_empty() {
                    self.warnings
                        .push(format!("{variable}{shown} is not {} and is ignored", spec.kind));
                }
                declared(instead)
            }
            Invalid::Refuse => {
                let message = format!("is{shown}, which is not {}", spec.kind);
                let fix = format!("Give {}, or remove the variable.", spec.kind);
                self.problems.push(Problem::new(variable, message, fix));
                declared(spec.default)
            }
        }
    }
}

/// Declares a group of settings: the struct, its loader and its documents.
///
/// `/// doc`, then `VARIABLE => field: Type = spec;`. A field may be `pub(crate)` if it only feeds others.
macro_rules! settings {
    (
        $section:literal;
        $(#[doc = $group_doc:literal])+
        pub struct $group:ident {
            $($(#[doc = $doc:literal])+ $variable:ident => $visibility:vis $field:ident: $type:ty = $spec:expr;)+
        }
    ) => {
        $(#[doc = $group_doc])+
        #[derive(Debug, Clone)]
        pub struct $group {
            $($(#[doc = $doc])+ $visibility $field: $type,)+
        }

        impl $group {
            pub(crate) const TABLE: &'static [$crate::settings::SettingMeta] = &[$({
                const SPEC: $crate::settings::spec::Spec<$type> = $spec;
                $crate::settings::SettingMeta {
                    env: stringify!($variable),
                    fallbacks: SPEC.fallbacks,
                    kind: SPEC.kind,
                    default: SPEC.default,
                    secret: SPEC.secret,
                    doc: concat!($($doc),+),
                    section: $section,
                }
            }),+];

            pub(crate) fn load(reader: &mut $crate::settings::spec::Reader<'_>) -> Self {
                Self { $($field: reader.read(stringify!($variable), &$spec)),+ }
            }
        }
    };
}
pub(crate) use settings;

/// A switch: `true` in any case, everything else is off.
pub(crate) const fn flag(default: &'static str) -> Spec<bool> {
    Spec::new("true or false", default, |text| Some(python::is_true(text)))
}

/// A text as it is.
pub(crate) const fn text(default: &'static str) -> Spec<String> {
    Spec::new("a text", default, |text| Some(text.to_owned()))
}

/// A text; empty counts as not given.
pub(crate) const fn optional_text() -> Spec<Option<String>> {
    Spec::new("a text", "", |text| {
        Some((!text.is_empty()).then(|| text.to_owned()))
    })
}

/// A password, key or token; empty counts as not given.
pub(crate) const fn optional_secret() -> Spec<Option<Secret>> {
    Spec::new("a text", "", |text| {
        Some((!text.is_empty()).then(|| Secret::new(text)))
    })
    .secret()
}

/// A file or folder; relative ones are completed by `settings::resolve`.
pub(crate) const fn path(default: &'static str) -> Spec<PathBuf> {
    Spec::new("a path", default, |text| {
        Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty())
    })
}

/// A file or folder that may be missing.
pub(crate) const fn optional_path() -> Spec<Option<PathBuf>> {
    Spec::new("a path", "", |text| {
        let text = text.trim();
        Some((!text.is_empty()).then(|| PathBuf::from(text)))
    })
}

/// A whole number of type `T`.
pub(crate) const fn int<T: TryFrom<i64>>(default: &'static str) -> Spec<T> {
    Spec::new("a whole number", default, parse_int)
}

/// A whole number of type `T`; empty is none.
pub(crate) const fn optional_int<T: TryFrom<i64>>(default: &'static str) -> Spec<Option<T>> {
    Spec::new("a whole number", default, |text| {
        if text.trim().is_empty() {
            Some(None)
        } else {
            parse_int(text).map(Some)
        }
    })
}

/// A whole number of at least one; smaller ones count as one.
pub(crate) const fn count(default: &'static str) -> Spec<usize> {
    Spec::new("a whole number", default, |text| {
        python::int(text).map(|number| usize::try_from(number).unwrap_or(1).max(1))
    })
}

/// Whole seconds.
pub(crate) const fn seconds(default: &'static str) -> Spec<Duration> {
    Spec::new("a number of seconds", default, |text| {
        parse_int(text).map(Duration::from_secs)
    })
}

/// Whole seconds; empty, zero or less means no limit.
pub(crate) const fn optional_seconds(default: &'static str) -> Spec<Option<Duration>> {
    Spec::new("a number of seconds", default, |text| {
        if text.trim().is_empty() {
            return Some(None);
        }
        python::int(text).map(|number| {
            u64::try_from(number)
                .ok()
                .filter(|n| *n > 0)
                .map(Duration::from_secs)
        })
    })
}

/// Seconds with a fraction; empty or less than zero is none.
pub(crate) const fn optional_fraction(default: &'static str) -> Spec<Option<Duration>> {
    Spec::new("a number of seconds", default, |text| {
        if text.trim().is_empty() {
            return Some(None);
        }
        python::float(text).map(|number| Duration::try_from_secs_f64(number).ok())
    })
}

/// Texts separated by commas, without empty ones.
pub(crate) const fn list(default: &'static str) -> Spec<Vec<String>> {
    Spec::new("a list with commas", default, |text| {
        Some(python::items(text, ','))
    })
}

/// Texts separated by blanks.
pub(crate) const fn words(default: &'static str) -> Spec<Vec<String>> {
    Spec::new("a list with blanks", default, |text| {
        Some(text.split_whitespace().map(str::to_owned).collect())
    })
}

/// A JSON object; empty is the empty object.
pub(crate) const fn object() -> Spec<Value> {
    Spec::new("a JSON object", "{}", |text| {
        let text = if text.is_empty() { "{}" } else { text };
        serde_json::from_str(text).ok().filter(Value::is_object)
    })
}

fn parse_int<T: TryFrom<i64>>(text: &str) -> Option<T> {
    T::try_from(python::int(text)?).ok()
}
