//! Makers of identifiers. Row ids are UUID version 4 in text form, as the reference's.

use rand::Rng;

/// A fresh row id, for example `3f2b…-…`.
pub fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// `prefix` followed by 24 hexadecimal digits: ids of output items (`msg_`, `r_`, `fco_`, ...).
pub fn output_item(prefix: &str) -> String {
    let bytes: [u8; 12] = rand::rng().random();
    let mut id = String::with_capacity(prefix.len() + 24);
    id.push_str(prefix);
    for byte in bytes {
        id.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        id.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    id
}

/// An API key: `sk-` and 32 hexadecimal digits.
pub fn api_key() -> String {
    format!("sk-{}", uuid::Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        assert_eq!(uuid().len(), 36);
        let id = output_item("msg_");
        assert_eq!(id.len(), 28);
        assert!(id[4..].bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(api_key().len(), 35);
        assert_ne!(uuid(), uuid());
    }
}
