//! Documents made here, small enough to see what has to come out.

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn text_of(name: &str, bytes: &[u8]) -> Result<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    let documents = read(&path, name, None, ReadSettings::default())?;
    Ok(documents
        .into_iter()
        .map(|document| document.text)
        .collect::<Vec<_>>()
        .join("|"))
}

#[test]
fn texts_of_office_programs() {
    let w = |body: &str| {
        format!("<?xml version=\"1.0\"?><w:document xmlns:w=\"w\"><w:body>{body}</w:body></w:document>")
    };
    let docx = archive(&[
        ("word/footer1.xml", &w("<w:p><w:r><w:t>Foot</w:t></w:r></w:p>")),
        (
            "word/document.xml",
            &w(
                "<w:p><w:r><w:t>One &amp; </w:t><w:tab/><w:t>two</w:t></w:r></w:p><w:p><w:r><w:br/><w:instrText>no</w:instrText><w:t>x</w:t></w:r></w:p>",
            ),
        ),
        ("word/header1.xml", &w("<w:p><w:r><w:t>Head</w:t></w:r></w:p>")),
    ]);
    assert_eq!(
        text_of("A.DOCX", &docx).unwrap(),
        "Head\n\nOne & \ttwo\n\n\nx\n\nFoot"
    );
    let odt = archive(&[(
        "content.xml",
        "<o:doc xmlns:o=\"o\" xmlns:t=\"t\"><t:h>Head</t:h><t:p>One<t:s t:c=\"2\"/>two<t:tab/>&#233;</t:p><o:x>no</o:x></o:doc>",
    )]);
    assert_eq!(text_of("a.odt", &odt).unwrap(), "Head\n\nOne  two\té");
}

#[test]
fn slides_in_the_order_of_the_show() {
    let slide = |text: &str| {
        format!(
            "<p:sld xmlns:p=\"p\" xmlns:a=\"a\"><p:sp><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p><a:p><a:r><a:t>more</a:t></a:r></a:p></p:txBody></p:sp></p:sld>"
        )
    };
    let pptx = archive(&[
        ("ppt/slides/slide1.xml", &slide("last")),
        ("ppt/slides/slide2.xml", &slide("first")),
        (
            "ppt/presentation.xml",
            "<p:p xmlns:p=\"p\" xmlns:r=\"r\"><p:sldIdLst><p:sldId id=\"256\" r:id=\"rId9\"/><p:sldId id=\"257\" r:id=\"rId3\"/></p:sldIdLst></p:p>",
        ),
        (
            "ppt/_rels/presentation.xml.rels",
            "<R><Relationship Id=\"rId3\" Target=\"slides/slide1.xml\"/><Relationship Id=\"rId9\" Target=\"/ppt/slides/slide2.xml\"/></R>",
        ),
    ]);
    assert_eq!(
        text_of("a.pptx", &pptx).unwrap(),
        "Slide 1:\nfirst\nmore\n\nSlide 2:\nlast\nmore"
    );
}

#[test]
fn books_in_the_order_of_reading() {
    let epub = archive(&[
        (
            "META-INF/container.xml",
            "<c><rootfiles><rootfile full-path=\"OPS/book.opf\"/></rootfiles></c>",
        ),
        (
            "OPS/book.opf",
            "<p><metadata><dc:title xmlns:dc=\"d\">Book</dc:title></metadata><manifest><item id=\"b\" href=\"two%20b.xhtml\"/><item id=\"a\" href=\"one.xhtml\"/></manifest><spine><itemref idref=\"a\"/><itemref idref=\"b\"/></spine></p>",
        ),
        ("OPS/two b.xhtml", "<html><body><p>second</p></body></html>"),
        ("OPS/one.xhtml", "<html><body><p>first</p></body></html>"),
    ]);
    assert_eq!(text_of("a.epub", &epub).unwrap(), "first\n\nsecond");
}

#[test]
fn damaged_files_are_refused() {
    for name in [
        "a.docx", "a.pptx", "a.xlsx", "a.xls", "a.odt", "a.epub", "a.pdf", "a.doc", "a.ppt",
    ] {
        let error = text_of(name, b"this is something else").unwrap_err().to_string();
        assert!(error.contains("damaged"), "{name}: {error}");
    }
    let bomb = archive(&[("word/document.xml", &"0".repeat(30 * 1024 * 1024))]);
    assert_eq!(
        text_of("a.docx", &bomb).unwrap_err().to_string(),
        "Document archive is too large after decompression"
    );
}

#[test]
fn a_pdf_has_pages_and_facts() {
    let pdf = include_bytes!("../../data/two-pages.pdf");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, pdf).unwrap();
    let pages = read(&path, "a.pdf", None, ReadSettings::default()).unwrap();
    assert_eq!(pages.len(), 2);
    assert_eq!(pages[0].text, "First page, a café.");
    assert_eq!(pages[1].text, "Second page.");
    assert_eq!(pages[1].metadata["page"], 1);
    assert_eq!(pages[1].metadata["page_label"], "2");
    assert_eq!(pages[1].metadata["total_pages"], 2);
    assert_eq!(pages[0].metadata["title"], "Two pages");
    let settings = ReadSettings {
        single_page: true,
        ..ReadSettings::default()
    };
    let whole = read(&path, "a.pdf", None, settings).unwrap();
    assert_eq!(whole[0].text, "First page, a café.\n\u{c}Second page.");
}

#[test]
fn code_and_unknown_files_are_text() {
    assert_eq!(text_of("main.rs", b"fn main() {}").unwrap(), "fn main() {}");
    assert_eq!(text_of("README", b"read me").unwrap(), "read me");
    assert_eq!(text_of("a.xml", b"<a>b</a>").unwrap(), "<a>b</a>");
}
