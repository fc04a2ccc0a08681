//! Default addresses and keys of OpenAI and Ollama, which many keys share.
//!
//! The rules are the original's. It also probes two Ollama ports at start; the network call is the server's
//! task, the decision is here: [`crate::ollama_host_to_probe`] and [`Environment::with_ollama_port`].

use serde_json::Value;

use crate::environment::Environment;
use crate::python;

/// OpenAI's own address, the default of every OpenAI-compatible engine.
pub(crate) const OPENAI_URL: &str = "https://api.openai.com/v1";

/// Variables that decide the OpenAI key shared by the engines.
pub(crate) const OPENAI_KEY_SOURCES: &[&str] = &[
    "OPENAI_API_KEY",
    "OPENAI_API_KEYS",
    "OPENAI_API_BASE_URLS",
    "OPENAI_API_BASE_URL",
];

/// Variables that decide the Ollama address besides `OLLAMA_BASE_URLS`.
pub(crate) const OLLAMA_SOURCES: &[&str] = &[
    "OLLAMA_BASE_URL",
    "OLLAMA_API_BASE_URL",
    "ENV",
    "K8S_FLAG",
    "USE_OLLAMA_DOCKER",
];

/// Addresses of the OpenAI-compatible connections; an empty entry means OpenAI itself.
pub(crate) fn openai_urls(environment: &Environment) -> Result<Value, String> {
    Ok(openai_url_list(environment).into())
}

/// Keys of these connections.
pub(crate) fn openai_keys(environment: &Environment) -> Result<Value, String> {
    Ok(openai_key_list(environment).into())
}

fn openai_url_list(environment: &Environment) -> Vec<String> {
    let single = match environment.non_empty("OPENAI_API_BASE_URL") {
        Some(url) => url.strip_suffix('/').unwrap_or(url),
        None => OPENAI_URL,
    };
    let list = environment.non_empty("OPENAI_API_BASE_URLS").unwrap_or(single);
    list.split(';')
        .map(|url| if url.is_empty() { OPENAI_URL } else { url.trim() }.to_owned())
        .collect()
}

fn openai_key_list(environment: &Environment) -> Vec<String> {
    let single = environment.get("OPENAI_API_KEY").unwrap_or_default();
    python::items_with_blanks(environment.non_empty("OPENAI_API_KEYS").unwrap_or(single), ';')
}

/// The key that belongs to OpenAI's own address; empty if no connection uses it.
fn openai_key(environment: &Environment) -> String {
    let position = openai_url_list(environment)
        .iter()
        .position(|url| url == OPENAI_URL);
    position
        .and_then(|at| openai_key_list(environment).into_iter().nth(at))
        .unwrap_or_default()
}

/// A rule per engine: its own variable, or the shared OpenAI key.
macro_rules! openai_key_of {
    ($($rule:ident = $variable:literal;)+) => {$(
        pub(crate) fn $rule(environment: &Environment) -> Result<Value, String> {
            let own = environment.get($variable).map(str::to_owned);
            Ok(own.unwrap_or_else(|| openai_key(environment)).into())
        }
    )+};
}

openai_key_of! {
    rag_openai_key = "RAG_OPENAI_API_KEY";
    images_openai_key = "IMAGES_OPENAI_API_KEY";
    images_edit_openai_key = "IMAGES_EDIT_OPENAI_API_KEY";
    stt_openai_key = "AUDIO_STT_OPENAI_API_KEY";
    tts_openai_key = "AUDIO_TTS_OPENAI_API_KEY";
}

/// Addresses of the Ollama servers.
pub(crate) fn ollama_urls(environment: &Environment) -> Result<Value, String> {
    let single = ollama_url(environment);
    Ok(python::items_with_blanks(environment.non_empty("OLLAMA_BASE_URLS").unwrap_or(&single), ';').into())
}

/// Address for embeddings by Ollama.
pub(crate) fn rag_ollama_url(environment: &Environment) -> Result<Value, String> {
    let own = environment.get("RAG_OLLAMA_BASE_URL").map(str::to_owned);
    Ok(own.unwrap_or_else(|| ollama_url(environment)).into())
}

fn ollama_url(environment: &Environment) -> String {
    let url = configured_ollama_url(environment);
    match environment.ollama_port() {
        Some(port) if is_open(environment) => url.replace(":11434", &format!(":{port}")),
        _ => url,
    }
}

fn configured_ollama_url(environment: &Environment) -> String {
    let mut url = environment
        .non_empty("OLLAMA_BASE_URL")
        .map_or(String::new(), |url| {
            url.strip_suffix('/').unwrap_or(url).to_owned()
        });
    let older = environment
        .get("OLLAMA_API_BASE_URL")
        .unwrap_or("http://localhost:11434/api");
    if url.is_empty() && !older.is_empty() {
        older.strip_suffix("/api").unwrap_or(older).clone_into(&mut url);
    }
    if environment.get("ENV") != Some("prod") {
        return url;
    }
    let kubernetes = environment.non_empty("K8S_FLAG").is_some();
    match (kubernetes, url.as_str()) {
        (true, _) => "http://ollama-service.open-webui.svc.cluster.local:11434".to_owned(),
        (false, "/ollama") if environment.flag("USE_OLLAMA_DOCKER", false) => {
            "http://localhost:11434".to_owned()
        }
        (false, "/ollama") => "http://host.docker.internal:11434".to_owned(),
        (false, _) => url,
    }
}

/// Whether the operator left the Ollama address open, so that the port may be probed.
fn is_open(environment: &Environment) -> bool {
    matches!(environment.get("OLLAMA_BASE_URL"), None | Some("" | "/ollama"))
        && environment.non_empty("OLLAMA_BASE_URLS").is_none()
}

/// The host on which a start should try port 11434 and, if that is closed, 12434; `None` if the operator
/// named an address. Pass the open port to [`Environment::with_ollama_port`].
pub fn unresolved_host(environment: &Environment) -> Option<String> {
    if !is_open(environment) {
        return None;
    }
    let url = configured_ollama_url(environment);
    let authority = url
        .split_once("://")
        .map_or("", |(_, rest)| rest)
        .split(['/', '?', '#'])
        .next()
        .unwrap_or("");
    let host = authority.rsplit('@').next().unwrap_or("");
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    Some(if host.is_empty() {
        "localhost".to_owned()
    } else {
        host.to_lowercase()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn environment(values: &[(&str, &str)]) -> Environment {
        Environment::from_map(values.iter().copied())
    }

    #[test]
    fn openai_lists() {
        let given = environment(&[("OPENAI_API_BASE_URL", "http://a/v1/"), ("OPENAI_API_KEY", "k")]);
        assert_eq!(openai_urls(&given), Ok(json!(["http://a/v1"])));
        assert_eq!(openai_keys(&given), Ok(json!(["k"])));
        let given = environment(&[
            ("OPENAI_API_BASE_URLS", "http://a/; ;;"),
            ("OPENAI_API_KEYS", "x; y"),
        ]);
        assert_eq!(
            openai_urls(&given),
            Ok(json!(["http://a/", "", OPENAI_URL, OPENAI_URL]))
        );
        assert_eq!(openai_keys(&given), Ok(json!(["x", "y"])));
    }

    #[test]
    fn engines_share_the_key_of_openai_itself() {
        let urls = ("OPENAI_API_BASE_URLS", "http://a/v1;https://api.openai.com/v1");
        assert_eq!(
            rag_openai_key(&environment(&[urls, ("OPENAI_API_KEYS", "x;y")])),
            Ok(json!("y"))
        );
        assert_eq!(
            rag_openai_key(&environment(&[urls, ("OPENAI_API_KEYS", "x")])),
            Ok(json!(""))
        );
        assert_eq!(
            rag_openai_key(&environment(&[("OPENAI_API_KEY", "k")])),
            Ok(json!("k"))
        );
        let own = environment(&[("OPENAI_API_KEY", "k"), ("RAG_OPENAI_API_KEY", "")]);
        assert_eq!(rag_openai_key(&own), Ok(json!("")));
    }

    #[test]
    fn ollama_addresses() {
        let urls = |values: &[(&str, &str)]| ollama_urls(&environment(values)).unwrap();
        assert_eq!(urls(&[]), json!(["http://localhost:11434"]));
        assert_eq!(
            urls(&[("OLLAMA_API_BASE_URL", "http://b:1/api")]),
            json!(["http://b:1"])
        );
        assert_eq!(urls(&[("OLLAMA_BASE_URL", "http://c/")]), json!(["http://c"]));
        assert_eq!(urls(&[("OLLAMA_BASE_URL", "/ollama")]), json!(["/ollama"]));
        let prod = ("ENV", "prod");
        assert_eq!(
            urls(&[prod, ("OLLAMA_BASE_URL", "/ollama")]),
            json!(["http://host.docker.internal:11434"])
        );
        let docker = ("USE_OLLAMA_DOCKER", "true");
        assert_eq!(
            urls(&[prod, docker, ("OLLAMA_BASE_URL", "/ollama")]),
            json!(["http://localhost:11434"])
        );
        let service = json!(["http://ollama-service.open-webui.svc.cluster.local:11434"]);
        assert_eq!(
            urls(&[prod, ("K8S_FLAG", "1"), ("OLLAMA_BASE_URL", "http://c")]),
            service
        );
        assert_eq!(
            urls(&[("OLLAMA_BASE_URLS", "http://a; http://b")]),
            json!(["http://a", "http://b"])
        );
    }

    #[test]
    fn the_probed_port_replaces_only_an_open_address() {
        let open = environment(&[]).with_ollama_port(12434);
        assert_eq!(ollama_urls(&open), Ok(json!(["http://localhost:12434"])));
        let named = environment(&[("OLLAMA_BASE_URL", "http://c:11434")]).with_ollama_port(12434);
        assert_eq!(ollama_urls(&named), Ok(json!(["http://c:11434"])));
        assert_eq!(unresolved_host(&named), None);
        assert_eq!(unresolved_host(&environment(&[])), Some("localhost".to_owned()));
        let other = environment(&[("OLLAMA_API_BASE_URL", "http://u:p@[::1]:11434/api")]);
        assert_eq!(unresolved_host(&other), Some("::1".to_owned()));
    }
}
