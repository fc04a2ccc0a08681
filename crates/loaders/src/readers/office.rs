//! Texts and slides of office programs and electronic books: ZIP archives of XML.

use std::collections::HashMap;

use super::archive::Parts;
use super::xml::{Met, attribute, walk};
use super::{Result, html, text};
use crate::{Document, LoadError};

/// Number in a part's name: `word/header12.xml`, `ppt/slides/slide3.xml`.
fn number(name: &str, before: &str) -> Option<u32> {
    name.strip_prefix(before)?.strip_suffix(".xml")?.parse().ok()
}

/// A text document: headers, the text, footers.
pub(super) fn docx(bytes: Vec<u8>) -> Result<Vec<Document>> {
    let mut parts = Parts::open(bytes)?;
    let names = parts.names();
    let numbered = |before: &str| {
        names
            .iter()
            .filter(|name| number(name, before).is_some())
            .cloned()
            .collect()
    };
    let headers: Vec<String> = numbered("word/header");
    let footers: Vec<String> = numbered("word/footer");
    let mut text = String::new();
    for name in headers {
        word_text(&parts.need(&name)?, &mut text)?;
    }
    word_text(&parts.need("word/document.xml")?, &mut text)?;
    for name in footers {
        word_text(&parts.need(&name)?, &mut text)?;
    }
    Ok(vec![Document::new(text.trim())])
}

fn word_text(xml: &[u8], text: &mut String) -> Result<()> {
    let mut in_text = false;
    walk(xml, |met| match met {
        Met::Begin("t", _) => in_text = true,
        Met::End("t") => in_text = false,
        Met::Begin("tab", _) => text.push('\t'),
        Met::Begin("br" | "cr", _) => text.push('\n'),
        Met::Begin("p", _) => text.push_str("\n\n"),
        Met::Text(piece) if in_text => text.push_str(piece),
        _ => {}
    })
}

/// Slides: the texts of their shapes, tables included.
pub(super) fn pptx(bytes: Vec<u8>) -> Result<Vec<Document>> {
    let mut parts = Parts::open(bytes)?;
    let order = slide_order(&mut parts)?;
    let mut slides = Vec::new();
    for (index, name) in order.iter().enumerate() {
        let Some(xml) = parts.find(name)? else { continue };
        let shapes = shape_texts(&xml)?;
        if !shapes.is_empty() {
            slides.push(format!("Slide {}:\n{}", index + 1, shapes.join("\n")));
        }
    }
    Ok(vec![Document::new(slides.join("\n\n"))])
}

/// Names of the slides as they are shown; their numbers in the archive are those of their making.
fn slide_order(parts: &mut Parts) -> Result<Vec<String>> {
    let mut targets = HashMap::new();
    if let Some(relations) = parts.find("ppt/_rels/presentation.xml.rels")? {
        walk(&relations, |met| {
            if let Met::Begin("Relationship", start) = met
                && let (Some(id), Some(target)) = (attribute(start, "Id"), attribute(start, "Target"))
            {
                let target = match target.strip_prefix('/') {
                    Some(absolute) => absolute.to_owned(),
                    None => format!("ppt/{target}"),
                };
                targets.insert(id, target);
            }
        })?;
    }
    let mut order = Vec::new();
    if let Some(presentation) = parts.find("ppt/presentation.xml")? {
        walk(&presentation, |met| {
            if let Met::Begin("sldId", start) = met {
                // Both `id` and `r:id` are there; the relation's is the one that is known.
                let known = start
                    .attributes()
                    .flatten()
                    .find_map(|attribute| targets.get(attribute.value.as_ref()).cloned());
                order.extend(known);
            }
        })?;
    }
    if order.is_empty() {
        let mut names: Vec<(u32, String)> = parts
            .names()
            .into_iter()
            .filter_map(|name| Some((number(&name, "ppt/slides/slide")?, name)))
            .collect();
        names.sort();
        order = names.into_iter().map(|(_, name)| name).collect();
    }
    Ok(order)
}

fn shape_texts(xml: &[u8]) -> Result<Vec<String>> {
    let mut shapes: Vec<String> = Vec::new();
    let mut body: Option<String> = None;
    let mut in_text = false;
    walk(xml, |met| match met {
        Met::Begin("txBody", _) => body = Some(String::new()),
        Met::End("txBody") => shapes.extend(body.take()),
        Met::Begin("p", _) => {
            if let Some(text) = body.as_mut().filter(|text| !text.is_empty()) {
                text.push('\n');
            }
        }
        Met::Begin("br", _) => {
            if let Some(text) = &mut body {
                text.push('\u{b}');
            }
        }
        Met::Begin("t", _) => in_text = true,
        Met::End("t") => in_text = false,
        Met::Text(piece) if in_text => {
            if let Some(text) = &mut body {
                text.push_str(piece);
            }
        }
        _ => {}
    })?;
    Ok(shapes)
}

/// A text document in the open format.
pub(super) fn odt(bytes: Vec<u8>) -> Result<Vec<Document>> {
    let xml = Parts::open(bytes)?.need("content.xml")?;
    let mut text = String::new();
    let mut depth = 0_u32;
    walk(&xml, |met| match met {
        Met::Begin("p" | "h", _) => depth += 1,
        Met::End("p" | "h") => {
            depth = depth.saturating_sub(1);
            text.push_str("\n\n");
        }
        Met::Begin("tab", _) => text.push('\t'),
        Met::Begin("line-break", _) => text.push('\n'),
        Met::Begin("s", start) => {
            let count = attribute(start, "c")
                .and_then(|count| count.parse().ok())
                .unwrap_or(1);
            text.extend(std::iter::repeat_n(' ', usize::min(count, 1000)));
        }
        Met::Text(piece) if depth > 0 => text.push_str(piece),
        _ => {}
    })?;
    Ok(vec![Document::new(text.trim())])
}

/// A book: its pages in the order of reading.
pub(super) fn epub(bytes: Vec<u8>) -> Result<Vec<Document>> {
    let mut parts = Parts::open(bytes)?;
    let container = parts.need("META-INF/container.xml")?;
    let mut package = None;
    walk(&container, |met| {
        if let Met::Begin("rootfile", start) = met
            && package.is_none()
        {
            package = attribute(start, "full-path");
        }
    })?;
    let package = package.ok_or_else(|| LoadError::new("The book is damaged: it has no contents"))?;
    let folder = package
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder)
        .to_owned();
    let mut items = HashMap::new();
    let mut spine = Vec::new();
    let mut title = String::new();
    let mut in_title = false;
    walk(&parts.need(&package)?, |met| match met {
        Met::Begin("item", start) => {
            if let (Some(id), Some(target)) = (attribute(start, "id"), attribute(start, "href")) {
                items.insert(id, target);
            }
        }
        Met::Begin("itemref", start) => spine.extend(attribute(start, "idref")),
        Met::Begin("title", _) => in_title = title.is_empty(),
        Met::End("title") => in_title = false,
        Met::Text(piece) if in_title => title.push_str(piece),
        _ => {}
    })?;
    let mut pages = Vec::new();
    for id in spine {
        let Some(target) = items.get(&id) else { continue };
        let target = percent_encoding::percent_decode_str(target).decode_utf8_lossy();
        let name = match folder.as_str() {
            "" => target.into_owned(),
            folder => format!("{folder}/{target}"),
        };
        if let Some(page) = parts.find(&name)? {
            let (text, _) = html::page(&text::decode(&page));
            let text = text.trim();
            if !text.is_empty() {
                pages.push(text.to_owned());
            }
        }
    }
    Ok(vec![Document::new(pages.join("\n\n")).with("title", title)])
}
