//! Typed views of stored JSON: how a row or an environment value becomes the type a key promises.
//!
//! Rows may have been written by older versions, by the original or by an import, so reading is lenient and
//! total: where the original would test a value for truth, so does `bool`; where a number was stored as text,
//! it is read as a number. What cannot be read falls back to the key's default, see [`crate::Snapshot::get`].

use serde_json::{Number, Value};

use crate::python;

mod sealed {
    pub trait Sealed {}
}

/// A type that a [`crate::Key`] can have.
pub trait ConfigType: Sized + sealed::Sealed + 'static {
    /// Reads a value; `None` if it does not fit.
    fn read(value: &Value) -> Option<Self>;

    /// What stands when neither the value nor the default of a key fits.
    fn empty() -> Self;

    /// Whether an option of this type counts the value as absent.
    fn is_absent(value: &Value) -> bool {
        value.is_null()
    }
}

macro_rules! config_type {
    ($type:ty, $empty:expr, $read:expr $(, $absent:expr)?) => {
        impl sealed::Sealed for $type {}
        impl ConfigType for $type {
            fn read(value: &Value) -> Option<Self> {
                let read: fn(&Value) -> Option<Self> = $read;
                read(value)
            }
            fn empty() -> Self {
                $empty
            }
            $(fn is_absent(value: &Value) -> bool {
                let absent: fn(&Value) -> bool = $absent;
                absent(value)
            })?
        }
    };
}

config_type!(bool, false, |value| Some(truthy(value)));
config_type!(i64, 0, whole, blank);
config_type!(f64, 0.0, decimal, blank);
config_type!(String, String::new(), text);
config_type!(Vec<String>, Vec::new(), texts);
config_type!(Value, Value::Null, |value| Some(value.clone()));

impl<T: ConfigType> sealed::Sealed for Option<T> {}
impl<T: ConfigType> ConfigType for Option<T> {
    fn read(value: &Value) -> Option<Self> {
        if T::is_absent(value) {
            Some(None)
        } else {
            T::read(value).map(Some)
        }
    }

    fn empty() -> Self {
        None
    }
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| truncated(number)),
        Value::String(text) => python::int(text),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn truncated(number: &Number) -> Option<i64> {
    // 2^53 bounds what a double holds exactly; beyond it the number is not a sensible setting.
    number
        .as_f64()
        .filter(|number| number.abs() <= 9_007_199_254_740_992.0)
        .map(|number| number as i64)
}

fn decimal(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => python::float(text),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => Some(items.iter().filter_map(text).collect()),
        Value::String(text) => Some(python::items(text, ',')),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn flags_follow_truth_of_the_value() {
        for (value, expected) in [
            (json!(true), true),
            (json!(null), false),
            (json!(0), false),
            (json!("x"), true),
            (json!({}), false),
        ] {
            assert_eq!(bool::read(&value), Some(expected), "{value}");
        }
    }

    #[test]
    fn numbers_are_read_from_text_and_decimals() {
        assert_eq!(i64::read(&json!("300")), Some(300));
        assert_eq!(i64::read(&json!(3.0)), Some(3));
        assert_eq!(i64::read(&json!(null)), None);
        assert_eq!(i64::read(&json!(1e300)), None);
        assert_eq!(f64::read(&json!(0)), Some(0.0));
        assert_eq!(f64::read(&json!("1.5")), Some(1.5));
    }

    #[test]
    fn options_count_blank_numbers_as_absent() {
        assert_eq!(Option::<i64>::read(&json!("")), Some(None));
        assert_eq!(Option::<i64>::read(&json!(5)), Some(Some(5)));
        assert_eq!(Option::<i64>::read(&json!("many")), None);
        assert_eq!(Option::<String>::read(&json!("")), Some(Some(String::new())));
        assert_eq!(Option::<String>::read(&json!(null)), Some(None));
    }

    #[test]
    fn lists_are_read_from_json_or_commas() {
        assert_eq!(
            Vec::<String>::read(&json!(["a", 1, null])),
            Some(vec!["a".into(), "1".into(), String::new()])
        );
        assert_eq!(
            Vec::<String>::read(&json!("a, b")),
            Some(vec!["a".into(), "b".into()])
        );
        assert_eq!(Vec::<String>::read(&json!({})), None);
    }
}
