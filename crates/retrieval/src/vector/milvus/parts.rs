//! The parts that messages to Milvus are made of, and rows out of the columns of its answers.

use serde_json::{Value, json};

use super::wire::{self, Column, FieldData, Pair, Values};
use super::{Entry, FLOAT_VECTOR, Filter, JSON, LONGEST, Place, TENANT, VARCHAR};
use crate::vector::rows::entry;

/// What is looked for: one value.
pub(super) fn sought(kind: i32, value: Vec<u8>) -> wire::Placeholders {
    wire::Placeholders {
        placeholders: vec![wire::Placeholder {
            tag: "$0".into(),
            kind,
            values: vec![value],
        }],
    }
}

pub(super) fn placeholders(vector: &[f32]) -> wire::Placeholders {
    let bytes = vector.iter().flat_map(|number| number.to_le_bytes());
    sought(FLOAT_VECTOR, bytes.collect())
}

pub(super) fn pairs(list: &[(&str, &str)]) -> Vec<Pair> {
    let pair = |(key, value): &(&str, &str)| Pair {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    list.iter().map(pair).collect()
}

pub(super) fn field(name: &str, data_type: i32, params: &[(&str, &str)]) -> wire::Field {
    wire::Field {
        name: name.to_owned(),
        data_type,
        type_params: pairs(params),
        ..wire::Field::default()
    }
}

/// The fields of an entry. Shared collections take no field that they were not made with.
pub(super) fn outputs(place: &Place) -> Vec<String> {
    let fields: &[&str] = match place.tenant {
        Some(_) => &["id", "text", "metadata"],
        None => &["id", "text", "data", "metadata"],
    };
    fields.iter().map(|field| (*field).to_owned()).collect()
}

/// Whether a server of this version makes an index of words by itself.
pub(super) fn knows_words(version: &str) -> bool {
    let mut numbers = version
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (2, 5)
}

/// A text that is not too long, cut between letters.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

/// The filter as an expression; with `after`, of entries whose ids come after that one.
pub(super) fn expression(place: &Place, filter: &Filter, after: Option<&str>) -> String {
    let tenant = place.tenant.iter();
    let mut all: Vec<String> = tenant
        .map(|tenant| format!("{TENANT} == {}", json!(tenant)))
        .collect();
    all.extend(filter.terms(
        |ids| format!("id in {}", json!(ids)),
        |name, values| {
            let one = |value: &Value| format!("metadata[{}] == {value}", json!(name));
            let any: Vec<String> = values.iter().map(one).collect();
            format!("({})", any.join(" or "))
        },
    ));
    all.extend(after.map(|after| format!("id > {}", json!(after))));
    all.join(" and ")
}

pub(super) fn texts(name: &str, data: Vec<String>) -> FieldData {
    let values = Values::Texts(wire::Texts { data });
    scalars(name, VARCHAR, values)
}

pub(super) fn jsons(name: &str, data: Vec<Value>) -> FieldData {
    let data = data.iter().map(|value| value.to_string().into_bytes()).collect();
    scalars(name, JSON, Values::Jsons(wire::Jsons { data }))
}

pub(super) fn scalars(name: &str, data_type: i32, values: Values) -> FieldData {
    FieldData {
        data_type,
        field_name: name.to_owned(),
        field: Some(Column::Scalars(wire::Scalars { data: Some(values) })),
    }
}

/// The rows of an answer, which comes in columns.
pub(super) fn rows(columns: &[FieldData], ids: Option<&wire::Ids>) -> Vec<Entry> {
    let value = |name: &str, place: usize| {
        let column = columns.iter().find(|column| column.field_name == name)?;
        wire::value(column, place)
    };
    let entry = |place: usize| {
        let id = match ids {
            Some(ids) => ids.at(place),
            None => value("id", place)?,
        };
        let text = value("text", place).or_else(|| Some(value("data", place)?["text"].take()));
        let metadata = value("metadata", place).unwrap_or_default();
        entry(&id, &text.unwrap_or_default(), metadata.as_object().cloned())
    };
    (0..).map_while(entry).collect()
}
