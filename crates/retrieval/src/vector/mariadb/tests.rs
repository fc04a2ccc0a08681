//! Against a real MariaDB. Before 11.7 it has no vectors: then the table is made beforehand with bytes in their place,
//! and the distance is a function in SQL. What is sent and read is the same.

use sqlx::mysql::MySqlPool;

use super::*;
use crate::vector::{Metadata, conformance};

/// Vectors in this test have this many numbers.
const WIDTH: usize = 8;

/// `vec_distance_cosine` on bytes of 32-bit numbers with the lowest byte first.
const NUMBER: &str = "CREATE FUNCTION float_at(v BLOB, place INT) RETURNS DOUBLE DETERMINISTIC BEGIN \
    DECLARE bits BIGINT DEFAULT CONV(HEX(REVERSE(SUBSTR(v, place * 4 + 1, 4))), 16, 10); \
    DECLARE exponent INT DEFAULT (bits >> 23) & 255; DECLARE fraction INT DEFAULT bits & 8388607; \
    IF exponent = 0 THEN RETURN 0; END IF; \
    RETURN IF(bits >> 31, -1, 1) * (1 + fraction / 8388608) * POW(2, exponent - 127); END";
const DISTANCE: &str = "CREATE FUNCTION vec_distance_cosine(a BLOB, b BLOB) RETURNS DOUBLE DETERMINISTIC BEGIN \
    DECLARE place INT DEFAULT 0; DECLARE x, y DOUBLE; DECLARE product, xs, ys DOUBLE DEFAULT 0; \
    WHILE place * 4 < LENGTH(a) DO SET x = float_at(a, place), y = float_at(b, place); \
    SET product = product + x * y, xs = xs + x * x, ys = ys + y * y, place = place + 1; END WHILE; \
    RETURN 1 - product / SQRT(xs * ys); END";
const TABLE: &str = "CREATE TABLE document_chunk (id VARCHAR(254) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, \
    embedding VARBINARY(8) NOT NULL, collection_name VARCHAR(255) NOT NULL, text LONGTEXT NULL, vmetadata JSON NULL, \
    INDEX idx_document_chunk_collection_name (collection_name)) DEFAULT CHARSET=utf8mb4";

fn settings(url: &str, width: &str) -> Vectors {
    let environment = oui_config::Environment::from_map([
        ("WEBUI_SECRET_KEY", "a-secret-of-at-least-thirty-two-bytes"),
        ("DATA_DIR", "/nonexistent"),
        ("VECTOR_DB", "mariadb-vector"),
        ("MARIADB_VECTOR_DB_URL", url),
        ("MARIADB_VECTOR_INITIALIZE_MAX_VECTOR_LENGTH", width),
    ]);
    oui_config::Settings::load(&environment).unwrap().vectors
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "tests are pointed at their services by variables"
)]
async fn it_does_what_every_engine_does() {
    let Ok(url) = std::env::var("OUI_TEST_MARIADB_URL") else {
        eprintln!("skipped: no MariaDB");
        return;
    };
    let admin = MySqlPool::connect(&url).await.unwrap();
    let name = format!("oui_vectors_{}", std::process::id());
    let make = format!("CREATE DATABASE {name}");
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&admin).await.unwrap();
    let (base, _) = url.rsplit_once('/').unwrap();
    let own = format!("{base}/{name}");
    let version: String = sqlx::query_scalar("SELECT version()")
        .fetch_one(&admin)
        .await
        .unwrap();
    let mut numbers = version
        .split(['.', '-'])
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let has_vectors = (numbers.next().unwrap(), numbers.next().unwrap()) >= (11, 7);
    if !has_vectors {
        let pool = MySqlPool::connect(&own).await.unwrap();
        // As long as the vectors, so that the check of the length sees it.
        let table = TABLE.replace("VARBINARY(8)", &format!("VARBINARY({})", 4 * WIDTH));
        for sql in [NUMBER, DISTANCE, table.as_str()] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
        }
        pool.close().await;
    }
    let python = own.replacen("mysql", "mariadb+mariadbconnector", 1);
    // The stand-in counts bytes.
    let width = if has_vectors { WIDTH } else { 4 * WIDTH };
    let mut store = MariaDb::open(&settings(&python, &width.to_string()))
        .await
        .unwrap();
    store.width = WIDTH;
    conformance::check(&store).await;

    let item = |id: usize| Item {
        id: format!("chunk-{id}"),
        text: format!("text \u{1f994} {id}"),
        vector: vec![1.0, id as f32],
        metadata: Metadata::from_iter([(
            "Name".to_owned(),
            json!(if id.is_multiple_of(2) { "a" } else { "A" }),
        )]),
    };
    store
        .insert("many", (0..2 * ROWS + 3).map(item).collect())
        .await
        .unwrap();
    // Letters that differ in case only are other letters.
    let large = store
        .query("many", &Filter::eq("Name", "A"), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(large.len(), ROWS + 1);
    assert!(large[0].text.contains('\u{1f994}'));
    let none = Filter::all().and("Name", []);
    assert!(
        store
            .query("many", &none, None)
            .await
            .unwrap()
            .unwrap()
            .is_empty()
    );
    let hits = store
        .search("many", &[1.0], &Filter::all(), 2)
        .await
        .unwrap()
        .unwrap();
    let ids: Vec<&str> = hits.iter().map(|hit| hit.entry.id.as_str()).collect();
    assert_eq!(ids, ["chunk-0", "chunk-1"]);
    let half = (1.0 + 1.0 / 2f64.sqrt()) / 2.0;
    assert!((hits[1].score - half).abs() < 1e-6, "{}", hits[1].score);

    let error = MariaDb::open(&settings(&python, "9")).await.err().unwrap();
    assert!(
        error
            .to_string()
            .contains("does not match existing vector column dimension")
    );
    store.pool.close().await;
    let gone = format!("DROP DATABASE {name}");
    sqlx::raw_sql(AssertSqlSafe(gone)).execute(&admin).await.unwrap();
}

#[tokio::test]
async fn bad_settings_are_told() {
    let error = MariaDb::open(&settings("postgres://a@b/c", "8"))
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("MARIADB_VECTOR_DB_URL"));
}
