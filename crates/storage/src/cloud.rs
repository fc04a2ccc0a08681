//! Stores over the network: S3 and servers that speak like it, Google Cloud Storage, Azure. Objects are named as the
//! Python project names them, so that either server finds the other's files.

use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::buffered::BufWriter;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, TagSet};
use oui_config::settings::Storage as StorageSettings;
use tokio::io::AsyncReadExt;

use crate::{Facts, Outgoing, Result, StorageError};

/// A bucket.
#[derive(Debug)]
pub(crate) struct Cloud {
    store: Arc<dyn ObjectStore>,
    /// What the paths of its files begin with, up to and with the last slash before the object's name.
    address: String,
    /// Put before the names of new objects.
    prefix: String,
    tagging: bool,
}

fn needed<'a>(value: &'a Option<String>, variable: &str) -> Result<&'a str> {
    value
        .as_deref()
        .ok_or_else(|| StorageError::Settings(format!("{variable} is missing; STORAGE_PROVIDER needs it")))
}

impl Cloud {
    /// The store that the settings name; none for the local folder.
    pub(crate) fn of(settings: &StorageSettings) -> Result<Option<Self>> {
        match settings.provider.as_str() {
            "local" => Ok(None),
            "s3" => s3(settings).map(Some),
            "gcs" => gcs(settings).map(Some),
            "azure" => azure(settings).map(Some),
            other => Err(StorageError::Settings(format!(
                "STORAGE_PROVIDER is {other:?}; it can be local, s3, gcs or azure"
            ))),
        }
    }

    pub(crate) fn owns(&self, path: &str) -> bool {
        path.starts_with(&self.address)
    }

    fn object(&self, path: &str) -> Result<Path> {
        let name = path.strip_prefix(&self.address).ok_or(StorageError::Missing)?;
        Path::parse(name).map_err(|_| StorageError::Missing)
    }

    pub(crate) async fn put(&self, file: &FilePath, name: &str, tags: &[(&str, &str)]) -> Result<String> {
        let key = match self.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{}/{name}", prefix.trim_end_matches('/')),
        };
        let object = Path::parse(&key).map_err(|error| StorageError::Settings(error.to_string()))?;
        let mut writer = BufWriter::new(self.store.clone(), object);
        if self.tagging {
            let mut set = TagSet::default();
            for (name, value) in tags {
                set.push(&tag_text(name), &tag_text(value));
            }
            writer = writer.with_tags(set);
        }
        let mut source = tokio::fs::File::open(file).await?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let count = source.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            if let Err(error) = writer.put(bytes::Bytes::copy_from_slice(&buffer[..count])).await {
                // The parts of a cut-off upload would be kept (and paid for) otherwise.
                let _ = writer.abort().await;
                return Err(error.into());
            }
        }
        tokio::io::AsyncWriteExt::shutdown(&mut writer).await?;
        Ok(format!("{}{key}", self.address))
    }

    pub(crate) async fn facts(&self, path: &str) -> Result<Facts> {
        let meta = self.store.head(&self.object(path)?).await.map_err(missing)?;
        Ok(facts(&meta))
    }

    pub(crate) async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<Outgoing> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let found = self
            .store
            .get_opts(&self.object(path)?, options)
            .await
            .map_err(missing)?;
        let Facts { size, modified, tag } = facts(&found.meta);
        Ok(Outgoing {
            size,
            modified,
            tag,
            body: found.into_stream().map_err(std::io::Error::other).boxed(),
        })
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        match self.store.delete(&self.object(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn delete_all(&self) -> Result<()> {
        let mut listed = self.store.list(None);
        while let Some(meta) = listed.next().await {
            let object = meta?.location;
            if object.as_ref().starts_with(&self.prefix) {
                self.store.delete(&object).await?;
            }
        }
        Ok(())
    }
}

/// S3 takes only some characters in tags.
fn tag_text(text: &str) -> String {
    let taken = |c: &char| c.is_ascii_alphanumeric() || " äöüÄÖÜß+-=._:/@".contains(*c);
    text.chars().filter(taken).collect()
}

fn missing(error: object_store::Error) -> StorageError {
    match error {
        object_store::Error::NotFound { .. } => StorageError::Missing,
        other => other.into(),
    }
}

fn facts(meta: &ObjectMeta) -> Facts {
    Facts {
        size: meta.size,
        modified: u64::try_from(meta.last_modified.timestamp()).unwrap_or_default(),
        tag: meta
            .e_tag
            .clone()
            .unwrap_or_default()
            .trim_matches('"')
            .to_owned(),
    }
}

fn s3(settings: &StorageSettings) -> Result<Cloud> {
    let bucket = needed(&settings.s3_bucket, "S3_BUCKET_NAME")?;
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    if let (Some(id), Some(secret)) = (&settings.s3_key_id, &settings.s3_secret) {
        builder = builder
            .with_access_key_id(id.expose())
            .with_secret_access_key(secret.expose());
    }
    if let Some(region) = &settings.s3_region {
        builder = builder.with_region(region);
    }
    let endpoint = match &settings.s3_endpoint {
        Some(endpoint) => Some(endpoint.clone()),
        None if settings.s3_accelerate => Some(format!("https://{bucket}.s3-accelerate.amazonaws.com")),
        None => None,
    };
    let virtual_host = match settings.s3_addressing.as_deref() {
        Some("virtual") => true,
        Some("path") => false,
        // Other servers seldom have a host name per bucket.
        _ => settings.s3_endpoint.is_none(),
    };
    if let Some(endpoint) = endpoint {
        builder = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint.trim_end_matches('/'));
    }
    Ok(Cloud {
        store: Arc::new(builder.with_virtual_hosted_style_request(virtual_host).build()?),
        address: format!("s3://{bucket}/"),
        prefix: settings.s3_prefix.clone().unwrap_or_default(),
        tagging: settings.s3_tagging,
    })
}

fn gcs(settings: &StorageSettings) -> Result<Cloud> {
    let bucket = needed(&settings.gcs_bucket, "GCS_BUCKET_NAME")?;
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
    if let Some(credentials) = &settings.gcs_credentials {
        builder = builder.with_service_account_key(credentials.expose());
    }
    Ok(Cloud {
        store: Arc::new(builder.build()?),
        address: format!("gs://{bucket}/"),
        prefix: String::new(),
        tagging: false,
    })
}

fn azure(settings: &StorageSettings) -> Result<Cloud> {
    let endpoint = needed(&settings.azure_endpoint, "AZURE_STORAGE_ENDPOINT")?;
    let container = needed(&settings.azure_container, "AZURE_STORAGE_CONTAINER_NAME")?;
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_endpoint(endpoint.trim_end_matches('/').to_owned())
        .with_allow_http(endpoint.starts_with("http://"))
        .with_container_name(container);
    // The account is the first label of the host name.
    let host = endpoint.split("://").nth(1).unwrap_or(endpoint);
    if let Some(account) = host.split(['.', '/', ':']).next() {
        builder = builder.with_account(account);
    }
    if let Some(key) = &settings.azure_key {
        builder = builder.with_access_key(key.expose());
    }
    Ok(Cloud {
        store: Arc::new(builder.build()?),
        address: format!("{endpoint}/{container}/"),
        prefix: String::new(),
        tagging: false,
    })
}
