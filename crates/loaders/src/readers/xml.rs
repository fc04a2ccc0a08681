//! Walking through XML: begins and ends of elements by local name, and text.

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

use super::Result;
use crate::LoadError;

/// What a walk meets.
pub(super) enum Met<'a> {
    /// An element begins (an empty one begins and ends).
    Begin(&'a str, &'a BytesStart<'a>),
    /// An element ends.
    End(&'a str),
    /// Text, with references resolved.
    Text(&'a str),
}

/// Walks through a document. Entities of the document's own are not resolved, so nothing can unfold.
pub(super) fn walk(source: &[u8], mut meet: impl FnMut(Met<'_>)) -> Result<()> {
    let text = super::text::decode(source);
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = false;
    let damaged = |error: &dyn std::fmt::Display| LoadError::new(format!("The document is damaged: {error}"));
    loop {
        match reader.read_event().map_err(|error| damaged(&error))? {
            Event::Start(start) => {
                meet(Met::Begin(local(start.name().into_inner()), &start));
            }
            Event::Empty(start) => {
                meet(Met::Begin(local(start.name().into_inner()), &start));
                meet(Met::End(local(start.name().into_inner())));
            }
            Event::End(end) => meet(Met::End(local(end.name().into_inner()))),
            Event::Text(text) => meet(Met::Text(&text.xml10_content())),
            Event::CData(data) => meet(Met::Text(&data.xml10_content())),
            Event::GeneralRef(reference) => {
                if let Ok(Some(c)) = reference.resolve_char_ref() {
                    meet(Met::Text(c.encode_utf8(&mut [0; 4])));
                } else {
                    let name = reference.xml10_content();
                    meet(Met::Text(resolve_predefined_entity(&name).unwrap_or_default()));
                }
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// Value of an attribute by local name.
pub(super) fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    start
        .attributes()
        .flatten()
        .find(|attribute| local(attribute.key.into_inner()) == name)
        .and_then(|attribute| Some(unescape(&attribute.value).ok()?.into_owned()))
}

/// Name without the prefix of its namespace.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or_default()
}
