//! [`Field`] for the plain types, with the validator's lax conversions and messages.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Field, Issues};

impl Field for String {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        if let Some(text) = input.as_str() {
            return Some(text.to_owned());
        }
        issues.push("string_type", "Input should be a valid string", input);
        None
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

impl Field for bool {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let read = match input {
            Value::Bool(value) => Some(*value),
            Value::Number(number) => match number.as_f64() {
                Some(0.0) => Some(false),
                Some(1.0) => Some(true),
                _ => None,
            },
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
                "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
                _ => None,
            },
            _ => {
                issues.push("bool_type", "Input should be a valid boolean", input);
                return None;
            }
        };
        if read.is_none() {
            issues.push(
                "bool_parsing",
                "Input should be a valid boolean, unable to interpret input",
                input,
            );
        }
        read
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

impl Field for i64 {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        match input {
            Value::Bool(value) => return Some(i64::from(*value)),
            Value::Number(number) => {
                if let Some(value) = number.as_i64() {
                    return Some(value);
                }
                match number.as_f64() {
                    Some(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => return Some(value as i64),
                    _ => issues.push(
                        "int_from_float",
                        "Input should be a valid integer, got a number with a fractional part",
                        input,
                    ),
                }
            }
            Value::String(text) => match text.trim().parse() {
                Ok(value) => return Some(value),
                Err(_) => issues.push(
                    "int_parsing",
                    "Input should be a valid integer, unable to parse string as an integer",
                    input,
                ),
            },
            _ => issues.push("int_type", "Input should be a valid integer", input),
        }
        None
    }

    fn schema() -> Value {
        json!({ "type": "integer" })
    }
}

impl Field for f64 {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        match input {
            Value::Bool(value) => return Some(f64::from(u8::from(*value))),
            Value::Number(number) => return number.as_f64(),
            Value::String(text) => match text.trim().parse() {
                Ok(value) => return Some(value),
                Err(_) => issues.push(
                    "float_parsing",
                    "Input should be a valid number, unable to parse string as a number",
                    input,
                ),
            },
            _ => issues.push("float_type", "Input should be a valid number", input),
        }
        None
    }

    fn schema() -> Value {
        json!({ "type": "number" })
    }
}

impl<T: Field> Field for Option<T> {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        if input.is_null() {
            Some(None)
        } else {
            T::parse(input, issues).map(Some)
        }
    }

    fn absent(_: &Value, _: &mut Issues) -> Option<Self> {
        Some(None)
    }

    fn schema() -> Value {
        json!({ "anyOf": [T::schema(), { "type": "null" }] })
    }
}

/// A field that must be sent but may be null, unlike `Option`, which may be left out as well.
#[derive(Debug, Clone, PartialEq)]
pub struct Nullable<T>(pub Option<T>);

impl<T: Field> Field for Nullable<T> {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        Option::parse(input, issues).map(Self)
    }

    fn schema() -> Value {
        Option::<T>::schema()
    }
}

impl<T: Field> Field for Vec<T> {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let Some(items) = input.as_array() else {
            issues.push("list_type", "Input should be a valid list", input);
            return None;
        };
        // Every item is read even after a bad one, so that all problems are reported.
        let parsed: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| issues.inside(index, |issues| T::parse(item, issues)))
            .collect();
        parsed.into_iter().collect()
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let object = object(input, issues)?;
        let parsed: Vec<Option<(String, T)>> = object
            .iter()
            .map(|(key, item)| {
                issues
                    .inside(key.as_str(), |issues| T::parse(item, issues))
                    .map(|value| (key.clone(), value))
            })
            .collect();
        parsed.into_iter().collect()
    }

    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}

impl Field for Map<String, Value> {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        object(input, issues).cloned()
    }

    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": true })
    }
}

impl Field for Value {
    fn parse(input: &Value, _: &mut Issues) -> Option<Self> {
        Some(input.clone())
    }

    fn schema() -> Value {
        json!({})
    }
}

fn object<'a>(input: &'a Value, issues: &mut Issues) -> Option<&'a Map<String, Value>> {
    let object = input.as_object();
    if object.is_none() {
        issues.push("dict_type", "Input should be a valid dictionary", input);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Field>(input: Value) -> Result<T, Value> {
        let mut issues = Issues::at("body");
        T::parse(&input, &mut issues).ok_or_else(|| issues.into_found()[0]["type"].clone())
    }

    #[test]
    fn lax_conversions() {
        assert_eq!(read::<bool>(json!("on")), Ok(true));
        assert_eq!(read::<bool>(json!(0)), Ok(false));
        assert_eq!(read::<bool>(json!("maybe")), Err(json!("bool_parsing")));
        assert_eq!(read::<bool>(json!([])), Err(json!("bool_type")));
        assert_eq!(read::<i64>(json!("12")), Ok(12));
        assert_eq!(read::<i64>(json!(3.0)), Ok(3));
        assert_eq!(read::<i64>(json!("x")), Err(json!("int_parsing")));
        assert_eq!(read::<f64>(json!("1.5")), Ok(1.5));
        assert_eq!(read::<f64>(json!(null)), Err(json!("float_type")));
        assert_eq!(read::<Option<String>>(json!(null)), Ok(None));
        assert_eq!(read::<String>(json!(1)), Err(json!("string_type")));
        assert_eq!(read::<Map<String, Value>>(json!(1)), Err(json!("dict_type")));
    }
}
