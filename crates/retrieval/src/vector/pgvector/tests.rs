//! Against a real PostgreSQL with the extension: both dialects, since openGauss itself is not to be had everywhere.

use super::*;
use crate::vector::conformance;

/// The address of a PostgreSQL that may have the extension.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are pointed at their services by variables"
)]
fn server() -> Option<String> {
    let own = std::env::var("OUI_TEST_PGVECTOR_URL").ok();
    own.or_else(|| std::env::var("OUI_TEST_POSTGRES_URL").ok())
}

/// A database for a test with its address, and one to remove it from; `None` without a server that has the type.
async fn database(purpose: &str) -> Option<(PgPool, String, String)> {
    let Some(url) = server() else {
        eprintln!("skipped: no PostgreSQL");
        return None;
    };
    let admin = PgPool::connect(&url).await.unwrap();
    let known = sqlx::query("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
        .fetch_optional(&admin)
        .await
        .unwrap();
    if known.is_none() {
        eprintln!("skipped: PostgreSQL has no extension vector");
        return None;
    }
    let name = format!("oui_{purpose}_{}", std::process::id());
    let make = format!("CREATE DATABASE {name}");
    sqlx::query(AssertSqlSafe(make)).execute(&admin).await.unwrap();
    let (base, _) = url.rsplit_once('/').unwrap();
    let own = format!("{base}/{name}");
    Some((admin, own, name))
}

fn layout(width: usize) -> PgLayout {
    PgLayout {
        width,
        extensions: true,
        ..PgLayout::default()
    }
}

#[tokio::test]
async fn half_numbers_do_the_same() {
    let Some((admin, own, name)) = database("half").await else {
        return;
    };
    let half = || PgLayout {
        half: true,
        ..layout(8)
    };
    match PgVector::open(&own, half()).await {
        Ok(store) => {
            conformance::check(&store).await;
            store.pool.close().await;
            // The other layout is not taken for it.
            let error = PgVector::open(&own, layout(8)).await.err().unwrap();
            assert!(error.to_string().contains("PGVECTOR_USE_HALFVEC"), "{error}");
        }
        Err(error) => {
            assert!(error.to_string().contains("halfvec"), "{error}");
            eprintln!("skipped: the extension is older than 0.7");
        }
    }
    drop_database(&admin, &name).await;
}

/// For servers without `pgcrypto`: what it is called with and gives back is the same.
const STAND_IN: &str = "CREATE FUNCTION pgp_sym_encrypt(text, text) RETURNS bytea LANGUAGE sql IMMUTABLE \
    AS $$ SELECT convert_to($2 || reverse($1), 'UTF8') $$; \
    CREATE FUNCTION pgp_sym_decrypt(bytea, text) RETURNS text LANGUAGE sql IMMUTABLE \
    AS $$ SELECT reverse(substr(convert_from($1, 'UTF8'), length($2) + 1)) $$;";

#[tokio::test]
async fn encrypted_texts_do_the_same() {
    let Some((admin, own, name)) = database("sealed").await else {
        return;
    };
    let known = sqlx::query("SELECT 1 FROM pg_available_extensions WHERE name = 'pgcrypto'")
        .fetch_optional(&admin)
        .await
        .unwrap();
    if known.is_none() {
        let pool = PgPool::connect(&own).await.unwrap();
        sqlx::query("CREATE EXTENSION vector")
            .execute(&pool)
            .await
            .unwrap();
        sqlx::raw_sql(STAND_IN).execute(&pool).await.unwrap();
        pool.close().await;
    }
    let sealed = |extensions: bool| PgLayout {
        extensions,
        key: Some(Secret::new("it's a key")),
        ..layout(8)
    };
    let store = PgVector::open(&own, sealed(known.is_some())).await.unwrap();
    conformance::check(&store).await;
    let item = Item {
        id: "a".into(),
        text: "The hedgehog sleeps".into(),
        vector: vec![1.0],
        metadata: serde_json::json!({ "file_id": "secret" })
            .as_object()
            .cloned()
            .unwrap(),
    };
    store.insert("one", vec![item]).await.unwrap();
    let row: (Vec<u8>, Vec<u8>) = sqlx::query_as("SELECT text, vmetadata FROM document_chunk")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    for bytes in [row.0, row.1] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("hedgehog") && !text.contains("secret"), "{text}");
    }
    assert!(
        store
            .text_search("one", "hedgehog", 1, false)
            .await
            .unwrap()
            .is_none()
    );
    store.pool.close().await;
    // The other layout is not taken for it.
    let error = PgVector::open(&own, layout(8)).await.err().unwrap();
    assert!(error.to_string().contains("PGVECTOR_PGCRYPTO"), "{error}");
    drop_database(&admin, &name).await;
}

async fn drop_database(admin: &PgPool, name: &str) {
    let gone = format!("DROP DATABASE {name}");
    sqlx::query(AssertSqlSafe(gone)).execute(admin).await.unwrap();
}

#[tokio::test]
async fn plain_statements_do_the_same() {
    let Some((admin, own, name)) = database("gauss").await else {
        return;
    };
    // openGauss has the type without an extension.
    let pool = PgPool::connect(&own).await.unwrap();
    sqlx::query("CREATE EXTENSION vector")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let url = own.replacen("postgres", "opengauss+psycopg2", 1);
    let store = PgVector::open_gauss(&url, 8).await.unwrap();
    conformance::check(&store).await;
    let many = (0..2 * ROWS + 3).map(|id| Item {
        id: id.to_string(),
        text: "nothing\0".into(),
        vector: vec![1.0],
        metadata: serde_json::json!({ "even": id % 2 == 0, "id": id })
            .as_object()
            .cloned()
            .unwrap(),
    });
    store.insert("many", many.collect()).await.unwrap();
    let even = store
        .query("many", &Filter::eq("even", true), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(even.len(), ROWS + 2);
    let one = store
        .query("many", &Filter::eq("id", 7), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((one.len(), one[0].text.as_str()), (1, "nothing"));
    assert!(
        store
            .text_search("many", "nothing", 1, false)
            .await
            .unwrap()
            .is_none()
    );
    let error = PgVector::open_gauss(&url, 9).await.err().unwrap();
    assert!(error.to_string().contains("existing vector column dimension 8"));
    store.pool.close().await;
    drop_database(&admin, &name).await;
}

#[tokio::test]
async fn it_does_what_every_engine_does() {
    let Some((admin, own, name)) = database("vectors").await else {
        return;
    };
    let store = PgVector::open(&own, layout(8)).await.unwrap();
    conformance::check(&store).await;
    let items = [
        "The hedgehog sleeps",
        "hedgehog hedgehog",
        "It's nothing & no | one",
    ]
    .iter()
    .zip(["a", "b", "c"])
    .map(|(text, id)| Item {
        id: id.into(),
        text: (*text).into(),
        vector: vec![1.0],
        metadata: super::super::Metadata::new(),
    });
    store.insert("words", items.collect()).await.unwrap();
    let hits = store
        .text_search("words", "a Hedgehog?", 5, false)
        .await
        .unwrap()
        .unwrap();
    let ids: Vec<&str> = hits.iter().map(|hit| hit.entry.id.as_str()).collect();
    assert_eq!(ids, ["b", "a"]);
    assert!(
        store
            .text_search("words", "!?", 5, false)
            .await
            .unwrap()
            .unwrap()
            .is_empty()
    );
    let error = PgVector::open(&own, layout(9)).await.err().unwrap();
    assert!(
        error
            .to_string()
            .contains("does not match existing vector column dimension 8")
    );
    store.pool.close().await;
    drop_database(&admin, &name).await;
}
