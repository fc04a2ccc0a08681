//! Tables as text: one document per row, each value with the name of its column.

use csv::ReaderBuilder;

use super::{Result, text};
use crate::{Document, LoadError};

pub(super) fn read(bytes: &[u8]) -> Result<Vec<Document>> {
    let text = text::decode(bytes);
    let mut reader = ReaderBuilder::new()
        .flexible(true)
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut rows = reader.records();
    let broken = |error: csv::Error| LoadError::new(format!("The table can not be read: {error}"));
    let Some(header) = rows.next() else {
        return Ok(Vec::new());
    };
    let header = header.map_err(broken)?;
    let mut documents = Vec::new();
    for (index, row) in rows.enumerate() {
        let row = row.map_err(broken)?;
        let mut lines: Vec<String> = header
            .iter()
            .enumerate()
            .map(|(at, name)| format!("{}: {}", name.trim(), row.get(at).map_or("None", str::trim)))
            .collect();
        // What stands beyond the last column has no name.
        let rest: Vec<&str> = row.iter().skip(header.len()).map(str::trim).collect();
        if !rest.is_empty() {
            lines.push(format!("None: {}", rest.join(",")));
        }
        documents.push(Document::new(lines.join("\n")).with("row", index));
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_their_columns() {
        let rows = read(b"name, age\r\n\"Ann, B\",3\nBob\nCy,4,5,6\n").unwrap();
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "name: Ann, B\nage: 3",
                "name: Bob\nage: None",
                "name: Cy\nage: 4\nNone: 5,6"
            ]
        );
        assert_eq!(rows[2].metadata["row"], 2);
        assert!(read(b"").unwrap().is_empty());
    }
}
