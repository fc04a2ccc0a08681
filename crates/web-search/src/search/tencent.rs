//! Sougou through Tencent's cloud, whose requests are signed.

use http::header;
use oui_config::web;
use oui_loaders::LoadError;
use ring::hmac;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{Ask, Results, by_score, list, needed};

const HOST: &str = "tms.tencentcloudapi.com";
const SERVICE: &str = "tms";

impl Ask<'_> {
    pub(super) async fn sougou(&self) -> Results {
        let missing = "SOUGOU_API_SID or SOUGOU_API_SK";
        let id = needed(self.config().get(&web::SOUGOU_API_SID), missing)?;
        let key = needed(self.config().get(&web::SOUGOU_API_SK), missing)?;
        let body = json!({ "Query": self.query, "Cnt": 20 }).to_string();
        let now = self.search.clock.seconds();
        let signed = signature(&id, &key, &body, now)?;
        let request = self
            .request(http::Method::POST, &format!("https://{HOST}/"))?
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, signed)
            .header("X-TC-Action", "SearchPro")
            .header("X-TC-Version", "2020-12-29")
            .header("X-TC-Timestamp", now.to_string())
            .body(body);
        let answer = self.send(request).await?;
        if let Some(error) = answer.pointer("/Response/Error/Message").and_then(Value::as_str) {
            return Err(LoadError::new(error));
        }
        // Every page is a JSON text of its own.
        let pages = list(&answer, "/Response/Pages");
        let pages = pages
            .iter()
            .filter_map(|page| serde_json::from_str(page.as_str()?).ok());
        Ok(self.hits(by_score(pages.collect(), "scour"), ("url", "title", "passage")))
    }
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
        .as_ref()
        .to_vec()
}

/// The header of version 3 of the signature.
fn signature(id: &str, key: &str, body: &str, now: i64) -> Result<String, LoadError> {
    let date = OffsetDateTime::from_unix_timestamp(now)
        .map_err(|error| LoadError::new(error.to_string()))?
        .date();
    let date = format!(
        "{:04}-{:02}-{:02}",
        date.year(),
        u8::from(date.month()),
        date.day()
    );
    let signed_headers = "content-type;host";
    let canonical = format!(
        "POST\n/\n\ncontent-type:application/json\nhost:{HOST}\n\n{signed_headers}\n{}",
        hex::encode(Sha256::digest(body))
    );
    let scope = format!("{date}/{SERVICE}/tc3_request");
    let text = format!(
        "TC3-HMAC-SHA256\n{now}\n{scope}\n{}",
        hex::encode(Sha256::digest(canonical))
    );
    let key = sign(format!("TC3{key}").as_bytes(), &date);
    let key = sign(&sign(&key, SERVICE), "tc3_request");
    let signature = hex::encode(sign(&key, &text));
    Ok(format!(
        "TC3-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed_headers}, Signature={signature}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_depend_on_all_parts() {
        let one = signature("id", "key", "{}", 1_551_113_065).unwrap();
        assert!(one.starts_with(
            "TC3-HMAC-SHA256 Credential=id/2019-02-25/tms/tc3_request, SignedHeaders=content-type;host, Signature="
        ));
        assert_ne!(one, signature("id", "other", "{}", 1_551_113_065).unwrap());
        assert_ne!(one, signature("id", "key", "{ }", 1_551_113_065).unwrap());
    }
}
