//! Rules that need several settings: folders, the signing secret, the database, origins, certificates.
//!
//! Runs once after the groups are read and collects all problems, so that an operator sees them together.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::spec::Reader;
use super::{Auth, DatabaseUrl, Groups, PYTHON_FOLDER, Plugins, Server, Settings, TlsVerify, Upstream};
use crate::environment::Environment;
use crate::error::{Problem, StartupError};
use crate::keys::registry;
use crate::resolve::Fault;
use crate::secret::Secret;

/// What the groups do not hold.
pub(super) struct Rest {
    pub(super) database_url: DatabaseUrl,
    pub(super) secret_key: Secret,
    pub(super) audit_file: PathBuf,
    pub(super) warnings: Vec<String>,
}

pub(super) fn load(environment: &Environment) -> Result<Settings, StartupError> {
    let mut reader = Reader::new(environment);
    let mut groups = Groups::load(&mut reader);
    let Reader {
        mut problems,
        mut warnings,
        ..
    } = reader;
    warnings.splice(0..0, environment.warnings().iter().cloned());
    check_keys(environment, &mut problems, &mut warnings);

    let directory = environment.directory();
    complete_server(&mut groups.server, directory);
    problems.extend(origin_problems(&groups.server));
    complete_python(&mut groups.plugins, &groups.server.data_dir);
    complete_upstream(&mut groups.upstream, directory, &mut warnings);
    let database_url = DatabaseUrl::resolve(&groups.database, &groups.server.data_dir, directory);
    // The file is created only when nothing else stops the start.
    let secret_key = if problems.is_empty() && database_url.is_ok() {
        secret_key(&groups.auth, directory)
    } else {
        Ok(Secret::default())
    };
    let (database_url, secret_key) = match (database_url, secret_key) {
        (Ok(database_url), Ok(secret_key)) if problems.is_empty() => (database_url, secret_key),
        (database_url, secret_key) => {
            problems.extend(database_url.err());
            problems.extend(secret_key.err());
            return Err(StartupError(problems));
        }
    };
    let audit_file = match &groups.logging.audit_file {
        Some(file) => directory.join(file),
        None => groups.server.data_dir.join("audit.log"),
    };
    Ok(groups.complete(Rest {
        database_url,
        secret_key,
        audit_file,
        warnings,
    }))
}

fn check_keys(environment: &Environment, problems: &mut Vec<Problem>, warnings: &mut Vec<String>) {
    for meta in registry() {
        match meta.resolve(environment).fault {
            Some(Fault::Fatal(problem)) => problems.push(problem),
            Some(Fault::Ignored(reason)) => warnings.push(reason),
            None => {}
        }
    }
}

/// The Python of the data folder, when there is one and no other is named.
fn complete_python(plugins: &mut Plugins, data_dir: &Path) {
    if plugins.python.is_empty() {
        let own = data_dir.join(PYTHON_FOLDER);
        let places = ["bin/python", "Scripts/python.exe"];
        let found = places
            .into_iter()
            .map(|place| own.join(place))
            .find(|path| path.exists());
        plugins.python = found.map_or_else(|| "python3".into(), |path| path.to_string_lossy().into_owned());
    }
}

fn complete_server(server: &mut Server, directory: &Path) {
    server.data_dir = directory.join(&server.data_dir);
    server.frontend_dir = directory.join(&server.frontend_dir);
    server.static_override = server.static_override.take().map(|path| directory.join(path));
    server.version_check &= !server.offline;
}

/// Every origin needs a known scheme and a host, unless the only entry is `*`.
fn origin_problems(server: &Server) -> Vec<Problem> {
    if server.allows_any_origin() {
        return Vec::new();
    }
    let problem = |origin: &str, message: &str| {
        let fix = "Give origins like https://chat.example.org, separated by semicolons, or a single *.";
        Problem::new(
            "CORS_ALLOW_ORIGIN",
            format!("has the entry {origin:?}, {message}"),
            fix,
        )
    };
    let check = |origin: &String| {
        let (scheme, rest) = origin.split_once("://").unwrap_or(("", ""));
        let known = matches!(scheme.to_lowercase().as_str(), "http" | "https")
            || (!scheme.is_empty() && server.cors_schemes.iter().any(|known| known == scheme));
        if !known {
            return Some(problem(
                origin,
                "which begins with neither http:// nor https:// nor a scheme of CORS_ALLOW_CUSTOM_SCHEME",
            ));
        }
        rest.split(['/', '?', '#'])
            .next()
            .unwrap_or("")
            .is_empty()
            .then(|| problem(origin, "which has no host"))
    };
    server.cors_origins.iter().filter_map(check).collect()
}

/// Certificate files that do not exist are ignored with a warning; tools share the general time limit.
fn complete_upstream(upstream: &mut Upstream, directory: &Path, warnings: &mut Vec<String>) {
    let mut existing = |variable: &str, file: &Path| {
        let file = directory.join(file);
        if file.is_file() {
            return Some(file);
        }
        warnings.push(format!(
            "{variable}: the file {} does not exist and is ignored",
            file.display()
        ));
        None
    };
    let general = upstream
        .ca_file
        .as_deref()
        .and_then(|file| existing("AIOHTTP_CLIENT_SSL_CERT_FILE", file));
    let mut complete = |variable: &str, tls: &mut TlsVerify| {
        let own = match tls {
            TlsVerify::Off => return,
            TlsVerify::On => None,
            TlsVerify::CaFile(file) => existing(variable, file),
        };
        *tls = own
            .or_else(|| general.clone())
            .map_or(TlsVerify::On, TlsVerify::CaFile);
    };
    complete("AIOHTTP_CLIENT_SESSION_SSL", &mut upstream.tls);
    complete("AIOHTTP_CLIENT_SESSION_TOOL_SERVER_SSL", &mut upstream.tool_tls);
    upstream.tool_timeout = upstream.tool_timeout.or(upstream.timeout);
}

/// The given secret, or the one in the file, which is created if it is missing.
///
/// The trailing line break is dropped, as the container's start script of the original does.
fn secret_key(auth: &Auth, directory: &Path) -> Result<Secret, Problem> {
    if let Some(secret) = &auth.secret_given {
        return Ok(secret.clone());
    }
    let file = directory.join(&auth.secret_file);
    let problem = |message: String| {
        let fix = "Let the server read and write the file, or set WEBUI_SECRET_KEY to a long random text.";
        Problem::new(
            "WEBUI_SECRET_KEY_FILE",
            format!("({}) {message}", file.display()),
            fix,
        )
    };
    let secret = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => create_secret(&file, auth.secret_length)
            .map_err(|error| problem(format!("cannot be created: {error}")))?,
        Err(error) => return Err(problem(format!("cannot be read: {error}"))),
    };
    let secret = secret.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        return Err(problem("is empty".to_owned()));
    }
    Ok(Secret::new(secret))
}

/// Writes new random bytes in base64, readable for the owner only.
fn create_secret(file: &Path, bytes: usize) -> std::io::Result<String> {
    let mut random = vec![0_u8; bytes];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut random);
    let secret = STANDARD.encode(random);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(secret.as_bytes())?;
    Ok(secret)
}
