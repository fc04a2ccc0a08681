//! DuckDuckGo has no interface for programs; its page without scripts is read.

use http::{Method, header};
use oui_loaders::LoadError;
use reqwest::Url;
use scraper::{Html, Selector};

use super::{Ask, Results, SearchResult};

impl Ask<'_> {
    pub(super) async fn duckduckgo(&self) -> Results {
        let failed = |error: reqwest::Error| LoadError::new(error.without_url().to_string());
        let response = self
            .request(Method::POST, "https://html.duckduckgo.com/html/")?
            .header(header::USER_AGENT, crate::pages::USER_AGENT)
            .header(header::ACCEPT, "text/html")
            .form(&[("q", self.query), ("b", ""), ("l", "us-en"), ("kp", "-1")])
            .send()
            .await
            .map_err(failed)?
            .error_for_status()
            .map_err(failed)?;
        let page = response.text().await.map_err(failed)?;
        Ok(self.kept(hits(&page)))
    }
}

fn hits(page: &str) -> Vec<SearchResult> {
    let page = Html::parse_document(page);
    let [Ok(result), Ok(title), Ok(snippet)] =
        [".result", "a.result__a", ".result__snippet"].map(Selector::parse)
    else {
        return Vec::new();
    };
    page.select(&result)
        .filter_map(|hit| {
            let title = hit.select(&title).next()?;
            let link = target(title.value().attr("href")?)?;
            let snippet = hit.select(&snippet).next();
            Some(SearchResult {
                link,
                title: Some(title.text().collect::<String>().trim().to_owned()),
                snippet: Some(
                    snippet
                        .map(|text| text.text().collect::<String>())
                        .unwrap_or_default()
                        .trim()
                        .to_owned(),
                ),
            })
        })
        .collect()
}

/// Links lead through a page that counts; advertisements are left out.
fn target(link: &str) -> Option<String> {
    let base = Url::parse("https://duckduckgo.com/").ok()?;
    let url = base.join(link).ok()?;
    if url.path().starts_with("/y.js") {
        return None;
    }
    match url.query_pairs().find(|(name, _)| name == "uddg") {
        Some((_, real)) => Some(real.into_owned()),
        None => Some(url.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_read_from_the_page() {
        let page = "<div class=\"result results_links\"><h2><a class=\"result__a\" \
            href=\"//duckduckgo.com/l/?uddg=https%3A%2F%2Fa.example%2Fx%3Fy&amp;rut=1\">A <b>title</b></a></h2>\
            <a class=\"result__snippet\">Some <b>text</b></a></div>\
            <div class=\"result result--ad\"><a class=\"result__a\" href=\"//duckduckgo.com/y.js?ad=1\">Ad</a></div>";
        assert_eq!(
            hits(page),
            [SearchResult {
                link: "https://a.example/x?y".into(),
                title: Some("A title".into()),
                snippet: Some("Some text".into()),
            }]
        );
    }
}
