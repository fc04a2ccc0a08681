//! Texts in the pictures of a PDF, read by the program tesseract where the operator has it and wants it.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use pdf_extract::xobject::PdfImage;
use pdf_extract::{Document as Pdf, Object, ObjectId};

/// Where the program usually is.
const PLACES: &[&str] = &[
    "/usr/bin/tesseract",
    "/usr/local/bin/tesseract",
    "/opt/homebrew/bin/tesseract",
    "/opt/local/bin/tesseract",
    r"C:\Program Files\Tesseract-OCR\tesseract.exe",
];
/// Pixels of a side below which a picture holds no text that could be read.
const SMALLEST: i64 = 24;
/// Bytes of a picture without compression.
const LARGEST: usize = 256 * 1024 * 1024;

/// The program, when it is there. Says once in the log when it is not.
pub(crate) fn program() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let look = || {
        let found = PLACES.iter().map(PathBuf::from).find(|place| place.is_file());
        match &found {
            Some(place) => tracing::info!(program = %place.display(), "reading pictures in PDFs"),
            None => tracing::warn!(
                "pictures in PDFs are to be read (PDF_EXTRACT_IMAGES), but tesseract is not installed: their text is left out"
            ),
        }
        found
    };
    FOUND.get_or_init(look).clone()
}

/// The texts of the pictures, page by page. What cannot be read is empty.
pub(super) fn texts(bytes: &[u8], program: &Path) -> Vec<String> {
    let Ok(pdf) = Pdf::load_mem(bytes) else {
        return Vec::new();
    };
    // A letterhead stands on every page and is read once.
    let mut known: HashMap<ObjectId, String> = HashMap::new();
    let mut pages = Vec::new();
    for page in pdf.get_pages().into_values() {
        let mut texts = Vec::new();
        for image in pdf.get_page_images(page).unwrap_or_default() {
            let text = known
                .entry(image.id)
                .or_insert_with(|| read(&pdf, &image, program).unwrap_or_default());
            if !text.is_empty() {
                texts.push(text.clone());
            }
        }
        pages.push(texts.join("\n"));
    }
    pages
}

fn read(pdf: &Pdf, image: &PdfImage<'_>, program: &Path) -> Option<String> {
    if image.width < SMALLEST || image.height < SMALLEST {
        return None;
    }
    let picture = picture(pdf, image)?;
    let mut child = Command::new(program)
        .args(["stdin", "stdout"])
        // One page at a time is read; the server has other work for the cores.
        .env("OMP_THREAD_LIMIT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    // It reads all before it writes; one that ends early has its say in the exit status.
    let _ = child.stdin.take()?.write_all(&picture);
    let output = child.wait_with_output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| text.trim().trim_matches('\u{c}').trim().to_owned())
}

/// Fax data of group 4 as a TIFF: a header before it is all that is needed.
fn fax(image: &PdfImage<'_>) -> Option<Vec<u8>> {
    let parameters = match image.origin_dict.get(b"DecodeParms").ok()? {
        Object::Array(list) => list.first()?.as_dict().ok()?,
        other => other.as_dict().ok()?,
    };
    let kind = parameters.get(b"K").and_then(Object::as_i64).unwrap_or(0);
    if kind >= 0 {
        return None;
    }
    let number = |number: i64| u32::try_from(number).ok();
    let length = u32::try_from(image.content.len()).ok()?;
    // Tags, each with the length of its one value (3: two bytes, 4: four) and the value.
    let tags: [(u16, u16, u32); 8] = [
        (256, 4, number(image.width)?),
        (257, 4, number(image.height)?),
        (258, 3, 1),
        (259, 3, 4),
        (262, 3, 0),
        (273, 4, 8),
        (278, 4, number(image.height)?),
        (279, 4, length),
    ];
    let mut file = b"II*\0".to_vec();
    file.extend((8 + length).to_le_bytes());
    file.extend(image.content);
    file.extend((tags.len() as u16).to_le_bytes());
    for (tag, kind, value) in tags {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    Some(file)
}

/// The picture as a file of its own: JPEG as it is, fax data and plain pixels with a header before them.
fn picture(pdf: &Pdf, image: &PdfImage<'_>) -> Option<Vec<u8>> {
    let filters = image.filters.as_deref().unwrap_or_default();
    if filters.last().map(String::as_str) == Some("DCTDecode") {
        return (filters.len() == 1).then(|| image.content.to_vec());
    }
    if filters.last().map(String::as_str) == Some("CCITTFaxDecode") {
        return (filters.len() == 1).then(|| fax(image)).flatten();
    }
    let (width, height) = (
        usize::try_from(image.width).ok()?,
        usize::try_from(image.height).ok()?,
    );
    let bits = image.bits_per_component.unwrap_or(1);
    let colours = match image.color_space.as_deref() {
        Some("DeviceRGB" | "CalRGB") => 3,
        Some("DeviceGray" | "CalGray") | None => 1,
        // Tables of colours and profiles say elsewhere how many numbers a pixel has; two kinds are plain to see.
        Some("ICCBased") => 0,
        Some(_) => return None,
    };
    if width.checked_mul(height)?.checked_mul(3)? > LARGEST {
        return None;
    }
    let stream = pdf.get_object(image.id).ok()?.as_stream().ok()?;
    let mut pixels = stream.decompressed_content().ok()?;
    let colours = match colours {
        0 if pixels.len() >= width * height * 3 => 3,
        0 => 1,
        known => known,
    };
    let (kind, length) = match (bits, colours) {
        (8, 3) => ("P6", width * height * 3),
        (8, 1) => ("P5", width * height),
        (1, 1) => ("P4", width.div_ceil(8) * height),
        _ => return None,
    };
    if pixels.len() < length {
        return None;
    }
    pixels.truncate(length);
    if bits == 1 {
        // Here a set bit is black, there it is white.
        pixels.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let depth = if bits == 1 { "" } else { "255\n" };
    let mut file = format!("{kind}\n{width} {height}\n{depth}").into_bytes();
    file.append(&mut pixels);
    Some(file)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use pdf_extract::{Dictionary, Stream, dictionary};

    use super::*;

    fn image(entries: Dictionary, content: Vec<u8>) -> Stream {
        let mut dictionary = dictionary! { "Type" => "XObject", "Subtype" => "Image" };
        dictionary.extend(&entries);
        Stream::new(dictionary, content)
    }

    /// Two pages with these pictures, the first of which stands on both.
    fn document(first: Stream, second: Stream) -> Vec<u8> {
        let mut pdf = Pdf::with_version("1.5");
        let root = pdf.new_object_id();
        let (first, second) = (pdf.add_object(first), pdf.add_object(second));
        let mut kids: Vec<Object> = Vec::new();
        for pictures in [
            dictionary! { "A" => first },
            dictionary! { "A" => first, "B" => second },
        ] {
            let content = pdf.add_object(Stream::new(Dictionary::new(), Vec::new()));
            let page = pdf.add_object(dictionary! {
                "Type" => "Page", "Parent" => root, "Contents" => content,
                "MediaBox" => [0, 0, 100, 100].map(Object::from).to_vec(),
                "Resources" => dictionary! { "XObject" => pictures },
            });
            kids.push(page.into());
        }
        let pages = dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => 2 };
        pdf.objects.insert(root, Object::Dictionary(pages));
        let catalog = pdf.add_object(dictionary! { "Type" => "Catalog", "Pages" => root });
        pdf.trailer.set("Root", catalog);
        let mut bytes = Vec::new();
        pdf.save_to(&mut bytes).unwrap();
        bytes
    }

    /// A program in the place of tesseract.
    fn program(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("tesseract");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn pictures_are_handed_over_as_files() {
        let rgb = dictionary! { "Width" => 40, "Height" => 30, "ColorSpace" => "DeviceRGB", "BitsPerComponent" => 8 };
        let mut colour = image(rgb, vec![200; 40 * 30 * 3]);
        colour.compress().unwrap();
        let bits = dictionary! { "Width" => 33, "Height" => 24, "ColorSpace" => "DeviceGray", "BitsPerComponent" => 1 };
        let scan = image(bits, vec![0x55; 5 * 24]);
        let bytes = document(colour, scan);
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let told = program(
            folder.path(),
            &format!(
                "cat > {0}; head -n 2 {0} | tr '\\n' ' '; wc -c < {0} | tr -d ' '",
                log.display()
            ),
        );
        let texts = texts(&bytes, &told);
        assert_eq!(texts, ["P6 40 30 3613", "P6 40 30 3613\nP4 33 24 129"]);
        assert_eq!(std::fs::read(&log).unwrap().last(), Some(&0xAA));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let small =
            dictionary! { "Width" => 8, "Height" => 8, "ColorSpace" => "DeviceRGB", "BitsPerComponent" => 8 };
        let jpeg = dictionary! {
            "Width" => 40, "Height" => 40, "ColorSpace" => "DeviceRGB", "BitsPerComponent" => 8, "Filter" => "DCTDecode",
        };
        let bytes = document(image(small, vec![0; 192]), image(jpeg, b"not a picture".to_vec()));
        let folder = tempfile::tempdir().unwrap();
        let told = program(folder.path(), "cat");
        assert_eq!(texts(&bytes, &told), ["", "not a picture"]);
        let broken = program(folder.path(), "cat; exit 1");
        assert_eq!(texts(&bytes, &broken), ["", ""]);
        assert_eq!(texts(&bytes, Path::new("/nowhere/tesseract")), ["", ""]);
        assert!(texts(b"no PDF", &broken).is_empty());
    }

    #[test]
    fn fax_data_gets_a_header() {
        let parameters = dictionary! { "K" => -1, "Columns" => 40, "Rows" => 30 };
        let page = dictionary! {
            "Width" => 40, "Height" => 30, "ColorSpace" => "DeviceGray", "BitsPerComponent" => 1,
            "Filter" => vec![Object::from("CCITTFaxDecode")], "DecodeParms" => vec![Object::from(parameters)],
        };
        let other = dictionary! {
            "Width" => 40, "Height" => 30, "BitsPerComponent" => 1, "Filter" => "CCITTFaxDecode",
            "DecodeParms" => dictionary! { "K" => 0 },
        };
        let bytes = document(image(page, b"fax!".to_vec()), image(other, b"fax?".to_vec()));
        let folder = tempfile::tempdir().unwrap();
        let told = program(folder.path(), "od -An -v -tx1 | tr -d ' \\n'");
        let texts = texts(&bytes, &told);
        assert_eq!(texts[0], texts[1]);
        assert_eq!(texts[0].len(), 2 * (8 + 4 + 2 + 8 * 12 + 4));
        assert!(
            texts[0].starts_with("49492a000c0000006661782108000001040001000000280000000101"),
            "{}",
            texts[0]
        );
    }
}
