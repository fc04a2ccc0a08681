//! What tools and functions have in common: both are Python source that the plugin host answers for, with settings
//! ("valves") of the administrator and of each user, and versions.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use http::StatusCode;
use oui_core::form::{Extra, Field, Issues};
use oui_core::{ApiError, ApiResult, form, messages};
use oui_models::users::UserRow;
use oui_models::versions::Version;
use oui_plugin_host::{Host, HostOptions, HostProblem, Inspection, Plugin, Which};
use oui_plugins::python::valves;
use oui_web::{App, Caller, Role};
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::diff::unified;

/// What is said about ids that are no identifiers.
pub(crate) const BAD_ID: &str = "Only alphanumeric characters and underscores are allowed in the id";

/// The host of this application.
fn host(app: &App) -> Host {
    let kept = app.memo::<OnceLock<Host>>();
    let plugins = &app.settings.plugins;
    let make = || {
        Host::new(HostOptions {
            python: plugins.python.clone(),
            ..HostOptions::default()
        })
    };
    kept.get_or_init(make).clone()
}

/// Python's rule for names, for all but rare characters.
pub(crate) fn is_identifier(text: &str) -> bool {
    let mut characters = text.chars();
    let first = characters
        .next()
        .is_some_and(|first| first == '_' || first.is_alphabetic());
    first && characters.all(|character| character == '_' || character.is_alphanumeric())
}

/// Sources of old versions of the reference name its modules by short names.
pub(crate) fn with_present_imports(source: &str) -> String {
    ["utils", "apps", "main", "config"]
        .iter()
        .fold(source.to_owned(), |source, name| {
            source.replace(&format!("from {name}"), &format!("from open_webui.{name}"))
        })
}

/// What a source says about itself: `name: value` lines of the text it begins with.
pub(crate) fn frontmatter(source: &str) -> Map<String, Value> {
    #[expect(clippy::expect_used, reason = "the pattern is a constant; a test compiles it")]
    static LINE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?i)^\s*([a-z_]+):\s*(.*)$").expect("a pattern"));
    let mut lines = source.lines();
    if lines.next().is_none_or(|first| first.trim() != "\"\"\"") {
        return Map::new();
    }
    let body = lines.take_while(|line| !line.contains("\"\"\""));
    body.filter_map(|line| LINE.captures(line))
        .map(|found| (found[1].trim().to_owned(), json!(found[2].trim())))
        .collect()
}

/// What Python says about a source, as it is.
pub(crate) fn told_plainly(text: &str) -> ApiError {
    ApiError::bad_request(text)
}

/// A stored source that can not be loaded any more.
fn broken(text: &str) -> ApiError {
    ApiError::internal(text)
}

/// A problem with a plugin as an answer; `told` is what is said about problems of the plugin itself.
pub(crate) fn refusal(problem: &HostProblem, told: impl Fn(&str) -> ApiError) -> ApiError {
    match problem {
        HostProblem::NoPython { .. } => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, problem.to_string()),
        problem => {
            tracing::info!("a plugin could not be loaded: {problem}");
            told(&problem.to_string())
        }
    }
}

/// Looks into a source whose settings are stored as `valves`: they must fit it.
pub(crate) async fn inspect(
    app: &App,
    plugin: Plugin<'_>,
    valves: Option<&str>,
    told: impl Fn(&str) -> ApiError,
) -> ApiResult<Inspection> {
    let host = host(app);
    let wanted = frontmatter(plugin.source);
    let wanted = wanted
        .get("requirements")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let settings = &app.settings;
    if settings.plugins.install_packages && !settings.server.offline {
        let packages: Vec<String> = wanted
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        let (options, index) = (&settings.plugins.pip_options, &settings.plugins.pip_index_options);
        host.install(&packages, options, index)
            .await
            .map_err(|problem| refusal(&problem, &told))?;
    }
    let stored = Value::Object(read_valves(app, valves));
    let found = host
        .inspect(plugin, &stored)
        .await
        .map_err(|problem| refusal(&problem, &told))?;
    match &found.valves_problem {
        None => Ok(found),
        Some(problem) => Err(ApiError::bad_request(format!(
            "Current Valves are incompatible with this code: {problem}"
        ))),
    }
}

/// The form of a plugin's settings for a user, null when it has none.
pub(crate) async fn schema<R: Role>(
    caller: &Caller<R>,
    user: &UserRow,
    plugin: Plugin<'_>,
    which: Which,
) -> ApiResult<Value> {
    let user = json!({ "id": user.id, "email": user.email, "name": user.name, "role": user.role });
    let found = host(caller.app()).schema(plugin, which, &user).await;
    found.map_err(|problem| refusal(&problem, broken))
}

/// Settings as the plugin reads them. `told` is what is said when it does not.
pub(crate) async fn check(
    app: &App,
    plugin: Plugin<'_>,
    which: Which,
    values: Map<String, Value>,
    told: &str,
) -> ApiResult<Map<String, Value>> {
    let checked = host(app).check(plugin, which, &Value::Object(values)).await;
    match checked {
        Ok(Some(Value::Object(values))) => Ok(values),
        Ok(_) => Err(ApiError::unauthorized(messages::NOT_FOUND)),
        Err(problem) => Err(refusal(&problem, |_| {
            ApiError::bad_request(messages::default_with(told))
        })),
    }
}

/// Settings from how they are stored: an object, or a token that holds one.
pub(crate) fn read_valves(app: &App, text: Option<&str>) -> Map<String, Value> {
    valves::read(&app.settings, text)
}

/// Settings as they are stored.
pub(crate) fn stored_valves(app: &App, values: &Map<String, Value>) -> ApiResult<Value> {
    valves::seal(&app.settings, values)
        .ok_or_else(|| ApiError::internal("the secret key is no key for encryption"))
}

/// Settings of a user for a plugin; `area` is `tools` or `functions`.
pub(crate) fn user_valves(app: &App, user: &UserRow, area: &str, id: &str) -> Map<String, Value> {
    valves::of_user(&app.settings, user, area, id)
}

/// The difference of two versions of a source.
pub(crate) fn difference(before: &Version, after: &Version) -> Value {
    let (left, right) = (&before.snapshot, &after.snapshot);
    let mut metadata = Map::new();
    for name in ["name", "meta"] {
        if left.get(name) != right.get(name) {
            metadata.insert(
                name.into(),
                json!({ "before": left.get(name), "after": right.get(name) }),
            );
        }
    }
    let text = |snapshot: &Value| {
        snapshot
            .get("content")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (old, new) = (text(left), text(right));
    let patch = unified(&old, &new, "selected.py", "production.py").join("\n");
    json!({
        "from_id": before.id,
        "to_id": after.id,
        "metadata": metadata,
        "line_endings_only": old != new && patch.is_empty(),
        "content_diff": patch,
    })
}

form! {
    /// Which two versions.
    pub(crate) struct DiffQuery {
        /// The older.
        pub from_id: String,
        /// The newer.
        pub to_id: String,
    }
}

form! {
    /// Where a source is fetched from.
    pub(crate) struct UrlForm {
        /// Its address.
        pub url: Address,
    }
}

/// An address of the web.
#[derive(Debug, Clone)]
pub(crate) struct Address(pub(crate) String);

impl Field for Address {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let Some(text) = input.as_str() else {
            issues.push("url_type", "URL input should be a string or URL", input);
            return None;
        };
        match reqwest::Url::parse(text) {
            Ok(url) if !["http", "https"].contains(&url.scheme()) => {
                let expected = json!({ "expected_schemes": "'http' or 'https'" });
                issues.push_ctx(
                    "url_scheme",
                    "URL scheme should be 'http' or 'https'",
                    input,
                    expected,
                );
                None
            }
            Ok(url) => Some(Self(url.to_string())),
            Err(error) => {
                let error = error.to_string();
                let text = format!("Input should be a valid URL, {error}");
                issues.push_ctx("url_parsing", text, input, json!({ "error": error }));
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "format": "uri" })
    }
}

/// The address of the file itself for pages of GitHub that show one.
fn raw_url(url: &str) -> String {
    let Some(rest) = url.strip_prefix("https://github.com/") else {
        return url.to_owned();
    };
    let parts: Vec<&str> = rest.splitn(5, '/').collect();
    let [owner, repository, kind, branch, path] = parts.as_slice() else {
        return url.to_owned();
    };
    let base = format!("https://raw.githubusercontent.com/{owner}/{repository}/refs/heads/{branch}");
    match *kind {
        "tree" => format!("{base}/{}/main.py", path.trim_end_matches('/')),
        "blob" => format!("{base}/{path}"),
        _ => url.to_owned(),
    }
}

/// A name for what was fetched: of the file, or of the folder of files with names that say nothing.
fn name_of(url: &str) -> String {
    let parts: Vec<&str> = url.trim_end_matches('/').split('/').collect();
    let file = parts.last().copied().unwrap_or_default();
    let telling = |stem: &&str| {
        !["main.py", "index.py", "__init__.py"]
            .iter()
            .any(|name| format!("{stem}.py").starts_with(name))
    };
    match file.strip_suffix(".py").filter(telling) {
        Some(stem) => stem.to_owned(),
        None => parts
            .len()
            .checked_sub(2)
            .map_or("function", |at| parts[at])
            .to_owned(),
    }
}

/// Fetches a source for an administrator, from wherever they say: their own network, too.
pub(crate) async fn fetch(app: &App, form: UrlForm, what: &str) -> ApiResult<Value> {
    let url = raw_url(&form.url.0);
    let failed = || {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            messages::default_with(format!("Error fetching {what}")),
        )
    };
    let http = app.chat.providers.http.client();
    let reply = http
        .get(&url)
        .header("content-type", "application/json")
        .send()
        .await
        .map_err(|_| failed())?;
    if reply.status() != StatusCode::OK {
        return Err(ApiError::new(
            reply.status(),
            format!("Failed to fetch the {what}"),
        ));
    }
    let content = reply.text().await.map_err(|_| failed())?;
    if content.is_empty() {
        return Err(ApiError::bad_request("No data received from the URL"));
    }
    Ok(json!({ "name": name_of(&url), "content": content }))
}

/// What plugins say about themselves beside their name. Unknown fields are kept.
#[derive(Debug, Clone)]
pub(crate) struct ToolMeta(pub(crate) Map<String, Value>);

/// As [`ToolMeta`], for functions.
#[derive(Debug, Clone)]
pub(crate) struct FunctionMeta(pub(crate) Map<String, Value>);

form! {
    struct ToolMetaForm {
        i18n: Option<BTreeMap<String, BTreeMap<String, String>>>,
        description: Option<String>,
        manifest: Option<Map<String, Value>> = Some(Map::new()),
        has_user_valves: bool = false,
        ; .. extra
    }
}

form! {
    struct FunctionMetaForm {
        description: Option<String>,
        manifest: Option<Map<String, Value>> = Some(Map::new()),
        ; .. extra
    }
}

fn with_extra(known: Value, extra: Extra) -> Map<String, Value> {
    let mut all = match known {
        Value::Object(known) => known,
        _ => Map::new(),
    };
    all.extend(extra);
    all
}

impl Field for ToolMeta {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let form = ToolMetaForm::parse(input, issues)?;
        let known = json!({
            "i18n": form.i18n, "description": form.description, "manifest": form.manifest,
            "has_user_valves": form.has_user_valves,
        });
        Some(Self(with_extra(known, form.extra)))
    }

    fn schema() -> Value {
        ToolMetaForm::schema()
    }
}

impl Field for FunctionMeta {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let form = FunctionMetaForm::parse(input, issues)?;
        let known = json!({ "description": form.description, "manifest": form.manifest });
        Some(Self(with_extra(known, form.extra)))
    }

    fn schema() -> Value {
        FunctionMetaForm::schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_say_what_they_are() {
        let source = "\"\"\"\ntitle: Weather\nVersion:  1.0 \nno pair here\n\"\"\"\nname: x\n";
        assert_eq!(
            Value::Object(frontmatter(source)),
            json!({"title": "Weather", "Version": "1.0"})
        );
        assert!(frontmatter("import os\n\"\"\"\ntitle: x\n\"\"\"").is_empty());
        assert_eq!(
            with_present_imports("from utils.misc import a"),
            "from open_webui.utils.misc import a"
        );
    }

    #[test]
    fn ids_are_identifiers() {
        for good in ["weather", "_a1", "größe"] {
            assert!(is_identifier(good), "{good}");
        }
        for bad in ["", "1a", "a-b", "a b"] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }

    #[test]
    fn pages_of_github_lead_to_files() {
        assert_eq!(
            raw_url("https://github.com/a/b/blob/main/x/y.py"),
            "https://raw.githubusercontent.com/a/b/refs/heads/main/x/y.py"
        );
        assert_eq!(
            raw_url("https://github.com/a/b/tree/main/x/"),
            "https://raw.githubusercontent.com/a/b/refs/heads/main/x/main.py"
        );
        assert_eq!(raw_url("https://example.com/a.py"), "https://example.com/a.py");
        assert_eq!(name_of("https://example.com/tools/weather.py"), "weather");
        assert_eq!(name_of("https://example.com/weather/main.py"), "weather");
    }
}
