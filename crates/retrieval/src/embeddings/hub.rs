//! Models fetched by name from a server with the interface of the Hugging Face hub, into a folder with the layout of
//! its cache. A model that is there by half is nobody's: its files get their names when they are complete, and the
//! mark that makes the model known comes last.

use std::path::{Path, PathBuf};

use futures::StreamExt;
use reqwest::header::{AUTHORIZATION, LOCATION};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::error::{Error, Result};

/// Redirects that are followed for a file.
const REDIRECTS: usize = 5;

/// Bytes of a model at most.
const LARGEST: u64 = 20 << 30;

/// Where models come from and go to.
#[derive(Clone)]
pub struct Hub {
    /// Client that follows no redirects.
    pub client: reqwest::Client,
    /// Address of the server.
    pub url: String,
    /// Key for models that are not public.
    pub token: Option<String>,
    /// Folder for the models.
    pub folder: PathBuf,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes that are here.
    pub done: u64,
    /// Of so many, as far as the server tells.
    pub total: u64,
}

/// A file of a model.
struct Part {
    name: String,
    size: u64,
    /// SHA-256 of large files.
    sha256: Option<String>,
}

fn failed(text: impl std::fmt::Display) -> Error {
    Error::Model(format!("the model could not be fetched: {text}"))
}

/// Whether a file is needed to compute the model here.
fn is_needed(name: &str) -> bool {
    let plain = !name.contains("..") && !name.starts_with('/') && !name.contains('\\');
    let other = ["onnx/", "openvino/", "coreml/"]
        .iter()
        .any(|start| name.starts_with(start));
    let small = [".json", ".txt", ".model"].iter().any(|end| name.ends_with(end));
    plain && !other && (name == "model.safetensors" || small)
}

/// The full name: one without owner belongs to `sentence-transformers`.
fn full_name(model: &str) -> Result<String> {
    let full = match model.matches('/').count() {
        0 => format!("sentence-transformers/{model}"),
        _ => model.to_owned(),
    };
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    if full.split('/').count() == 2 && full.split('/').all(is_part) {
        Ok(full)
    } else {
        Err(failed(format_args!("{model:?} is no name of a model")))
    }
}

impl Hub {
    /// Fetches a model and tells `show` how far it is.
    pub async fn fetch(&self, model: &str, mut show: impl FnMut(Fetched) + Send) -> Result<()> {
        let full = full_name(model)?;
        let (revision, parts) = self.parts(&full).await?;
        let home = self.folder.join(format!("models--{}", full.replace('/', "--")));
        let snapshot = home.join("snapshots").join(&revision);
        let mut fetched = Fetched {
            done: 0,
            total: parts.iter().map(|part| part.size).sum(),
        };
        if fetched.total > LARGEST {
            return Err(failed("it is too large"));
        }
        show(fetched);
        // `config.json` makes a folder a model, so it comes last.
        let (last, first): (Vec<&Part>, Vec<&Part>) =
            parts.iter().partition(|part| part.name == "config.json");
        for part in first.into_iter().chain(last) {
            let target = snapshot.join(&part.name);
            if tokio::fs::metadata(&target).await.is_ok() {
                fetched.done += part.size;
            } else {
                let url = format!("{}/{full}/resolve/{revision}/{}", self.url, part.name);
                self.file(url, part, &target, |bytes| {
                    fetched.done += bytes;
                    show(fetched);
                })
                .await?;
            }
            show(fetched);
        }
        let refs = home.join("refs");
        tokio::fs::create_dir_all(&refs).await.map_err(failed)?;
        tokio::fs::write(refs.join("main"), revision)
            .await
            .map_err(failed)
    }

    async fn get(&self, url: &str) -> Result<reqwest::Response> {
        let mut url = reqwest::Url::parse(url).map_err(failed)?;
        let origin = url.origin();
        for _ in 0..=REDIRECTS {
            let mut call = self.client.get(url.clone());
            // Keys stay with the server they are for.
            if let Some(token) = self.token.as_ref().filter(|_| url.origin() == origin) {
                call = call.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let answer = call.send().await.map_err(|error| failed(error.without_url()))?;
            let place = answer
                .headers()
                .get(LOCATION)
                .and_then(|place| place.to_str().ok());
            match place.filter(|_| answer.status().is_redirection()) {
                Some(place) => url = url.join(place).map_err(failed)?,
                None if answer.status().is_success() => return Ok(answer),
                None => return Err(failed(answer.status())),
            }
        }
        Err(failed("too many redirects"))
    }

    /// The revision and the files that are needed of it.
    async fn parts(&self, full: &str) -> Result<(String, Vec<Part>)> {
        let url = format!("{}/api/models/{full}/revision/main?blobs=true", self.url);
        let answer: Value = self
            .get(&url)
            .await?
            .json()
            .await
            .map_err(|error| failed(error.without_url()))?;
        let revision = answer["sha"].as_str().unwrap_or_default();
        if revision.is_empty() || !revision.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(failed("the hub named no revision"));
        }
        let part = |file: &Value| {
            Some(Part {
                name: file["rfilename"]
                    .as_str()
                    .filter(|name| is_needed(name))?
                    .to_owned(),
                size: file["size"].as_u64().unwrap_or(0),
                sha256: file["lfs"]["sha256"].as_str().map(str::to_owned),
            })
        };
        let parts: Vec<Part> = answer["siblings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(part)
            .collect();
        for needed in ["config.json", "model.safetensors", "tokenizer.json"] {
            if !parts.iter().any(|part| part.name == needed) {
                return Err(failed(format_args!("it has no file {needed}")));
            }
        }
        Ok((revision.to_owned(), parts))
    }

    async fn file(
        &self,
        url: String,
        part: &Part,
        target: &Path,
        mut more: impl FnMut(u64) + Send,
    ) -> Result<()> {
        if let Some(folder) = target.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(failed)?;
        }
        let unfinished = target.with_added_extension("incomplete");
        let mut file = tokio::fs::File::create(&unfinished).await.map_err(failed)?;
        let mut hash = Sha256::new();
        let mut size = 0;
        let mut stream = self.get(&url).await?.bytes_stream();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| failed(error.without_url()))?;
            hash.update(&piece);
            size += piece.len() as u64;
            if size > LARGEST {
                return Err(failed("it is too large"));
            }
            file.write_all(&piece).await.map_err(failed)?;
            more(piece.len() as u64);
        }
        file.sync_all().await.map_err(failed)?;
        let is_whole = part.size == 0 || part.size == size;
        let sum = hex::encode(hash.finalize());
        if !is_whole || part.sha256.as_ref().is_some_and(|wanted| *wanted != sum) {
            // What is wrong once is wrong again when it is only continued.
            let _ = tokio::fs::remove_file(&unfinished).await;
            return Err(failed(format_args!(
                "{} did not arrive as it is on the hub",
                part.name
            )));
        }
        tokio::fs::rename(&unfinished, target).await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::extract::{Path as UrlPath, State};
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::{IntoResponse, Redirect, Response};
    use axum::routing::get;
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;

    /// A hub with one small model; weights come from another path. What was asked is noted.
    #[derive(Default)]
    struct Peer {
        asked: Mutex<Vec<String>>,
        damaged: Mutex<bool>,
    }

    const MODEL: &str = "../encoder/tests/data/tiny-mean";

    fn bytes(name: &str) -> Option<Vec<u8>> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(MODEL).join(name)).ok()
    }

    async fn info(UrlPath(name): UrlPath<String>) -> Response {
        if name != "tiny" {
            return StatusCode::NOT_FOUND.into_response();
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(MODEL);
        let mut files = vec![
            json!({ "rfilename": "onnx/model.onnx" }),
            json!({ "rfilename": "../evil.json" }),
        ];
        let names = [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "modules.json",
            "1_Pooling/config.json",
        ];
        for name in names.into_iter().filter(|name| folder.join(name).exists()) {
            let content = bytes(name).unwrap();
            let lfs = (name == "model.safetensors")
                .then(|| json!({ "sha256": hex::encode(Sha256::digest(&content)) }));
            files.push(json!({ "rfilename": name, "size": content.len(), "lfs": lfs }));
        }
        axum::Json(json!({ "sha": "abc123", "siblings": files })).into_response()
    }

    async fn resolve(
        State(peer): State<Arc<Peer>>,
        UrlPath(name): UrlPath<String>,
        headers: HeaderMap,
    ) -> Response {
        assert_eq!(headers["authorization"], "Bearer secret");
        peer.asked.lock().push(name.clone());
        if name == "model.safetensors" {
            return Redirect::temporary("/store/weights").into_response();
        }
        bytes(&name).unwrap().into_response()
    }

    async fn store(State(peer): State<Arc<Peer>>) -> Vec<u8> {
        let mut content = bytes("model.safetensors").unwrap();
        if *peer.damaged.lock() {
            *content.last_mut().unwrap() ^= 1;
        }
        content
    }

    async fn start() -> (Arc<Peer>, tempfile::TempDir, Hub) {
        let peer = Arc::new(Peer::default());
        let app = Router::new()
            .route("/api/models/owner/{name}/revision/main", get(info))
            .route("/owner/tiny/resolve/abc123/{*name}", get(resolve))
            .route("/store/weights", get(store))
            .with_state(peer.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = tempfile::tempdir().unwrap();
        let hub = Hub {
            client: crate::testing::client(),
            url,
            token: Some("secret".into()),
            folder: folder.path().to_owned(),
        };
        (peer, folder, hub)
    }

    #[tokio::test]
    async fn a_model_is_fetched_once_and_can_be_loaded() {
        let (peer, folder, hub) = start().await;
        let models = super::super::LocalModels::new(vec![folder.path().to_owned()], Some(hub.clone()));
        let vectors = models.embed("owner/tiny", vec!["a text".into()]).await.unwrap();
        assert!(!vectors[0].is_empty());
        assert!(peer.asked.lock().iter().all(|name| name != "onnx/model.onnx"));
        assert_eq!(peer.asked.lock().last().map(String::as_str), Some("config.json"));
        let asked = peer.asked.lock().len();
        models.unload();
        models.embed("owner/tiny", vec!["b".into()]).await.unwrap();
        assert_eq!(peer.asked.lock().len(), asked);
    }

    #[tokio::test]
    async fn progress_is_told_and_damage_is_noticed() {
        let (peer, folder, hub) = start().await;
        *peer.damaged.lock() = true;
        let error = hub.fetch("owner/tiny", |_| {}).await.unwrap_err();
        assert!(error.to_string().contains("model.safetensors"), "{error}");
        assert!(oui_encoder::find("owner/tiny", &[folder.path().to_owned()]).is_err());
        *peer.damaged.lock() = false;
        let mut seen = Vec::new();
        hub.fetch("owner/tiny", |fetched| seen.push(fetched))
            .await
            .unwrap();
        let last = seen.last().unwrap();
        assert!(last.total > 0);
        assert_eq!(last.done, last.total);
        assert!(seen.iter().any(|fetched| fetched.done < fetched.total));
        let error = hub.fetch("owner/other", |_| {}).await.unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");
    }

    #[test]
    fn names_are_names() {
        assert_eq!(
            full_name("all-MiniLM-L6-v2").unwrap(),
            "sentence-transformers/all-MiniLM-L6-v2"
        );
        for bad in ["a/b/c", "../x", "a/..", "a b/c", "/a", ""] {
            assert!(full_name(bad).is_err(), "{bad}");
        }
    }
}
