//! Reads the address of the database in all forms that SQLAlchemy and libpq deployments use.
//!
//! A URL parser would be too strict: passwords with `/`, `#` or `?` are common there and stay readable here.
//! What comes out is either a file or the parts of a PostgreSQL connection, which can be written as a proper
//! URL.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Database;
use crate::error::Problem;
use crate::secret::Secret;

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file, absolute.
    SqliteFile(PathBuf),
    /// A SQLite database that ends with the process.
    SqliteMemory,
    /// A PostgreSQL server.
    Postgres(Postgres),
}

/// Parts of a PostgreSQL address, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Postgres {
    /// User; missing means the server's default.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Host name or address; missing means a parameter `host` or the local machine.
    pub host: Option<String>,
    /// Port; missing means 5432.
    pub port: Option<u16>,
    /// Database; missing means the server's default.
    pub database: Option<String>,
    /// Parameters such as `sslmode`, in order; an older `ssl` has become `sslmode`.
    pub parameters: Vec<(String, String)>,
}

const FIX: &str = "Use sqlite:///path/to/webui.db or postgresql://user:password@host:5432/name.";

impl DatabaseUrl {
    /// Decides between `DATABASE_URL`, its parts, and the file in the data folder.
    ///
    /// # Errors
    /// The address cannot be read, or names a database that is not supported.
    pub(crate) fn resolve(database: &Database, data_dir: &Path, directory: &Path) -> Result<Self, Problem> {
        if database.iam {
            let message = "is on, but tokens from AWS are not supported";
            let fix = "Turn it off and put a password into DATABASE_URL.";
            return Err(Problem::new("DATABASE_ENABLE_IAM_TOKEN_AUTH", message, fix));
        }
        if let Some(parts) = from_parts(database) {
            return parts;
        }
        match &database.given_url {
            Some(url) => parse(url.expose(), directory),
            None if database.kind.as_deref() == Some("sqlite+sqlcipher") => Err(encrypted("DATABASE_TYPE")),
            None => Ok(Self::SqliteFile(data_dir.join("webui.db"))),
        }
    }

    /// Whether this is SQLite.
    pub fn is_sqlite(&self) -> bool {
        !matches!(self, Self::Postgres(_))
    }
}

/// The address from its parts, if all are there; a user or a password is enough of the two.
fn from_parts(database: &Database) -> Option<Result<DatabaseUrl, Problem>> {
    let (kind, host) = (database.kind.as_deref()?, database.host.as_deref()?);
    let (port, name) = (database.port.as_deref()?, database.name.as_deref()?);
    if database.user.is_none() && database.password.is_none() {
        return None;
    }
    let wrong = |variable: &str, message: &str| Err(Problem::new(variable, message, FIX));
    if kind.starts_with("sqlite") {
        return Some(if kind.contains("sqlcipher") {
            Err(encrypted("DATABASE_TYPE"))
        } else {
            wrong("DATABASE_TYPE", "says SQLite, which has no host and port")
        });
    }
    if !is_postgres(kind) {
        return Some(wrong(
            "DATABASE_TYPE",
            &format!("is {kind:?}, which is not supported"),
        ));
    }
    let Ok(port) = port.parse() else {
        return Some(wrong("DATABASE_PORT", "is not a port number"));
    };
    let (database_name, parameters) = match name.split_once('?') {
        Some((name, query)) => (name, parameters(query)),
        None => (name, Vec::new()),
    };
    Some(Ok(DatabaseUrl::Postgres(Postgres {
        user: database.user.as_deref().map(decode),
        password: database
            .password
            .as_ref()
            .map(|password| Secret::new(decode(password.expose()))),
        host: Some(host.to_owned()),
        port: Some(port),
        database: Some(database_name.to_owned()),
        parameters,
    })))
}

fn encrypted(variable: &str) -> Problem {
    Problem::new(
        variable,
        "asks for an encrypted SQLite database, which is not supported",
        FIX,
    )
}

fn is_postgres(scheme: &str) -> bool {
    matches!(scheme.split('+').next(), Some("postgresql" | "postgres"))
}

/// Reads one address; relative files start at `directory`.
fn parse(url: &str, directory: &Path) -> Result<DatabaseUrl, Problem> {
    let problem = |message: &str| Problem::new("DATABASE_URL", message, FIX);
    let Some((scheme, rest)) = url.trim().split_once("://") else {
        return Err(problem("is not an address"));
    };
    match scheme {
        "sqlite" | "sqlite+aiosqlite" | "sqlite+pysqlite" => sqlite(rest, directory).map_err(problem),
        "sqlite+sqlcipher" => Err(encrypted("DATABASE_URL")),
        _ if is_postgres(scheme) => postgres(rest).map(DatabaseUrl::Postgres).map_err(problem),
        _ => Err(problem(&format!(
            "begins with {scheme:?}, which is not supported"
        ))),
    }
}

/// `/relative`, `//absolute`, nothing or `:memory:`; parameters are left out.
fn sqlite(rest: &str, directory: &Path) -> Result<DatabaseUrl, &'static str> {
    let file = rest.split('?').next().unwrap_or("");
    if file.is_empty() || file == "/" || file == "/:memory:" {
        return Ok(DatabaseUrl::SqliteMemory);
    }
    let Some(file) = file.strip_prefix('/') else {
        return Err(
            "names a host, but SQLite is a file: three slashes for a relative path, four for an absolute one",
        );
    };
    Ok(DatabaseUrl::SqliteFile(directory.join(file)))
}

/// `user:password@host:port/name?parameters`; the password ends at the first `@`, as in SQLAlchemy.
fn postgres(rest: &str) -> Result<Postgres, &'static str> {
    let (user, password, rest) = credentials(rest);
    let (address, query) = match rest.split_once('?') {
        Some((address, query)) => (address, parameters(query)),
        None => (rest, Vec::new()),
    };
    let (authority, name) = match address.split_once('/') {
        Some((authority, name)) => (authority, Some(name)),
        None => (address, None),
    };
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => authority
            .split_once(':')
            .map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => Some(
            port.parse()
                .map_err(|_| "has a port that is not a number up to 65535")?,
        ),
        None => None,
    };
    // Host and database are taken as they are, as SQLAlchemy does.
    let text = |part: &str| (!part.is_empty()).then(|| part.to_owned());
    Ok(Postgres {
        user: user.and_then(text).as_deref().map(decode),
        password: password.map(|password| Secret::new(decode(password))),
        host: text(host),
        port,
        database: name.and_then(text),
        parameters: query,
    })
}

/// Splits `user:password@rest`. A user holds no `/`, a password no `@`.
fn credentials(text: &str) -> (Option<&str>, Option<&str>, &str) {
    let Some((before, after)) = text.split_once('@') else {
        return (None, None, text);
    };
    match before.split_once([':', '/']) {
        None => (Some(before), None, after),
        Some((user, password)) if before.as_bytes().get(user.len()) == Some(&b':') => {
            (Some(user), Some(password), after)
        }
        // The `@` belongs to a name or a parameter: host/name@x.
        Some(_) => (None, None, text),
    }
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
    });
    let mut parameters: Vec<(String, String)> = pairs.collect();
    let has_mode = parameters.iter().any(|(name, _)| name == "sslmode");
    parameters.retain(|(name, _)| name != "ssl" || !has_mode);
    for (name, _) in parameters.iter_mut().filter(|(name, _)| name == "ssl") {
        "sslmode".clone_into(name);
    }
    parameters
}

impl Postgres {
    /// The address as a URL with all parts encoded, password included: for the driver, not for logs.
    pub fn to_url(&self) -> Secret {
        let mut url = String::from("postgresql://");
        if self.user.is_some() || self.password.is_some() {
            encode(&mut url, self.user.as_deref().unwrap_or_default());
            if let Some(password) = &self.password {
                url.push(':');
                encode(&mut url, password.expose());
            }
            url.push('@');
        }
        match self.host.as_deref() {
            Some(host) if host.contains(':') => url.extend(["[", host, "]"]),
            Some(host) => encode(&mut url, host),
            None => {}
        }
        if let Some(port) = self.port {
            // Writing to a string cannot fail.
            let _ = write!(url, ":{port}");
        }
        url.push('/');
        encode(&mut url, self.database.as_deref().unwrap_or_default());
        for (at, (name, value)) in self.parameters.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            encode(&mut url, name);
            url.push('=');
            encode(&mut url, value);
        }
        Secret::new(url)
    }
}

/// Percent-decodes; what is no valid sequence stays.
fn decode(text: &str) -> String {
    let hex = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = (
            bytes.get(at + 1).copied().and_then(hex),
            bytes.get(at + 2).copied().and_then(hex),
        );
        match (bytes[at], pair) {
            (b'%', (Some(high), Some(low))) => {
                decoded.push(high * 16 + low);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Percent-encodes everything but unreserved characters.
fn encode(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
}
