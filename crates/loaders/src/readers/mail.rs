//! Messages of Outlook: who, when, what about, and the text. Attachments are left out.

use std::io::{Cursor, Read};

use cfb::CompoundFile;
use encoding_rs::{UTF_16LE, WINDOWS_1252};

use super::{Result, html, text};
use crate::{Document, LoadError};

type Message = CompoundFile<Cursor<Vec<u8>>>;

pub(super) fn read(bytes: &[u8]) -> Result<Vec<Document>> {
    // Messages as the mail servers have them come under this ending as well.
    let Ok(mut message) = CompoundFile::open(Cursor::new(bytes.to_vec())) else {
        return if bytes.contains(&0) {
            Err(LoadError::new("The message is damaged"))
        } else {
            text::read(bytes)
        };
    };
    let subject = property(&mut message, "0037").unwrap_or_default();
    let mut lines = Vec::new();
    for (name, tag) in [("From", "0C1A"), ("To", "0E04"), ("Cc", "0E03")] {
        if let Some(value) = property(&mut message, tag).filter(|value| !value.is_empty()) {
            lines.push(format!("{name}: {value}"));
        }
    }
    lines.push(format!("Subject: {subject}"));
    let body = match property(&mut message, "1000").filter(|body| !body.trim().is_empty()) {
        Some(body) => body,
        None => match stream(&mut message, "__substg1.0_10130102") {
            Some(page) => html::page(&text::decode(&page)).0,
            None => property(&mut message, "1013")
                .map(|page| html::page(&page).0)
                .unwrap_or_default(),
        },
    };
    let text = format!("{}\n\n{}", lines.join("\n"), body.trim());
    Ok(vec![Document::new(text).with("subject", subject)])
}

/// A text by its tag, in either of the two encodings.
fn property(message: &mut Message, tag: &str) -> Option<String> {
    if let Some(bytes) = stream(message, &format!("__substg1.0_{tag}001F")) {
        return Some(UTF_16LE.decode_without_bom_handling(&bytes).0.into_owned());
    }
    let bytes = stream(message, &format!("__substg1.0_{tag}001E"))?;
    Some(match std::str::from_utf8(&bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => WINDOWS_1252.decode(&bytes).0.into_owned(),
    })
}

fn stream(message: &mut Message, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    message.open_stream(name).ok()?.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn messages_are_read() {
        let mut file = CompoundFile::create(Cursor::new(Vec::new())).unwrap();
        let mut put = |name: &str, text: &str| {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            file.create_stream(name).unwrap().write_all(&bytes).unwrap();
        };
        put("__substg1.0_0037001F", "Lunch");
        put("__substg1.0_0C1A001F", "Zoë");
        put("__substg1.0_1000001F", "At noon?\r\n");
        file.flush().unwrap();
        let read = read(&file.into_inner().into_inner()).unwrap();
        assert_eq!(read[0].text, "From: Zoë\nSubject: Lunch\n\nAt noon?");
    }
}
