//! The part of the area `retrieval` that works on files again: after a change of the settings, or with other text.

use axum::Json;
use oui_core::form::Issues;
use oui_core::notice::preview;
use oui_core::{ApiError, ApiResult, Field, form};
use oui_loaders::Document;
use oui_loaders::ingest::{ProcessFile, SaveOptions};
use oui_loaders::texts::{self, text_hash};
use oui_models::files;
use oui_web::body::Body;
use oui_web::{Area, Caller, Verified, endpoints};
use serde_json::{Map, Value, json};

pub(crate) fn area() -> Area {
    endpoints! { "retrieval" at "/api/v1/retrieval";
        POST "/process/file"        Verified => process_file,
        POST "/process/text"        Verified => process_text,
        POST "/process/files/batch" Verified => process_batch,
    }
}

form! {
    struct ProcessFileForm {
        file_id: String,
        content: Option<String>,
        collection_name: Option<String>,
    }
}

async fn process_file(caller: Caller<Verified>, body: Body<ProcessFileForm>) -> ApiResult<Json<Value>> {
    let ProcessFileForm {
        file_id,
        content,
        collection_name,
    } = body.form;
    let job = ProcessFile {
        file_id: file_id.clone(),
        content: content.filter(|text| !text.is_empty()),
        collection_name,
    };
    let done = caller.app().ingest.process_file(caller.user(), job).await?;
    files::set_completed(caller.db(), &file_id).await?;
    Ok(Json(json!({
        "status": true, "collection_name": done.collection_name, "filename": done.filename, "content": done.content,
    })))
}

form! {
    struct ProcessTextForm {
        name: String,
        content: String,
        collection_name: Option<String>,
    }
}

/// Makes a text findable that belongs to no file.
async fn process_text(caller: Caller<Verified>, body: Body<ProcessTextForm>) -> ApiResult<Json<Value>> {
    let form = body.form;
    let name = form.name;
    let ingest = &caller.app().ingest;
    let collection = match form.collection_name {
        Some(name) => {
            ingest.demand_collection(caller.user(), &name).await?;
            name
        }
        None => text_hash(&form.content),
    };
    let document = Document::new(form.content.clone())
        .with("name", name.as_str())
        .with("created_by", caller.id());
    let options = SaveOptions {
        split: true,
        ..SaveOptions::default()
    };
    ingest
        .save(caller.user(), vec![document], &collection, options)
        .await
        .map_err(ApiError::internal)?;
    let news = json!({ "name": name, "content_preview": preview(&form.content) });
    let about = ("retrieval.collection", collection.as_str());
    caller.tell_of("retrieval.content.processed", about, news);
    Ok(Json(
        json!({ "status": true, "collection_name": collection, "content": form.content }),
    ))
}

/// A file as the batch names it.
#[derive(Debug, Clone)]
struct BatchFile {
    id: String,
    content: String,
}

form! {
    struct BatchFileForm {
        id: String,
        user_id: String,
        filename: String,
        data: Option<Map<String, Value>>,
        meta: Option<Map<String, Value>>,
        created_at: Option<i64>,
        updated_at: Option<i64>,
    }
}

impl Field for BatchFile {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let form = BatchFileForm::parse(input, issues)?;
        let content = form
            .data
            .as_ref()
            .and_then(|data| data.get("content")?.as_str().map(str::to_owned));
        Some(Self {
            id: form.id,
            content: content.unwrap_or_default(),
        })
    }

    fn schema() -> Value {
        BatchFileForm::schema()
    }
}

form! {
    struct BatchForm {
        files: Vec<BatchFile>,
        collection_name: String,
    }
}

/// Puts the texts of several files into a collection. A file that can not be put there is reported and left out.
async fn process_batch(caller: Caller<Verified>, body: Body<BatchForm>) -> ApiResult<Json<Value>> {
    let BatchForm {
        files,
        collection_name,
    } = body.form;
    if !collection_name.is_empty() {
        caller
            .app()
            .ingest
            .demand_collection(caller.user(), &collection_name)
            .await?;
    }
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match put(&caller, &file, &collection_name).await {
            Ok(()) => results.push(json!({ "file_id": file.id, "status": "completed", "error": null })),
            Err(error) => {
                errors.push(json!({ "file_id": file.id, "status": "failed", "error": error.detail_text() }));
            }
        }
    }
    let news = json!({ "count": results.len(), "errors": errors.len() });
    let about = ("retrieval.collection", collection_name);
    caller.tell_of("retrieval.content.processed", about, news);
    Ok(Json(json!({ "results": results, "errors": errors })))
}

async fn put(caller: &Caller<Verified>, file: &BatchFile, collection: &str) -> ApiResult<()> {
    let row = files::by_id(caller.db(), &file.id)
        .await?
        .ok_or_else(|| ApiError::bad_request("File not found"))?;
    if row.user_id != caller.id() && !caller.is_admin() {
        return Err(ApiError::bad_request("Permission denied: not file owner"));
    }
    let hash = text_hash(&file.content);
    let mut options = SaveOptions {
        add: true,
        split: true,
        ..SaveOptions::default()
    };
    for (name, value) in [("file_id", &row.id), ("name", &row.filename), ("hash", &hash)] {
        options.metadata.insert(name.into(), json!(value));
    }
    let document = texts::whole(&row, file.content.replace("<br/>", "\n"));
    caller
        .app()
        .ingest
        .save(caller.user(), vec![document], collection, options)
        .await?;
    files::set_content(caller.db(), &row.id, &file.content).await?;
    files::set_indexed(caller.db(), &row.id, &hash, None).await?;
    Ok(())
}
