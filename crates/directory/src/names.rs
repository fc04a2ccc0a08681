//! Distinguished names (RFC 4514), as far as groups need them.

/// The first common name in a distinguished name: `Sales, EMEA` of `CN=Sales\, EMEA,OU=Groups,DC=example`.
pub fn common_name(dn: &str) -> Option<String> {
    split(dn, ',')
        .iter()
        .flat_map(|part| split(part, '+'))
        .find_map(|pair| {
            let (kind, value) = pair.split_once('=')?;
            kind.trim()
                .eq_ignore_ascii_case("cn")
                .then(|| unescaped(value.trim()))
        })
        .filter(|name| !name.is_empty())
}

/// Splits at separators that are not escaped.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for letter in text.chars() {
        if letter == separator && !escaped {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
        escaped = letter == '\\' && !escaped;
    }
    parts
}

/// Takes escapes away: `\,` is a comma, `\C3\A4` the bytes of a letter.
fn unescaped(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        if let Some(byte) = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else if let Some((next, after)) = after.split_first() {
            bytes.push(*next);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_without_escapes() {
        for (dn, name) in [
            ("CN=Staff,OU=Groups,DC=example", Some("Staff")),
            (r"ou=x,cn=Sales\, EMEA,dc=example", Some("Sales, EMEA")),
            (r"cn=Gr\C3\BCn", Some("Grün")),
            (r"uid=a+CN=b\\c", Some(r"b\c")),
            ("ou=nothing", None),
            ("cn=", None),
        ] {
            assert_eq!(common_name(dn).as_deref(), name, "{dn}");
        }
    }
}
