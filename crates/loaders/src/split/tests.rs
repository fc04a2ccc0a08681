//! Chunks against those of the Python libraries, recorded in `data/split.json` for the text `data/split.md`.

use serde_json::{Value, json};

use super::*;

const TEXT: &str = include_str!("../../data/split.md");

fn recorded() -> Value {
    serde_json::from_str(include_str!("../../data/split.json")).unwrap()
}

fn settings() -> SplitSettings {
    SplitSettings {
        splitter: String::new(),
        markdown_headers: false,
        encoding: "cl100k_base".into(),
        chunk_size: 1000,
        min_size: 0,
        overlap: 100,
    }
}

#[test]
fn sections_are_those_recorded() {
    assert_eq!(json!(markdown::sections(TEXT)), recorded()["sections"]);
}

#[test]
fn chunks_and_their_places_are_those_recorded() {
    for (size, overlap) in [(100, 10), (200, 50), (1000, 100)] {
        let settings = SplitSettings {
            chunk_size: size,
            overlap,
            ..settings()
        };
        let chunks = split(vec![Document::new(TEXT).with("name", "x")], &settings, None).unwrap();
        assert!(chunks.iter().all(|chunk| chunk.metadata["name"] == "x"));
        let chunks: Vec<Value> = chunks
            .iter()
            .map(|chunk| json!([chunk.text, chunk.metadata["start_index"]]))
            .collect();
        assert_eq!(json!(chunks), recorded()[format!("character {size} {overlap}")]);
    }
}

#[test]
fn small_sections_are_merged() {
    let settings = SplitSettings {
        markdown_headers: true,
        min_size: 40,
        chunk_size: 60,
        overlap: 0,
        ..settings()
    };
    let text = "# A\naaaa\n\n# B\nbbbb\n\n# C\ncccc cccc cccc cccc cccc cccc cccc cccc";
    let chunks = split(vec![Document::new(text)], &settings, None).unwrap();
    let texts: Vec<&str> = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "# A\naaaa\n\n# B\nbbbb",
            "# C\ncccc cccc cccc cccc cccc cccc cccc cccc"
        ]
    );
}

#[test]
fn tokens_are_cut_in_windows() {
    let settings = SplitSettings {
        splitter: "token".into(),
        chunk_size: 4,
        overlap: 1,
        ..settings()
    };
    let text = "one two three four five six seven";
    let chunks = split(vec![Document::new(text)], &settings, None).unwrap();
    let texts: Vec<&str> = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(texts, ["one two three four", " four five six seven"]);
    let refused = |settings: SplitSettings| split(Vec::new(), &settings, None).unwrap_err().to_string();
    assert_eq!(
        refused(SplitSettings {
            splitter: "words".into(),
            ..settings.clone()
        }),
        "[ERROR: Invalid text splitter]"
    );
    assert_eq!(
        refused(SplitSettings {
            encoding: "x".into(),
            ..settings.clone()
        }),
        "Unknown encoding x."
    );
    let tight = SplitSettings {
        overlap: 4,
        ..settings
    };
    assert!(split(vec![Document::new(text)], &tight, None).is_err());
}

#[test]
fn another_tokenizer_can_measure() {
    let settings = SplitSettings {
        splitter: "token_transformers".into(),
        chunk_size: 3,
        overlap: 0,
        ..settings()
    };
    let words = |text: &str| text.split_whitespace().count();
    let chunks = split(vec![Document::new("a b c d e")], &settings, Some(&words)).unwrap();
    let texts: Vec<&str> = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(texts, ["a b c", "d e"]);
    assert!(split(Vec::new(), &settings, None).is_err());
}
