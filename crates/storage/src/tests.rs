//! The local folder, and a bucket on a server that speaks S3 where the environment names one.

use futures::TryStreamExt;

use super::*;

fn local() -> (tempfile::TempDir, Storage) {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage {
        folder: folder.path().to_owned(),
        cloud: None,
    };
    (folder, storage)
}

async fn received(storage: &Storage, text: &str) -> Incoming {
    let mut incoming = storage.receive().await.unwrap();
    for piece in text.as_bytes().chunks(4) {
        incoming.write(piece).await.unwrap();
    }
    incoming
}

async fn text(storage: &Storage, path: &str, range: Option<Range<u64>>) -> String {
    let pieces: Vec<Bytes> = storage
        .read(path, range)
        .await
        .unwrap()
        .body
        .try_collect()
        .await
        .unwrap();
    String::from_utf8(pieces.concat()).unwrap()
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn files_are_kept_read_and_removed() {
    let (folder, storage) = local();
    let mut incoming = received(&storage, "The quick brown fox").await;
    assert_eq!(incoming.size(), 19);
    assert_eq!(
        incoming.sha256(),
        "5cac4f980fedc3d3f1f99b4be3472c9b30d56523e632d151237ec9309048bda9"
    );
    let path = storage.keep(&mut incoming, "1_a.txt", &[]).await.unwrap();
    assert_eq!(Path::new(&path), folder.path().join("1_a.txt"));
    assert_eq!(text(&storage, &path, None).await, "The quick brown fox");
    assert_eq!(text(&storage, &path, Some(4..9)).await, "quick");
    assert_eq!(storage.facts(&path).await.unwrap().size, 19);
    assert_eq!(storage.local(&path).await.unwrap().path(), Path::new(&path));
    storage.delete(&path).await.unwrap();
    assert!(matches!(storage.facts(&path).await, Err(StorageError::Missing)));
    assert!(matches!(
        storage.read(&path, None).await,
        Err(StorageError::Missing)
    ));
    assert!(matches!(storage.local(&path).await, Err(StorageError::Missing)));
    storage.delete(&path).await.unwrap();
}

#[tokio::test]
async fn cut_off_uploads_leave_nothing() {
    let (folder, storage) = local();
    let incoming = received(&storage, "half").await;
    assert_eq!(names(&folder).len(), 1);
    drop(incoming);
    assert!(names(&folder).is_empty());
}

#[tokio::test]
async fn too_long_names_can_be_replaced() {
    let (folder, storage) = local();
    let mut incoming = received(&storage, "text").await;
    let long = storage.keep(&mut incoming, &"x".repeat(300), &[]).await;
    assert!(matches!(long, Err(StorageError::NameTooLong)));
    storage.keep(&mut incoming, "short", &[]).await.unwrap();
    assert_eq!(names(&folder), ["short"]);
}

#[tokio::test]
async fn only_the_folder_is_deleted_from() {
    let (folder, storage) = local();
    let other = tempfile::tempdir().unwrap();
    let foreign = other.path().join("a.txt");
    std::fs::write(&foreign, "keep").unwrap();
    storage.delete(&foreign.to_string_lossy()).await.unwrap();
    assert!(foreign.exists());
    let mut incoming = received(&storage, "x").await;
    let in_flight = received(&storage, "y").await;
    storage.keep(&mut incoming, "a", &[]).await.unwrap();
    storage.delete_all().await.unwrap();
    assert_eq!(names(&folder).len(), 1);
    drop(in_flight);
}

/// Address of a server that speaks S3, with the bucket `oui-test` that anybody may write.
#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the test run, not of the server"
)]
fn s3() -> Option<String> {
    std::env::var("OUI_TEST_S3_URL").ok()
}

#[tokio::test]
async fn a_bucket_keeps_reads_and_forgets() {
    let Some(endpoint) = s3() else {
        eprintln!("skipped: no S3 server");
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_string_lossy().into_owned();
    let environment = oui_config::Environment::from_map([
        ("DATA_DIR", data.as_str()),
        ("WEBUI_SECRET_KEY", "a-secret-of-at-least-thirty-two-bytes"),
        ("STORAGE_PROVIDER", "s3"),
        ("S3_BUCKET_NAME", "oui-test"),
        ("S3_ENDPOINT_URL", &endpoint),
        ("S3_REGION_NAME", "us-east-1"),
        ("S3_ACCESS_KEY_ID", "test"),
        ("S3_SECRET_ACCESS_KEY", "test"),
        ("S3_KEY_PREFIX", "files"),
        ("S3_ENABLE_TAGGING", "true"),
    ]);
    let settings = Settings::load(&environment).unwrap();
    let storage = Storage::new(&settings).unwrap();
    // More than one part of a multipart upload.
    let large = "0123456789".repeat(1_200_000);
    let mut incoming = storage.receive().await.unwrap();
    incoming.write(large.as_bytes()).await.unwrap();
    let path = storage
        .keep(&mut incoming, "1_größe 1.txt", &[("OpenWebUI-User-Id", "u1!")])
        .await
        .unwrap();
    drop(incoming);
    assert_eq!(path, "s3://oui-test/files/1_größe 1.txt");
    assert_eq!(storage.facts(&path).await.unwrap().size, 12_000_000);
    assert_eq!(text(&storage, &path, Some(10..20)).await, "0123456789");
    let copy = storage.local(&path).await.unwrap();
    assert_eq!(std::fs::read_to_string(copy.path()).unwrap(), large);
    let place = copy.path().to_owned();
    drop(copy);
    assert!(!place.exists());
    storage.delete(&path).await.unwrap();
    assert!(matches!(storage.facts(&path).await, Err(StorageError::Missing)));
    let mut small = received(&storage, "small").await;
    let path = storage.keep(&mut small, "2", &[]).await.unwrap();
    storage.delete_all().await.unwrap();
    assert!(matches!(storage.facts(&path).await, Err(StorageError::Missing)));
}
