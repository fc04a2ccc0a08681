//! Transcripts of YouTube: the page of the video names the tracks, the track is fetched as XML.

use std::sync::LazyLock;
use std::time::Duration;

use oui_loaders::{Document, LoadError};
use regex::Regex;
use reqwest::{Client, Proxy, Url};
use serde_json::{Value, json};

/// Hosts of videos.
const HOSTS: &[&str] = &[
    "youtu.be",
    "m.youtube.com",
    "youtube.com",
    "www.youtube.com",
    "www.youtube-nocookie.com",
    "vid.plus",
];

#[expect(clippy::expect_used, reason = "a constant pattern")]
static VIDEO: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(https?://)?(www\.)?(youtube\.com|youtu\.be)/.+$").expect("the pattern is good")
});

/// Whether the address is one of a video.
pub fn is_youtube_url(address: &str) -> bool {
    VIDEO.is_match(address)
}

/// The id in an address, or the text itself.
fn video_id(address: &str) -> String {
    let parsed = Url::parse(address).ok().and_then(|url| {
        if !HOSTS.contains(&url.host_str()?) {
            return None;
        }
        let id = if url.path().ends_with("/watch") {
            url.query_pairs().find(|(name, _)| name == "v")?.1.into_owned()
        } else {
            url.path().rsplit('/').next()?.to_owned()
        };
        (id.len() == 11).then_some(id)
    });
    parsed.unwrap_or_else(|| address.to_owned())
}

/// The transcript in the first of the languages that it is there in; English is always the last of them.
pub(crate) async fn transcript(
    address: &str,
    languages: Vec<String>,
    proxy: &str,
    base: &str,
) -> Result<Document, LoadError> {
    let mut builder = Client::builder().timeout(Duration::from_secs(30));
    if !proxy.is_empty() {
        let proxy = Proxy::all(proxy).map_err(|error| LoadError::new(error.to_string()))?;
        builder = builder.proxy(proxy);
    }
    let client = builder
        .build()
        .map_err(|error| LoadError::new(error.to_string()))?;
    let text = Youtube {
        client,
        base: base.trim_end_matches('/').to_owned(),
    }
    .text(&video_id(address), languages)
    .await?;
    Ok(Document::new(text).with("source", address))
}

struct Youtube {
    client: Client,
    base: String,
}

impl Youtube {
    async fn text(&self, id: &str, mut languages: Vec<String>) -> Result<String, LoadError> {
        if !languages.iter().any(|language| language == "en") {
            languages.push("en".into());
        }
        let general = || {
            LoadError::new(format!(
                "Could not retrieve a transcript for the YouTube video {id}."
            ))
        };
        let player = self.player(id).await.ok_or_else(general)?;
        playable(&player, id)?;
        let tracks = player
            .pointer("/captions/playerCaptionsTracklistRenderer/captionTracks")
            .and_then(Value::as_array)
            .filter(|tracks| !tracks.is_empty())
            .ok_or_else(|| LoadError::new(format!("Transcripts are disabled for the YouTube video {id}.")))?;
        for language in &languages {
            let Some(track) = track(tracks, language) else {
                continue;
            };
            let address = track["baseUrl"]
                .as_str()
                .unwrap_or_default()
                .replace("&fmt=srv3", "");
            let Ok(address) = Url::parse(&self.base).and_then(|base| base.join(&address)) else {
                continue;
            };
            let answer = self.client.get(address).send().await.map_err(|_| general())?;
            let xml = answer.text().await.map_err(|_| general())?;
            let text = words(&xml);
            if !text.is_empty() {
                return Ok(text);
            }
        }
        Err(LoadError::new(format!(
            "No transcript found for the YouTube video {id} in these languages: {}.",
            languages.join(", ")
        )))
    }

    /// What the player would be told about the video.
    async fn player(&self, id: &str) -> Option<Value> {
        let page = self
            .client
            .get(format!("{}/watch?v={id}", self.base))
            .send()
            .await
            .ok()?
            .text()
            .await
            .ok()?;
        let key = page
            .split("\"INNERTUBE_API_KEY\":")
            .nth(1)?
            .split('"')
            .nth(1)?
            .to_owned();
        let body = json!({
            "context": { "client": { "clientName": "ANDROID", "clientVersion": "20.10.38" } }, "videoId": id,
        });
        let address = format!("{}/youtubei/v1/player?key={key}", self.base);
        self.client
            .post(address)
            .json(&body)
            .send()
            .await
            .ok()?
            .json()
            .await
            .ok()
    }
}

/// Says why a video can not be played.
fn playable(player: &Value, id: &str) -> Result<(), LoadError> {
    let status = &player["playabilityStatus"];
    let reason = status["reason"].as_str().unwrap_or_default();
    let text = match status["status"].as_str() {
        None | Some("OK") => return Ok(()),
        Some("LOGIN_REQUIRED") if reason.contains("bot") => format!(
            "YouTube blocked the transcript request for {id} from this server. This usually means the server address \
             is rate limited or belongs to a cloud provider. A proxy for these requests can be configured under Admin \
             Settings, Web Search, Youtube Proxy URL."
        ),
        Some("LOGIN_REQUIRED") => {
            format!("The YouTube video {id} is age restricted, so its transcript cannot be retrieved.")
        }
        Some(_) => format!("The YouTube video {id} is unavailable."),
    };
    Err(LoadError::new(text))
}

/// A track of the language, written by people if there is one.
fn track<'a>(tracks: &'a [Value], language: &str) -> Option<&'a Value> {
    let of_language = || {
        tracks
            .iter()
            .filter(|track| track["languageCode"].as_str() == Some(language))
    };
    of_language()
        .find(|track| track["kind"].as_str() != Some("asr"))
        .or_else(|| of_language().next())
}

/// The words of a track.
fn words(xml: &str) -> String {
    let mut words = Vec::new();
    for piece in xml.split("<text").skip(1) {
        let Some((_, text)) = piece.split_once('>') else {
            continue;
        };
        let text = text.split("</text>").next().unwrap_or_default();
        // Escaped twice: once as XML, once as the HTML that the text is.
        let once = quick_xml::escape::unescape(text).unwrap_or_default().into_owned();
        let plain = scraper::Html::parse_fragment(&once)
            .root_element()
            .text()
            .collect::<String>();
        words.push(plain.trim().to_owned());
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Query;
    use axum::routing::{get, post};

    use super::*;

    #[test]
    fn addresses_of_videos() {
        assert!(is_youtube_url("https://www.youtube.com/watch?v=abcdefghijk"));
        assert!(!is_youtube_url("https://example.com/youtube.com/x"));
        assert_eq!(
            video_id("https://www.youtube.com/watch?v=abcdefghijk&t=3"),
            "abcdefghijk"
        );
        assert_eq!(video_id("https://youtu.be/abcdefghijk?x"), "abcdefghijk");
        assert_eq!(video_id("https://youtu.be/short"), "https://youtu.be/short");
    }

    async fn scripted(player: Value) -> Youtube {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let router = Router::new()
            .route("/watch", get(|| async { "… \"INNERTUBE_API_KEY\": \"secret\" …" }))
            .route(
                "/youtubei/v1/player",
                post(move |Query(query): Query<Vec<(String, String)>>| async move {
                    assert_eq!(query, [("key".to_owned(), "secret".to_owned())]);
                    axum::Json(player)
                }),
            )
            .route("/manual", get(|| async { "<transcript><text start=\"0\">It&amp;#39;s</text><text> &lt;i&gt;here&lt;/i&gt; </text></transcript>" }))
            .route("/machine", get(|| async { "<transcript><text>machine</text></transcript>" }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::builder().build().unwrap();
        Youtube { client, base }
    }

    #[tokio::test]
    async fn transcripts_are_found() {
        let tracks = json!([
            { "languageCode": "en", "kind": "asr", "baseUrl": "/machine" },
            { "languageCode": "en", "baseUrl": "/manual&fmt=srv3" },
        ]);
        let player = json!({
            "playabilityStatus": { "status": "OK" },
            "captions": { "playerCaptionsTracklistRenderer": { "captionTracks": tracks } },
        });
        let youtube = scripted(player).await;
        assert_eq!(
            youtube.text("abcdefghijk", vec!["de".into()]).await.unwrap(),
            "It's here"
        );
        let none = scripted(json!({ "playabilityStatus": { "status": "OK" } })).await;
        assert_eq!(
            none.text("abcdefghijk", Vec::new())
                .await
                .unwrap_err()
                .to_string(),
            "Transcripts are disabled for the YouTube video abcdefghijk."
        );
        let gone = scripted(json!({ "playabilityStatus": { "status": "ERROR" } })).await;
        assert_eq!(
            gone.text("abcdefghijk", Vec::new())
                .await
                .unwrap_err()
                .to_string(),
            "The YouTube video abcdefghijk is unavailable."
        );
    }
}
