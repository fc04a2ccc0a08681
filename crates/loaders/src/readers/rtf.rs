//! Rich text: the text between the commands.

use encoding_rs::{Encoding, WINDOWS_1252};

use super::{Result, text};
use crate::Document;

/// Groups whose text is not the document's.
const HIDDEN: &[&str] = &[
    "fonttbl",
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "object",
    "themedata",
    "datastore",
    "listtable",
    "listoverridetable",
    "rsidtbl",
    "generator",
    "latentstyles",
    "xmlnstbl",
];

pub(super) fn read(bytes: &[u8]) -> Result<Vec<Document>> {
    // Many a text has this ending and is none.
    if !bytes.starts_with(b"{\\rtf") {
        return text::read(bytes);
    }
    Ok(vec![Document::new(Rtf::default().run(bytes).trim())])
}

#[derive(Clone, Copy)]
struct Group {
    hidden: bool,
    /// Characters that stand for one of a larger alphabet before it.
    skip: usize,
}

struct Rtf {
    text: String,
    /// Bytes of the old encoding that are not decoded yet.
    old: Vec<u8>,
    encoding: &'static Encoding,
    group: Group,
    outer: Vec<Group>,
    /// Characters still to be left out.
    skipping: usize,
    high: Option<u16>,
}

impl Default for Rtf {
    fn default() -> Self {
        Self {
            text: String::new(),
            old: Vec::new(),
            encoding: WINDOWS_1252,
            group: Group {
                hidden: false,
                skip: 1,
            },
            outer: Vec::new(),
            skipping: 0,
            high: None,
        }
    }
}

impl Rtf {
    fn run(mut self, bytes: &[u8]) -> String {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'{' => self.outer.push(self.group),
                b'}' => {
                    self.flush();
                    if let Some(group) = self.outer.pop() {
                        self.group = group;
                    }
                }
                b'\\' => at = self.command(bytes, at),
                b'\r' | b'\n' => {}
                other => self.byte(other),
            }
        }
        self.flush();
        self.text
    }

    fn command(&mut self, bytes: &[u8], at: usize) -> usize {
        let letters = bytes[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count();
        if letters == 0 {
            match bytes.get(at) {
                Some(b'\'') => {
                    let digits = bytes
                        .get(at + 1..at + 3)
                        .and_then(|two| std::str::from_utf8(two).ok());
                    if let Some(byte) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                        self.byte(byte);
                    }
                    return at + 3;
                }
                Some(b'*') => self.group.hidden = true,
                Some(b'~') => self.char(' '),
                Some(b'_') => self.char('-'),
                Some(c @ (b'\\' | b'{' | b'}')) => self.byte(*c),
                Some(b'\r' | b'\n') => self.char('\n'),
                _ => {}
            }
            return at + 1;
        }
        let word = std::str::from_utf8(&bytes[at..at + letters]).unwrap_or_default();
        let mut end = at + letters;
        let digits = bytes[end..]
            .iter()
            .enumerate()
            .take_while(|(index, byte)| byte.is_ascii_digit() || (*index == 0 && **byte == b'-'))
            .count();
        let number = std::str::from_utf8(&bytes[end..end + digits])
            .ok()
            .and_then(|text| text.parse::<i64>().ok());
        end += digits;
        if bytes.get(end) == Some(&b' ') {
            end += 1;
        }
        match (word, number) {
            ("par" | "line" | "sect" | "page" | "row", _) => self.char('\n'),
            ("tab" | "cell", _) => self.char('\t'),
            ("emdash", _) => self.char('—'),
            ("endash", _) => self.char('–'),
            ("bullet", _) => self.char('•'),
            ("lquote", _) => self.char('‘'),
            ("rquote", _) => self.char('’'),
            ("ldblquote", _) => self.char('“'),
            ("rdblquote", _) => self.char('”'),
            ("uc", Some(count)) => self.group.skip = usize::try_from(count).unwrap_or(1),
            ("u", Some(code)) => self.unicode(code),
            ("ansicpg", Some(page)) => {
                let label = format!("windows-{page}");
                self.encoding = Encoding::for_label(label.as_bytes()).unwrap_or(WINDOWS_1252);
            }
            ("bin", Some(count)) => end += usize::try_from(count).unwrap_or_default(),
            (word, _) if HIDDEN.contains(&word) => self.group.hidden = true,
            _ => {}
        }
        end.min(bytes.len())
    }

    /// A UTF-16 unit, written as a signed number.
    fn unicode(&mut self, code: i64) {
        self.flush();
        let unit = u16::try_from(code.rem_euclid(0x1_0000)).unwrap_or_default();
        if (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
        } else {
            let units: Vec<u16> = self.high.take().into_iter().chain([unit]).collect();
            for c in char::decode_utf16(units) {
                self.char(c.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.skipping = self.group.skip;
    }

    fn char(&mut self, c: char) {
        self.flush();
        if !self.group.hidden {
            self.text.push(c);
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.skipping > 0 {
            self.skipping -= 1;
        } else if !self.group.hidden {
            self.old.push(byte);
        }
    }

    fn flush(&mut self) {
        if !self.old.is_empty() {
            let old = std::mem::take(&mut self.old);
            self.text
                .push_str(&self.encoding.decode_without_bom_handling(&old).0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_not_text() {
        let source =
            br"{\rtf1\ansi\ansicpg1250{\fonttbl{\f0 Arial;}}{\*\generator X;}\f0 Caf\'e9 {\b bold}\par
\u322?\'f3d\'9f \u-10179?\u-8704? \{x\}}";
        assert_eq!(read(source).unwrap()[0].text, "Café bold\nłódź 😀 {x}");
        assert_eq!(read(b"plain").unwrap()[0].text, "plain");
    }
}
