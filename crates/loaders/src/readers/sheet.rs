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
    let decimals: Vec<Option<usize>> = (0..header.len())
        .map(|column| decimals(rows.clone().filter_map(|row| row.get(column))))
        .collect();
    for row in rows {
        let cell = |(cell, decimals): (&Data, &Option<usize>)| match (number(cell), decimals) {
            (Some(number), Some(decimals)) => format!("{number:.decimals$}"),
            _ => shown(cell),
        };
        lines.push(row.iter().zip(&decimals).map(cell).collect::<Vec<_>>().join(" "));
    }
    lines.join("\n")
}

fn number(cell: &Data) -> Option<f64> {
    match cell {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a spreadsheet's numbers are floating ones anyway"
        )]
        Data::Int(number) => Some(*number as f64),
        Data::Float(number) => Some(*number),
        _ => None,
    }
}

/// With how many decimals a column of numbers is written: all of it with as many as one of them needs, six at most.
/// None for whole numbers and for what is not only numbers. A gap makes a column of whole numbers one of fractions.
fn decimals<'c>(cells: impl Iterator<Item = &'c Data>) -> Option<usize> {
    let (mut needed, mut gaps, mut numbers) = (0, false, false);
    for cell in cells {
        match number(cell) {
            Some(number) => {
                let text = format!("{number:.6}");
                let fraction = text.trim_end_matches('0').rsplit_once('.')?.1.len();
                needed = needed.max(fraction);
                numbers = true;
            }
            None if matches!(cell, Data::Empty) => gaps = true,
            None => return None,
        }
    }
    (numbers && (gaps || needed > 0)).then(|| needed.max(1))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_fractions_have_one_form() {
        let rows = [
            ["name", "count", "share", "gap", "mixed"].map(|name| Data::String(name.into())),
            [
                Data::String("a".into()),
                Data::Float(3.0),
                Data::Float(0.5),
                Data::Int(1),
                Data::Float(1.5),
            ],
            [
                Data::String("b".into()),
                Data::Float(4.0),
                Data::Float(1.25),
                Data::Empty,
                Data::String("x".into()),
            ],
        ];
        let cells = rows.iter().enumerate().flat_map(|(r, row)| {
            row.iter().enumerate().map(move |(c, cell)| {
                let place = (u32::try_from(r).unwrap(), u32::try_from(c).unwrap());
                calamine::Cell::new(place, cell.clone())
            })
        });
        let sheet = Range::from_sparse(cells.collect());
        assert_eq!(
            table(&sheet),
            "name count share gap mixed\na 3 0.50 1.0 1.5\nb 4 1.25 NaN x"
        );
    }
}
