//! Tests of whole sets of settings.

use std::time::Duration;

use serde_json::json;

use super::*;

fn load(values: &[(&str, &str)]) -> Settings {
    try_load(values).unwrap()
}

fn try_load(values: &[(&str, &str)]) -> Result<Settings, StartupError> {
    let environment = Environment::from_map(values.iter().copied()).in_directory("/srv/oui");
    let environment = match environment.get("WEBUI_SECRET_KEY") {
        Some(_) => environment,
        None => environment.with("WEBUI_SECRET_KEY", "secret"),
    };
    Settings::load(&environment)
}

fn refused(variable: &str, text: &str) -> String {
    try_load(&[(variable, text)]).unwrap_err().to_string()
}

#[test]
fn defaults() {
    let settings = load(&[]);
    assert_eq!(
        (settings.server.host.as_str(), settings.server.port),
        ("0.0.0.0", 8080)
    );
    assert_eq!(settings.server.name, "Open WebUI");
    assert_eq!(
        settings.server.static_dir(),
        PathBuf::from("/srv/oui/build/static")
    );
    assert_eq!(
        settings.server.upload_dir(),
        PathBuf::from("/srv/oui/data/uploads")
    );
    assert!(settings.server.is_dev() && settings.server.allows_any_origin() && settings.server.version_check);
    assert_eq!(
        settings.database_url,
        DatabaseUrl::SqliteFile("/srv/oui/data/webui.db".into())
    );
    assert_eq!(settings.audit_file, PathBuf::from("/srv/oui/data/audit.log"));
    assert_eq!(settings.auth.cookie_same_site, SameSite::Lax);
    assert_eq!(settings.auth.api_key_header.as_deref(), Some("x-api-key"));
    assert_eq!(settings.auth.trusted_email_header, None);
    assert_eq!(settings.upstream.timeout, None);
    assert_eq!(
        settings.upstream.model_list_timeout,
        Some(Duration::from_secs(10))
    );
    assert_eq!(settings.chat.tool_rounds, Some(256));
    assert_eq!(settings.access.group_share.to_value(), json!("members"));
    assert_eq!(settings.logging.audit_rotation_bytes, 10_000_000);
    assert_eq!(settings.security_headers.iter().count(), 0);
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn every_declared_default_can_be_read() {
    let mut reader = spec::Reader::new(&Environment::empty()).environment.clone();
    for meta in TABLES.iter().copied().flatten() {
        reader = reader.with(meta.env, meta.default);
    }
    let environment = reader.with("WEBUI_SECRET_KEY", "secret").in_directory("/srv/oui");
    let settings = Settings::load(&environment).unwrap();
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn settings_are_declared_once_and_described() {
    let mut names = std::collections::BTreeSet::new();
    for meta in TABLES.iter().copied().flatten() {
        assert!(names.insert(meta.env), "{} is declared twice", meta.env);
        assert!(meta.doc.trim().ends_with('.'), "{}: {:?}", meta.env, meta.doc);
        assert!(
            crate::registry().all(|key| key.env() != Some(meta.env)),
            "{} is a key as well",
            meta.env
        );
    }
}

#[test]
fn another_name_carries_the_product() {
    assert_eq!(load(&[("WEBUI_NAME", "Acme")]).server.name, "Acme (Open WebUI)");
    assert_eq!(load(&[("WEBUI_NAME", "")]).server.name, " (Open WebUI)");
}

#[test]
fn fallback_variables_count_while_the_own_one_is_missing() {
    let settings = load(&[
        ("WEBUI_SESSION_COOKIE_SAME_SITE", "Strict"),
        ("WEBUI_SESSION_COOKIE_SECURE", "true"),
        ("WEBUI_AUTH_COOKIE_SECURE", "false"),
        ("REDIS_URL", "redis://a"),
        ("ENABLE_ADMIN_WORKSPACE_CONTENT_ACCESS", "false"),
        ("CHAT_RESPONSE_MAX_TOOL_CALL_RETRIES", "-1"),
        ("AIOHTTP_CLIENT_TIMEOUT", "60"),
    ]);
    assert_eq!(settings.auth.cookie_same_site.as_str(), "strict");
    assert!(settings.auth.session_secure && !settings.auth.cookie_secure);
    assert_eq!(
        settings
            .websocket
            .redis_url
            .map(|url| url.expose().to_owned())
            .as_deref(),
        Some("redis://a")
    );
    assert!(!settings.access.admin_bypass);
    assert_eq!(settings.chat.tool_rounds, None);
    assert_eq!(settings.upstream.tool_timeout, Some(Duration::from_secs(60)));
}

#[test]
fn wrong_numbers_are_replaced_with_a_warning() {
    let settings = load(&[
        ("AIOHTTP_CLIENT_TIMEOUT", "soon"),
        ("REDIS_TASK_TTL", "5"),
        ("WEBSOCKET_HEARTBEAT_INTERVAL", "x"),
        ("DATABASE_POOL_TIMEOUT", ""),
        ("GLOBAL_LOG_LEVEL", "loud"),
        ("DEFAULT_MODEL_PARAMS", "{"),
    ]);
    assert_eq!(settings.upstream.timeout, Some(Duration::from_secs(300)));
    assert_eq!(settings.redis.task_ttl, Some(Duration::from_secs(300)));
    assert_eq!(settings.websocket.heartbeat, Some(30));
    assert_eq!(settings.database.pool_timeout, Duration::from_secs(30));
    assert_eq!(settings.logging.level, LogLevel::Info);
    assert_eq!(settings.warnings.len(), 5, "{:?}", settings.warnings);
    assert!(
        settings
            .warnings
            .iter()
            .any(|text| text.starts_with("REDIS_TASK_TTL \"5\""))
    );
}

#[test]
fn limits_are_kept() {
    let settings = load(&[
        ("WEBSOCKET_HEARTBEAT_INTERVAL", "1000"),
        ("VIEW_FILE_MAX_CHARS", "-4"),
        ("REDIS_TASK_TTL", "0"),
        ("DATABASE_POOL_SIZE", "-1"),
        ("OFFLINE_MODE", "true"),
        ("ENABLE_PLUGINS", "false"),
    ]);
    assert_eq!(settings.websocket.heartbeat, Some(90));
    assert_eq!(settings.chat.view_file_max, 1);
    assert_eq!(settings.redis.task_ttl, None);
    assert_eq!(settings.database.pool_size, Some(0));
    assert!(!settings.server.version_check);
    assert!(!settings.plugins.tools() && !settings.plugins.tool_servers() && !settings.plugins.functions());
}

#[test]
fn a_start_is_refused_with_all_reasons() {
    let error = try_load(&[
        ("PORT", "http"),
        ("RAG_TOP_K", "three"),
        ("DATABASE_URL", "mysql://h/d"),
        ("CORS_ALLOW_ORIGIN", "https://a;b.example;app://x;https://"),
    ])
    .unwrap_err();
    let text = error.to_string();
    for part in [
        "PORT is \"http\", which is not a whole number. Give a whole number, or remove the variable.",
        "RAG_TOP_K must be a whole number",
        "DATABASE_URL begins with \"mysql\", which is not supported",
        "\"b.example\"",
        "\"app://x\"",
        "\"https://\", which has no host",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert_eq!(error.0.len(), 6, "{text}");
    assert!(refused("PORT", "70000").starts_with("PORT"));
    assert!(refused("WEBUI_AUTH_TRUSTED_EMAIL_HEADER", "X Mail").contains("header name"));
    assert!(refused("PASSWORD_HASH_ALGORITHM", "md5").contains("bcrypt"));
    assert!(refused("DATABASE_SQLITE_PRAGMA_CACHE_SIZE", "1; DROP").contains("PRAGMA_CACHE_SIZE"));
    assert!(refused("DATABASE_ENABLE_IAM_TOKEN_AUTH", "true").contains("AWS"));
}

#[test]
fn onedrive_needs_a_client() {
    let settings = load(&[
        ("ONEDRIVE_CLIENT_ID_BUSINESS", "b"),
        ("TAVILY_API_BASE_URL", "http://t/"),
    ]);
    assert!(settings.engines.onedrive_business() && !settings.engines.onedrive_personal());
    assert_eq!(settings.engines.tavily_url(), "http://t");
    let settings = load(&[("ONEDRIVE_CLIENT_ID", "x"), ("ENABLE_ONEDRIVE_BUSINESS", "false")]);
    assert!(!settings.engines.onedrive_business() && settings.engines.onedrive_personal());
    assert_eq!(settings.engines.onedrive_business_client, "x");
}

#[test]
fn custom_schemes_are_origins_too() {
    let settings = load(&[
        ("CORS_ALLOW_ORIGIN", "app://x;http://y"),
        ("CORS_ALLOW_CUSTOM_SCHEME", "app;cap"),
    ]);
    assert_eq!(settings.server.cors_origins, ["app://x", "http://y"]);
}

#[test]
fn pragmas_can_be_left_out() {
    let settings = load(&[
        ("DATABASE_ENABLE_SQLITE_WAL", "false"),
        ("DATABASE_SQLITE_PRAGMA_MMAP_SIZE", ""),
    ]);
    let expected = [
        ("journal_mode", "DELETE"),
        ("synchronous", "NORMAL"),
        ("busy_timeout", "5000"),
        ("cache_size", "-65536"),
        ("temp_store", "MEMORY"),
        ("journal_size_limit", "67108864"),
    ];
    assert_eq!(settings.database.pragmas(), expected);
}

#[test]
fn certificate_files_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), "x").unwrap();
    let environment = Environment::from_map([
        ("WEBUI_SECRET_KEY", "s"),
        ("AIOHTTP_CLIENT_SSL_CERT_FILE", "ca.pem"),
        ("AIOHTTP_CLIENT_SESSION_SSL", "/missing.pem"),
        ("AIOHTTP_CLIENT_SESSION_TOOL_SERVER_SSL", "False"),
    ]);
    let settings = Settings::load(&environment.in_directory(folder.path())).unwrap();
    assert_eq!(
        settings.upstream.tls,
        TlsVerify::CaFile(folder.path().join("ca.pem"))
    );
    assert_eq!(settings.upstream.tool_tls, TlsVerify::Off);
    assert_eq!(settings.warnings.len(), 1);
}

fn secret_in(folder: &std::path::Path, values: &[(&str, &str)]) -> Result<String, String> {
    let environment = Environment::from_map(values.iter().copied()).in_directory(folder);
    let settings = Settings::load(&environment).map_err(|error| error.to_string())?;
    Ok(settings.secret_key.expose().to_owned())
}

#[test]
fn the_secret_is_generated_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = secret_in(folder.path(), &[("WEBUI_SECRET_KEY", "")]).unwrap();
    assert_eq!(first.len(), 32, "24 bytes in base64");
    assert_eq!(secret_in(folder.path(), &[]), Ok(first.clone()));
    let file = folder.path().join(".webui_secret_key");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions()) & 0o777,
        0o600
    );

    assert_eq!(
        secret_in(folder.path(), &[("WEBUI_JWT_SECRET_KEY", "older")]),
        Ok("older".to_owned())
    );
    std::fs::write(folder.path().join("mine"), "text with blank \n").unwrap();
    let own_file = [("WEBUI_SECRET_KEY_FILE", "mine")];
    assert_eq!(
        secret_in(folder.path(), &own_file),
        Ok("text with blank ".to_owned())
    );
}

#[test]
fn a_bad_secret_file_names_the_variable_and_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let error = secret_in(folder.path(), &[("WEBUI_SECRET_KEY_FILE", "missing/folder/key")]).unwrap_err();
    assert!(
        error.starts_with("WEBUI_SECRET_KEY_FILE") && error.contains("set WEBUI_SECRET_KEY"),
        "{error}"
    );
    std::fs::write(folder.path().join(".webui_secret_key"), "\n").unwrap();
    assert!(secret_in(folder.path(), &[]).unwrap_err().contains("is empty"));
    // Nothing is created while something else stops the start.
    let other = tempfile::tempdir().unwrap();
    assert!(secret_in(other.path(), &[("PORT", "x")]).is_err());
    assert!(!other.path().join(".webui_secret_key").exists());
}

fn database(values: &[(&str, &str)]) -> DatabaseUrl {
    load(values).database_url
}

fn postgres_url(url: &str) -> String {
    match database(&[("DATABASE_URL", url)]) {
        DatabaseUrl::Postgres(postgres) => postgres.to_url().expose().to_owned(),
        other => panic!("{url} gave {other:?}"),
    }
}

#[test]
fn sqlite_addresses() {
    let file = |url: &str| database(&[("DATABASE_URL", url)]);
    assert_eq!(
        file("sqlite:///a/b.db?x=1"),
        DatabaseUrl::SqliteFile("/srv/oui/a/b.db".into())
    );
    assert_eq!(
        file("sqlite+aiosqlite:////abs/b.db"),
        DatabaseUrl::SqliteFile("/abs/b.db".into())
    );
    for url in ["sqlite://", "sqlite:///", "sqlite:///:memory:"] {
        assert_eq!(file(url), DatabaseUrl::SqliteMemory, "{url}");
    }
    assert!(refused("DATABASE_URL", "sqlite://a.db").contains("three slashes"));
    assert!(refused("DATABASE_URL", "sqlite+sqlcipher:///a.db").contains("encrypted"));
    assert!(refused("DATABASE_TYPE", "sqlite+sqlcipher").starts_with("DATABASE_TYPE"));
    assert!(refused("DATABASE_URL", "webui.db").contains("not an address"));
}

#[test]
fn postgres_addresses() {
    for scheme in [
        "postgres",
        "postgresql",
        "postgresql+psycopg2",
        "postgresql+psycopg",
        "postgresql+asyncpg",
    ] {
        assert_eq!(
            postgres_url(&format!("{scheme}://u:p@h:5432/d")),
            "postgresql://u:p@h:5432/d"
        );
    }
    assert_eq!(
        postgres_url("postgresql://u:a/b?c#d@h/d?ssl=require"),
        "postgresql://u:a%2Fb%3Fc%23d@h/d?sslmode=require"
    );
    assert_eq!(
        postgres_url("postgresql://u:p%40x@[::1]:1/d"),
        "postgresql://u:p%40x@[::1]:1/d"
    );
    assert_eq!(
        postgres_url("postgresql:///d?host=/run/pg&ssl=a&sslmode=b"),
        "postgresql:///d?host=%2Frun%2Fpg&sslmode=b"
    );
    assert_eq!(postgres_url("postgresql://h"), "postgresql://h/");
    assert!(refused("DATABASE_URL", "postgresql://u:p@h:port/d").contains("port"));
    assert!(!refused("DATABASE_URL", "postgresql://u:hidden@h:port/d").contains("hidden"));
}

#[test]
fn a_vector_store_that_is_not_spoken_to_is_refused_with_the_choices() {
    let text = refused("VECTOR_DB", "oracle23ai");
    for part in [
        "VECTOR_DB",
        "oracle23ai",
        "pgvector",
        "mariadb-vector",
        "s3vector",
        "opengauss",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn the_database_from_its_parts() {
    let mut parts = vec![
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_TYPE", "postgresql"),
        ("DATABASE_USER", "u"),
        ("DATABASE_PASSWORD", "p:/#@"),
        ("DATABASE_HOST", "h"),
        ("DATABASE_PORT", "5433"),
        ("DATABASE_NAME", "d"),
    ];
    let DatabaseUrl::Postgres(postgres) = database(&parts) else {
        panic!("not PostgreSQL")
    };
    assert_eq!(
        postgres.to_url().expose(),
        "postgresql://u:p%3A%2F%23%40@h:5433/d"
    );
    assert!(!format!("{postgres:?}").contains("p:/"));
    parts.remove(5);
    assert_eq!(database(&parts), DatabaseUrl::SqliteMemory);
}

#[test]
fn the_python_of_the_data_folder_is_taken_unless_another_is_named() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let python = |more: &[(&str, &str)]| load(&[&[("DATA_DIR", folder)], more].concat()).plugins.python;
    assert_eq!(python(&[]), "python3");
    let own = data.path().join("python/bin/python");
    std::fs::create_dir_all(own.parent().unwrap()).unwrap();
    std::fs::write(&own, "").unwrap();
    assert_eq!(python(&[]), own.to_string_lossy());
    assert_eq!(python(&[("OUI_PYTHON", "pypy3")]), "pypy3");
}
