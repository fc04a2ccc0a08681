//! Files made here, with the records that lead to text and nothing else.

use std::io::Write;

use super::*;

fn compound(streams: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut file = CompoundFile::create(Cursor::new(Vec::new())).unwrap();
    for (name, bytes) in streams {
        file.create_stream(name).unwrap().write_all(bytes).unwrap();
    }
    file.flush().unwrap();
    file.into_inner().into_inner()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A document of two pieces: one of bytes, one of wide letters. A header follows them, which is no part of the text.
fn document(flags: u16) -> Vec<u8> {
    let (first, second, header) = (
        "Caf\u{e9} \u{13} PAGE \u{14}7\u{15}\r",
        "a\u{7}b\u{7}\u{7}\u{430}\r",
        "HEADER",
    );
    let narrow: Vec<u8> = first
        .chars()
        .map(|letter| u8::try_from(u32::from(letter)).unwrap())
        .collect();
    let (start, later) = (0x400, 0x500);
    let mut text = vec![0; 0x400];
    text[..2].copy_from_slice(&0xA5EC_u16.to_le_bytes());
    text[0x0A..0x0C].copy_from_slice(&flags.to_le_bytes());
    let count = |text: &str| u32::try_from(text.chars().count()).unwrap();
    let main = count(first) + count(second);
    text[0x4C..0x50].copy_from_slice(&main.to_le_bytes());
    text.extend(&narrow);
    text.resize(later, 0);
    text.extend(wide(second));
    text.extend(wide(header));
    let mut list = Vec::new();
    for place in [0, count(first), main + count(header)] {
        list.extend(place.to_le_bytes());
    }
    for at in [(start * 2) | 0x4000_0000, u32::try_from(later).unwrap()] {
        list.extend([0, 0]);
        list.extend(at.to_le_bytes());
        list.extend([0, 0]);
    }
    // A format of three bytes stands before.
    let mut table = vec![9, 9, 1, 3, 0, 7, 7, 7, 2];
    table.extend(u32::try_from(list.len()).unwrap().to_le_bytes());
    table.extend(list);
    text[0x01A2..0x01A6].copy_from_slice(&2_u32.to_le_bytes());
    let size = u32::try_from(table.len() - 2).unwrap();
    text[0x01A6..0x01AA].copy_from_slice(&size.to_le_bytes());
    compound(&[("/WordDocument", text), ("/1Table", table)])
}

#[test]
fn a_word_document_in_pieces() {
    let documents = doc(document(0x0200)).unwrap();
    assert_eq!(documents[0].text, "Caf\u{e9} 7\na\tb\n\u{430}");
    assert!(
        doc(document(0x0300))
            .unwrap_err()
            .to_string()
            .contains("password")
    );
    // The other table is not there.
    assert!(doc(document(0)).unwrap_err().to_string().contains("damaged"));
    let rich = doc(b"{\\rtf1 rich}".to_vec()).unwrap();
    assert_eq!(rich[0].text.trim(), "rich");
}

#[test]
fn no_cut_of_a_file_is_a_crash() {
    let whole = document(0x0200);
    for end in (0..whole.len()).step_by(97) {
        let _ = doc(whole[..end].to_vec());
        let _ = ppt(whole[..end].to_vec());
    }
    let whole = presentation();
    for place in (0..whole.len()).step_by(13) {
        let mut broken = whole.clone();
        broken[place] = 0xFF;
        let _ = ppt(broken);
    }
}

fn record(version: u16, kind: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    bytes.extend(content);
    bytes
}

fn numbers(list: &[usize]) -> Vec<u8> {
    list.iter()
        .flat_map(|number| u32::try_from(*number).unwrap().to_le_bytes())
        .collect()
}

/// Two slides; the first was saved again, and what it was before is still in the file.
fn presentation() -> Vec<u8> {
    let slide = |text: &str| {
        let text = record(0, 0x0FA0, &wide(text));
        record(0xF, 0x03EE, &record(0xF, 0x040C, &record(0xF, 0xF00D, &text)))
    };
    let outline =
        |id: usize, title: &[u8]| [record(0, 0x03F3, &numbers(&[id, 0])), record(0, 0x0FA8, title)].concat();
    let list = [outline(3, b"Second made\rfirst shown"), outline(2, b"Title")].concat();
    let masters = record(0x1F, 0x0FF0, &outline(9, b"Click to edit"));
    let document = record(0xF, 0x03E8, &[masters, record(0xF, 0x0FF0, &list)].concat());
    let mut show = document;
    let mut places = Vec::new();
    for text in ["old words", "other words", "new words \u{430}"] {
        places.push(show.len());
        show.extend(slide(text));
    }
    let first = show.len();
    // Document, slide 2 and slide 3 follow each other from number 1 on.
    let known = numbers(&[1 | (3 << 20), 0, places[0], places[1]]);
    show.extend(record(0, 0x1772, &known));
    let save = show.len();
    show.extend(record(0, 0x0FF5, &numbers(&[0, 0, 0, first, 1])));
    let second = show.len();
    show.extend(record(0, 0x1772, &numbers(&[2 | (1 << 20), places[2]])));
    let last = show.len();
    show.extend(record(0, 0x0FF5, &numbers(&[0, 0, save, second, 1])));
    let mut user = record(0, 0x0FF6, &numbers(&[20, 0xE391_C05F, last]));
    user.resize(40, 0);
    compound(&[("/Current User", user), ("/PowerPoint Document", show)])
}

#[test]
fn a_presentation_as_it_was_saved_last() {
    let slides = ppt(presentation()).unwrap();
    assert_eq!(
        slides[0].text,
        "Slide 1:\nSecond made\nfirst shown\nother words\n\nSlide 2:\nTitle\nnew words \u{430}"
    );
    assert!(
        ppt(b"nothing".to_vec())
            .unwrap_err()
            .to_string()
            .contains("damaged")
    );
}
