//! Docling: a form in, Markdown out, with a mark between pages.

use std::collections::BTreeSet;

use oui_config::loaders;
use reqwest::multipart::Form;
use serde_json::Value;

use super::{Job, Result};
use crate::{Document, LoadError};

/// Asked for between pages: a form feed, which no text has.
const PAGE_BREAK: &str = "\u{c}";

impl Job<'_> {
    pub(super) async fn docling(&self) -> Result<Vec<Document>> {
        let base = self.config.get(&loaders::DOCLING_SERVER_URL);
        let own = match self.config.get(&loaders::DOCLING_PARAMS) {
            Value::Object(own) => own,
            _ => serde_json::Map::new(),
        };
        let mut form = Form::new().part("files", self.part().await?);
        for (name, value) in [
            ("image_export_mode", "placeholder"),
            ("md_page_break_placeholder", PAGE_BREAK),
            ("to_formats", "md"),
            ("to_formats", "json"),
        ] {
            if !own.contains_key(name) {
                form = form.text(name, value);
            }
        }
        for (name, value) in own {
            let values = match value {
                Value::Array(values) => values,
                value => vec![value],
            };
            for value in values {
                form = form.text(
                    name.clone(),
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                );
            }
        }
        let mut request = self
            .client
            .post(format!("{}/v1/convert/file", base.trim_end_matches('/')))
            .multipart(form);
        let key = self.config.get(&loaders::DOCLING_API_KEY);
        if !key.is_empty() {
            request = request.header("X-Api-Key", key);
        }
        let answer = self.json(request, "Error calling Docling").await?;
        // Failed conversions have a good status, too.
        if let Some(status @ ("failure" | "skipped")) = answer["status"].as_str() {
            let errors = answer["errors"].as_array().into_iter().flatten();
            let errors: Vec<&str> = errors
                .filter_map(|error| error["error_message"].as_str())
                .collect();
            let errors = if errors.is_empty() {
                "no error message provided".into()
            } else {
                errors.join("; ")
            };
            return Err(LoadError::new(format!(
                "Error calling Docling: conversion status {status} - {errors}"
            )));
        }
        let document = |text: &str| {
            let document = Document::new(text);
            match self.source.content_type {
                Some(kind) => document.with("Content-Type", kind),
                None => document,
            }
        };
        let text = answer["document"]["md_content"]
            .as_str()
            .filter(|text| !text.is_empty());
        let text = text.unwrap_or("<No text content found>");
        let parts: Vec<&str> = text.split(PAGE_BREAK).collect();
        let mut numbers: Vec<i64> = numbers(&answer["document"]["json_content"]).into_iter().collect();
        if numbers.len() != parts.len() {
            numbers = (0..).take(parts.len()).collect();
        }
        let pages: Vec<Document> = numbers
            .into_iter()
            .zip(&parts)
            .filter(|(_, part)| parts.len() > 1 && !part.trim().is_empty())
            .map(|(number, part)| document(part.trim()).with("page", number))
            .collect();
        Ok(if pages.is_empty() {
            vec![document(text)]
        } else {
            pages
        })
    }
}

/// Numbers of the pages that have something on them: blank ones leave no mark in the text.
fn numbers(content: &Value) -> BTreeSet<i64> {
    ["texts", "tables", "pictures", "key_value_items", "form_items"]
        .iter()
        .filter_map(|kind| content[*kind].as_array())
        .flatten()
        .filter(|item| item["content_layer"].as_str() == Some("body"))
        .filter_map(|item| Some(item["prov"][0]["page_no"].as_i64()? - 1))
        .collect()
}
