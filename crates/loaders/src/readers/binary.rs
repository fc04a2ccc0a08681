//! Word and PowerPoint files of the years before 2007: streams inside a compound file, made of records with sizes and
//! offsets. Only text is read; whatever does not lead to it is passed over. Every number of the file is checked before
//! it is followed.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use cfb::CompoundFile;
use encoding_rs::{UTF_16LE, WINDOWS_1252};

use super::Result;
use crate::{Document, LoadError};

/// Records inside each other.
const DEEPEST: usize = 32;
/// Saves of a presentation that follow each other.
const SAVES: usize = 1000;

type Streams = CompoundFile<Cursor<Vec<u8>>>;

fn damaged() -> LoadError {
    LoadError::new("The file is damaged")
}

fn open(bytes: Vec<u8>) -> Result<Streams> {
    CompoundFile::open(Cursor::new(bytes)).map_err(|_| damaged())
}

fn stream(file: &mut Streams, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut stream = file.open_stream(name).map_err(|_| damaged())?;
    stream.read_to_end(&mut bytes).map_err(|_| damaged())?;
    Ok(bytes)
}

fn u16_at(bytes: &[u8], place: usize) -> Option<u16> {
    let part = bytes.get(place..place.checked_add(2)?)?;
    Some(u16::from_le_bytes(part.try_into().ok()?))
}

fn u32_at(bytes: &[u8], place: usize) -> Option<u32> {
    let part = bytes.get(place..place.checked_add(4)?)?;
    Some(u32::from_le_bytes(part.try_into().ok()?))
}

fn usize_at(bytes: &[u8], place: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, place)?).ok()
}

/// A Word document.
pub(super) fn doc(bytes: Vec<u8>) -> Result<Vec<Document>> {
    // Files with this ending are now and then of another kind.
    if bytes.starts_with(b"{\\rtf") {
        return super::rtf::read(&bytes);
    }
    let mut file = open(bytes)?;
    let text = stream(&mut file, "/WordDocument")?;
    let flags = u16_at(&text, 0x0A).ok_or_else(damaged)?;
    if u16_at(&text, 0) != Some(0xA5EC) {
        return Err(damaged());
    }
    if flags & 0x0100 != 0 {
        return Err(LoadError::new("The document is protected by a password"));
    }
    let table = if flags & 0x0200 != 0 { "/1Table" } else { "/0Table" };
    let table = stream(&mut file, table)?;
    let letters = pieces(&text, &table).ok_or_else(damaged)?;
    Ok(vec![Document::new(shown(&letters))])
}

/// The main text with its footnotes, from the pieces that changes have left it in.
fn pieces(text: &[u8], table: &[u8]) -> Option<String> {
    let wanted = usize_at(text, 0x4C)?.checked_add(usize_at(text, 0x50)?)?;
    let (start, size) = (usize_at(text, 0x01A2)?, usize_at(text, 0x01A6)?);
    let list = table.get(start..start.checked_add(size)?)?;
    let mut place = 0;
    // Formats come first, each with its size.
    while *list.get(place)? == 1 {
        place = place.checked_add(3 + usize::from(u16_at(list, place + 1)?))?;
    }
    if list[place] != 2 {
        return None;
    }
    let size = usize_at(list, place + 1)?;
    let list = list.get(place + 5..place.checked_add(5)?.checked_add(size)?)?;
    let count = size.checked_sub(4)? / 12;
    let mut all = String::new();
    for piece in 0..count {
        let (from, to) = (usize_at(list, piece * 4)?, usize_at(list, piece * 4 + 4)?);
        let length = to.min(wanted).checked_sub(from.min(wanted))?;
        let at = usize_at(list, (count + 1) * 4 + piece * 8 + 2)?;
        // One bit tells letters of one byte from those of two.
        let (encoding, start, size) = if at & 0x4000_0000 != 0 {
            (WINDOWS_1252, (at & 0x3FFF_FFFF) / 2, length)
        } else {
            (UTF_16LE, at, length.checked_mul(2)?)
        };
        let bytes = text.get(start..start.checked_add(size)?)?;
        all.push_str(&encoding.decode_without_bom_handling(bytes).0);
    }
    Some(all)
}

/// The text as it is shown: fields as what they came to, marks of cells and paragraphs as white space.
fn shown(letters: &str) -> String {
    let mut text = String::with_capacity(letters.len());
    // Of each field that is open, whether its instruction is being read.
    let mut fields: Vec<bool> = Vec::new();
    let mut letters = letters.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{13}' => fields.push(true),
            '\u{14}' => {
                if let Some(field) = fields.last_mut() {
                    *field = false;
                }
            }
            '\u{15}' => {
                fields.pop();
            }
            _ if fields.contains(&true) => {}
            '\r' | '\u{b}' | '\u{c}' | '\u{e}' => text.push('\n'),
            // Two in a row end a row of a table.
            '\u{7}' if letters.peek() == Some(&'\u{7}') => {
                letters.next();
                text.push('\n');
            }
            '\u{7}' => text.push('\t'),
            '\u{1e}' => text.push('-'),
            '\t' | '\n' => text.push(letter),
            letter if letter < ' ' => {}
            letter => text.push(letter),
        }
    }
    text.trim().to_owned()
}

/// A record: what it is, which of its kind, and its content.
struct Record<'b> {
    kind: u16,
    version: u16,
    content: &'b [u8],
}

impl<'b> Record<'b> {
    fn at(bytes: &'b [u8], place: usize) -> Option<(Self, usize)> {
        let version = u16_at(bytes, place)?;
        let start = place.checked_add(8)?;
        let end = start.checked_add(usize_at(bytes, place + 4)?)?;
        let record = Self {
            kind: u16_at(bytes, place + 2)?,
            version,
            content: bytes.get(start..end)?,
        };
        Some((record, end))
    }

    /// The records inside, as far as they can be read.
    fn children(&self) -> impl Iterator<Item = Record<'b>> + use<'b> {
        let (bytes, mut place) = (self.content, 0);
        let inner = self.version & 0xF == 0xF;
        std::iter::from_fn(move || {
            let (record, next) = Record::at(bytes, place).filter(|_| inner)?;
            place = next;
            Some(record)
        })
    }

    fn text(&self) -> Option<String> {
        let text = match self.kind {
            0x0FA0 => UTF_16LE.decode_without_bom_handling(self.content).0.into_owned(),
            0x0FA8 => self.content.iter().map(|byte| char::from(*byte)).collect(),
            _ => return None,
        };
        Some(text.replace(['\r', '\u{b}'], "\n"))
    }

    /// Adds the texts inside.
    fn gather(&self, texts: &mut Vec<String>, depth: usize) {
        texts.extend(self.text());
        if depth < DEEPEST {
            self.children().for_each(|child| child.gather(texts, depth + 1));
        }
    }
}

/// A PowerPoint presentation, in the form of a new one.
pub(super) fn ppt(bytes: Vec<u8>) -> Result<Vec<Document>> {
    let mut file = open(bytes)?;
    let user = stream(&mut file, "/Current User")?;
    let show = stream(&mut file, "/PowerPoint Document")?;
    if u32_at(&user, 12) == Some(0xF3D1_C4DF) {
        return Err(LoadError::new("The document is protected by a password"));
    }
    let slides = slides(&user, &show).ok_or_else(damaged)?;
    let mut shown = Vec::new();
    for (number, slide) in (1..).zip(slides) {
        let texts: Vec<&str> = slide
            .outline
            .iter()
            .chain(&slide.own)
            .map(|text| text.trim())
            .collect();
        let texts: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        if !texts.is_empty() {
            shown.push(format!("Slide {number}:\n{}", texts.join("\n")));
        }
    }
    Ok(vec![Document::new(shown.join("\n\n"))])
}

/// The texts of a slide.
#[derive(Default)]
struct Slide {
    /// Titles and lists, which stand in the presentation's outline.
    outline: Vec<String>,
    /// What stands on the slide only.
    own: Vec<String>,
}

/// The texts of each slide in the order of the show. Each save appends to the file: the last list of places counts.
fn slides(user: &[u8], show: &[u8]) -> Option<Vec<Slide>> {
    let mut places: HashMap<u32, usize> = HashMap::new();
    let mut edit = usize_at(user, 16)?;
    let mut document = None;
    for _ in 0..SAVES {
        let (save, _) = Record::at(show, edit).filter(|(save, _)| save.kind == 0x0FF5)?;
        document = document.or(u32_at(save.content, 16));
        let (list, _) = Record::at(show, usize_at(save.content, 12)?)?;
        let mut at = 0;
        while let Some(head) = u32_at(list.content, at) {
            let (first, count) = (head & 0xF_FFFF, head >> 20);
            for step in 0..count {
                at += 4;
                places.entry(first + step).or_insert(usize_at(list.content, at)?);
            }
            at += 4;
        }
        edit = usize_at(save.content, 8)?;
        if edit == 0 {
            break;
        }
    }
    let (document, _) = Record::at(show, *places.get(&document?)?)?;
    // Instance 0 of this list is that of the slides; there are others of masters and notes.
    let list = document
        .children()
        .find(|list| list.kind == 0x0FF0 && list.version >> 4 == 0);
    let mut slides: Vec<Slide> = Vec::new();
    for record in list.iter().flat_map(Record::children) {
        if record.kind == 0x03F3 {
            let mut slide = Slide::default();
            let place = u32_at(record.content, 0).and_then(|id| places.get(&id));
            if let Some((record, _)) = place.and_then(|place| Record::at(show, *place)) {
                record.gather(&mut slide.own, 0);
            }
            slides.push(slide);
        } else if let (Some(text), Some(slide)) = (record.text(), slides.last_mut()) {
            slide.outline.push(text);
        }
    }
    Some(slides)
}

#[cfg(test)]
mod tests;
