//! Yandex: JSON around an XML document in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header;
use oui_config::web;
use oui_loaders::LoadError;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use serde_json::{Map, Value, json};

use super::{Ask, Results, SearchResult, text};

impl Ask<'_> {
    pub(super) async fn yandex(&self) -> Results {
        let config = self.config();
        let address = config.get(&web::YANDEX_WEB_SEARCH_URL);
        let address = match address.as_str() {
            "" => "https://searchapi.api.cloud.yandex.net/v2/web/search",
            address => address,
        };
        let own = config.get(&web::YANDEX_WEB_SEARCH_CONFIG);
        let mut body: Map<String, Value> = match own.as_str() {
            "" => Map::new(),
            own => serde_json::from_str(own).map_err(|error| LoadError::new(error.to_string()))?,
        };
        let part = |body: &mut Map<String, Value>, name: &str| match body.shift_remove(name) {
            Some(Value::Object(part)) => part,
            _ => Map::new(),
        };
        let mut query = part(&mut body, "query");
        query
            .entry("searchType")
            .or_insert_with(|| json!("SEARCH_TYPE_RU"));
        query.insert("queryText".into(), json!(self.query));
        let mut groups = part(&mut body, "groupSpec");
        groups
            .entry("groupMode")
            .or_insert_with(|| json!("GROUP_MODE_DEEP"));
        groups.insert("groupsOnPage".into(), json!(self.count));
        groups.insert("docsInGroup".into(), json!(1));
        body.insert("query".into(), Value::Object(query));
        body.insert("groupSpec".into(), Value::Object(groups));
        let key = config.get(&web::YANDEX_WEB_SEARCH_API_KEY);
        let request = self
            .post(address, &Value::Object(body))?
            .header(header::AUTHORIZATION, format!("Api-Key {key}"));
        let answer = self.send(request).await?;
        let raw = text(&answer, "rawData").ok_or_else(|| LoadError::new("The answer has no `rawData`"))?;
        let raw: String = raw.split_whitespace().collect();
        let xml = STANDARD
            .decode(raw)
            .map_err(|error| LoadError::new(error.to_string()))?;
        Ok(self.kept(hits(&String::from_utf8_lossy(&xml))?))
    }
}

/// One hit per group: address, title and first passage, without the marks inside them.
fn hits(xml: &str) -> Result<Vec<SearchResult>, LoadError> {
    let mut reader = Reader::from_str(xml);
    let mut hits = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let (mut url, mut title, mut passage, mut passages) = (String::new(), String::new(), String::new(), 0);
    loop {
        let event = reader
            .read_event()
            .map_err(|error| LoadError::new(error.to_string()))?;
        let piece = match event {
            Event::Start(start) => {
                let name = start.name().into_inner().to_owned();
                if name == "group" {
                    (url, title, passage, passages) = (String::new(), String::new(), String::new(), 0);
                }
                passages += usize::from(name == "passage");
                open.push(name);
                continue;
            }
            Event::End(end) => {
                open.pop();
                if end.name().into_inner() == "group" && !url.is_empty() {
                    hits.push(SearchResult {
                        link: url.trim().to_owned(),
                        title: Some(title.trim_matches('\n').to_owned()),
                        snippet: Some(passage.clone()),
                    });
                }
                continue;
            }
            Event::Text(text) => text.xml10_content().into_owned(),
            Event::CData(data) => data.xml10_content().into_owned(),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(c)) => c.to_string(),
                _ => resolve_predefined_entity(&reference.xml10_content())
                    .unwrap_or_default()
                    .to_owned(),
            },
            Event::Eof => return Ok(hits),
            _ => continue,
        };
        let inside = |name: &str| open.iter().any(|part| part == name);
        if inside("passage") && passages == 1 {
            passage.push_str(&piece);
        } else if inside("title") {
            title.push_str(&piece);
        } else if inside("url") {
            url.push_str(&piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_hits() {
        let xml = "<yandexsearch><response><results><grouping><group><doc><url>https://a.example/</url>\
                   <title>One <hlword>word</hlword> &amp; more</title><passages><passage>first <hlword>x</hlword></passage>\
                   <passage>second</passage></passages></doc></group></grouping></results></response></yandexsearch>";
        assert_eq!(
            hits(xml).unwrap(),
            [SearchResult {
                link: "https://a.example/".into(),
                title: Some("One word & more".into()),
                snippet: Some("first x".into()),
            }]
        );
    }
}
