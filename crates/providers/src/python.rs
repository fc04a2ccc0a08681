//! Texts as the reference's interpreter forms them, where clients or providers see the result:
//! `str()` and `repr()` of JSON values, truthiness, percent-encoding. Formatting only, no policy.

use serde_json::Value;

/// Whether a JSON value counts as true in a condition of the reference.
pub fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// `str(value)`: a text is itself, everything else is its `repr`.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// `repr(value)`.
pub fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(value, &mut out);
    out
}

fn write_repr(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (name, field)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_text(name, out);
                out.push_str(": ");
                write_repr(field, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            other if other == quote => {
                out.push('\\');
                out.push(other);
            }
            other if (other as u32) < 0x20 || other as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", other as u32));
            }
            other => out.push(other),
        }
    }
    out.push(quote);
}

/// Percent-encodes everything except letters, digits, `_.-~` and the bytes of `safe`.
pub fn quote(text: &str, safe: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric()
            || b"_.-~".contains(&byte)
            || (byte.is_ascii() && safe.contains(&byte))
        {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_look_like_the_interpreter_prints_them() {
        assert_eq!(
            text_of(&json!({"message": "it's", "code": null, "n": [1, 2.5, true]})),
            "{'message': \"it's\", 'code': None, 'n': [1, 2.5, True]}"
        );
        assert_eq!(text_of(&json!("a'b")), "a'b");
        assert_eq!(repr(&json!("a'b\"c\n")), "'a\\'b\"c\\n'");
    }

    #[test]
    fn quoting_keeps_what_is_safe() {
        assert_eq!(quote("Jürgen Ö/x", b" "), "J%C3%BCrgen %C3%96%2Fx");
        assert_eq!(quote("gpt-4o:free", b""), "gpt-4o%3Afree");
    }

    #[test]
    fn emptiness_is_falsehood() {
        for value in [
            json!(null),
            json!(0),
            json!(""),
            json!([]),
            json!({}),
            json!(0.0),
            json!(false),
        ] {
            assert!(!truthy(&value), "{value}");
        }
        assert!(truthy(&json!("0")) && truthy(&json!([null])));
    }
}
