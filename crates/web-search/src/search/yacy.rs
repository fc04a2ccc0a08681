//! YaCy: a peer of a search network, with digest authentication where it asks for a name.

use http::{Method, StatusCode, header};
use md5::{Digest, Md5};
use oui_config::web;
use oui_loaders::LoadError;

use super::{Ask, Results, by_score, list, needed};

impl Ask<'_> {
    pub(super) async fn yacy(&self) -> Results {
        let config = self.config();
        let mut address = needed(config.get(&web::YACY_QUERY_URL), "YACY_QUERY_URL")?;
        if !address.ends_with("yacysearch.json") {
            address = format!("{}/yacysearch.json", address.trim_end_matches('/'));
        }
        let count = self.count.to_string();
        let params = [
            ("query", self.query),
            ("contentdom", "text"),
            ("resource", "global"),
            ("maximumRecords", &count),
            ("nav", "none"),
        ];
        let request = self
            .get(&address, &params)?
            .header(header::USER_AGENT, crate::pages::BOT);
        let (name, password) = (config.get(&web::YACY_USERNAME), config.get(&web::YACY_PASSWORD));
        let failed = |error: reqwest::Error| LoadError::new(error.without_url().to_string());
        let again = request.try_clone();
        let mut response = request.send().await.map_err(failed)?;
        if response.status() == StatusCode::UNAUTHORIZED
            && !(name.is_empty() && password.is_empty())
            && let Some(again) = again
        {
            let asked = response.headers().get(header::WWW_AUTHENTICATE);
            let asked = asked.and_then(|asked| asked.to_str().ok()).unwrap_or_default();
            let url = response.url();
            let path = match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_owned(),
            };
            if let Some(answer) = digest(asked, &name, &password, &Method::GET, &path, &nonce()) {
                response = again
                    .header(header::AUTHORIZATION, answer)
                    .send()
                    .await
                    .map_err(failed)?;
            }
        }
        let response = response.error_for_status().map_err(failed)?;
        let answer: serde_json::Value = response.json().await.map_err(failed)?;
        let found = by_score(list(&answer, "/channels/0/items"), "ranking");
        Ok(self.hits(found, ("link", "title", "description")))
    }
}

fn nonce() -> String {
    let mut bytes = [0; 8];
    // A nonce of zeros only makes replies repeatable.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    hex::encode(bytes)
}

/// A member of a challenge: `name="value"` or `name=value`.
fn member<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    challenge.split(',').find_map(|part| {
        let part = part.trim();
        let part = part.strip_prefix("Digest ").unwrap_or(part);
        let (key, value) = part.split_once('=')?;
        (key.trim() == name).then(|| value.trim().trim_matches('"'))
    })
}

/// The answer to a challenge (RFC 2617, MD5).
fn digest(
    challenge: &str,
    name: &str,
    password: &str,
    method: &Method,
    path: &str,
    cnonce: &str,
) -> Option<String> {
    if !challenge.starts_with("Digest ") {
        return None;
    }
    let md5 = |text: String| hex::encode(Md5::digest(text));
    let realm = member(challenge, "realm")?;
    let nonce = member(challenge, "nonce")?;
    let ha1 = md5(format!("{name}:{realm}:{password}"));
    let ha2 = md5(format!("{method}:{path}"));
    let with_qop = challenge.contains("qop=");
    let response = if with_qop {
        md5(format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"))
    } else {
        md5(format!("{ha1}:{nonce}:{ha2}"))
    };
    let mut answer = format!(
        "Digest username=\"{name}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{path}\", response=\"{response}\""
    );
    if with_qop {
        answer.push_str(&format!(", qop=auth, nc=00000001, cnonce=\"{cnonce}\""));
    }
    if let Some(opaque) = member(challenge, "opaque") {
        answer.push_str(&format!(", opaque=\"{opaque}\""));
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        let challenge = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
                         nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let answer = digest(
            challenge,
            "Mufasa",
            "Circle Of Life",
            &Method::GET,
            "/dir/index.html",
            "0a4f113b",
        );
        assert!(
            answer
                .unwrap()
                .contains("response=\"6629fae49393a05397450978507c4ef1\"")
        );
        assert_eq!(
            digest("Basic realm=\"x\"", "a", "b", &Method::GET, "/", "c"),
            None
        );
    }
}
