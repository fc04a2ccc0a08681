//! Vectors and scores beside those that sentence-transformers computed from the same files. The small models have
//! random weights; the real one is tried where it is installed.
#![expect(clippy::unwrap_used, reason = "a failure is the test's failure")]

use std::path::{Path, PathBuf};

use oui_encoder::{CrossEncoder, SentenceEncoder};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    #[serde(default)]
    vectors: Vec<Vec<f32>>,
    #[serde(default)]
    question: String,
    #[serde(default)]
    sigmoid: Vec<f32>,
    #[serde(default)]
    raw: Vec<f32>,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn golden(path: &Path) -> Golden {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn close(ours: &[f32], theirs: &[f32], tolerance: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (place, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (a - b).abs() <= tolerance,
            "{what}, number {place}: {a} instead of {b}"
        );
    }
}

fn check(folder: &Path, golden: &Golden, tolerance: f32) {
    let encoder = SentenceEncoder::load(folder, 2).unwrap();
    let vectors = encoder.encode(&golden.texts).unwrap();
    for ((text, ours), theirs) in golden.texts.iter().zip(&vectors).zip(&golden.vectors) {
        close(ours, theirs, tolerance, text);
    }
    // A text alone has the vector that it has among others.
    let alone = encoder.encode(&golden.texts[..1]).unwrap();
    close(&alone[0], &vectors[0], 1e-6, "alone");
    assert!(encoder.encode(&[]).unwrap().is_empty());
    assert_eq!(encoder.dimension(), golden.vectors[0].len());
}

#[test]
fn sentences_by_mean_and_by_first_token() {
    for name in ["tiny-mean", "tiny-cls"] {
        let folder = data(name);
        check(&folder, &golden(&folder.join("golden.json")), 1e-5);
    }
}

#[test]
fn pairs_of_question_and_text() {
    let folder = data("tiny-cross");
    let golden = golden(&folder.join("golden.json"));
    let encoder = CrossEncoder::load(&folder, true, 2).unwrap();
    let scores = encoder.scores(&golden.question, &golden.texts).unwrap();
    close(&scores, &golden.sigmoid, 1e-5, "sigmoid");
    // The scores before the logistic function tell more.
    let raw: Vec<f32> = scores.iter().map(|score| (score / (1.0 - score)).ln()).collect();
    close(&raw, &golden.raw, 1e-3, "raw");
}

#[test]
fn the_default_model() {
    let mut caches = Vec::from_iter(std::env::var_os("OUI_TEST_MODELS").map(PathBuf::from));
    caches.extend(std::env::home_dir().map(|home| home.join(".cache/huggingface/hub")));
    match oui_encoder::find("sentence-transformers/all-MiniLM-L6-v2", &caches) {
        Ok(folder) => check(&folder, &golden(&data("all-minilm-l6-v2.json")), 1e-4),
        Err(error) => eprintln!("skipped: {error}"),
    }
}

#[test]
fn what_is_no_model_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let error = SentenceEncoder::load(folder.path(), 1).err().unwrap();
    assert!(error.to_string().contains("config.json"), "{error}");
    let config = std::fs::read_to_string(data("tiny-mean/config.json")).unwrap();
    std::fs::write(
        folder.path().join("config.json"),
        config.replace("\"bert\"", "\"gpt2\""),
    )
    .unwrap();
    let error = SentenceEncoder::load(folder.path(), 1).err().unwrap();
    assert!(error.to_string().contains("gpt2"), "{error}");
}
