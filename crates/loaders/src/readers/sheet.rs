//! Spreadsheets, old and new: every sheet as a table of text under its name.

use std::io::Cursor;

use calamine::{Data, Range, Reader, open_workbook_auto_from_rs};

use super::Result;
use crate::{Document, LoadError};

pub(super) fn read(bytes: Vec<u8>) -> Result<Vec<Document>> {
    let damaged = |error: calamine::Error| LoadError::new(format!("The spreadsheet is damaged: {error}"));
    let mut book = open_workbook_auto_from_rs(Cursor::new(bytes)).map_err(damaged)?;
    let mut tables = Vec::new();
    for name in book.sheet_names() {
        let sheet = book.worksheet_range(&name).map_err(damaged)?;
        tables.push(format!("Sheet: {name}\n{}", table(&sheet)));
    }
    Ok(vec![Document::new(tables.join("\n\n"))])
}

/// The first row names the columns; empty cells are `NaN`, as tables of the Python world have them.
fn table(sheet: &Range<Data>) -> String {
    let mut rows = sheet.rows();
    let Some(header) = rows.next() else {
        return String::new();
    };
    let names = header.iter().enumerate().map(|(index, cell)| match cell {
        Data::Empty => format!("Unnamed: {index}"),
        cell => shown(cell),
    });
    let mut lines = vec![names.collect::<Vec<_>>().join(" ")];
    for row in rows {
        lines.push(row.iter().map(shown).collect::<Vec<_>>().join(" "));
    }
    lines.join("\n")
}

fn shown(cell: &Data) -> String {
    match cell {
        Data::Empty => "NaN".to_owned(),
        Data::Int(number) => number.to_string(),
        Data::Float(number) => number.to_string(),
        Data::String(text) => text.clone(),
        Data::Bool(true) => "True".to_owned(),
        Data::Bool(false) => "False".to_owned(),
        Data::DateTime(time) if time.is_datetime() => {
            let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
            let date = format!("{year:04}-{month:02}-{day:02}");
            match (hour, minute, second) {
                (0, 0, 0) => date,
                _ => format!("{date} {hour:02}:{minute:02}:{second:02}"),
            }
        }
        Data::DateTime(time) => time.as_f64().to_string(),
        Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        Data::Error(_) => "NaN".to_owned(),
    }
}
