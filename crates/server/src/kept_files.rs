//! Files that come with results of tools, kept where uploads are.

use std::sync::Arc;

use async_trait::async_trait;
use oui_models::Db;
use oui_models::users::UserRow;
use oui_plugins::FileKeeper;
use oui_routers_files::{Upload, store};
use oui_storage::Storage;
use serde_json::{Map, Value};

/// Keeps files like uploads that nothing is read from.
pub(crate) struct KeptFiles {
    pub(crate) storage: Arc<Storage>,
    pub(crate) db: Db,
}

#[async_trait]
impl FileKeeper for KeptFiles {
    async fn keep(
        &self,
        user: &UserRow,
        name: &str,
        content_type: &str,
        bytes: &[u8],
        about: Map<String, Value>,
    ) -> Option<String> {
        let kept = async {
            let mut incoming = self.storage.receive().await.map_err(|error| error.to_string())?;
            incoming.write(bytes).await.map_err(|error| error.to_string())?;
            let mut upload = Upload {
                filename: name.to_owned(),
                content_type: Some(content_type.to_owned()),
                bytes: incoming,
                sample: Vec::new(),
                metadata: about,
            };
            let row = store(&self.storage, &self.db, user, &mut upload, false).await;
            row.map_err(|error| error.to_string())
        };
        match kept.await {
            Ok(row) => Some(format!("/api/v1/files/{}/content", row.id)),
            Err(error) => {
                tracing::warn!(error, "a file that came with a result could not be kept");
                None
            }
        }
    }
}
