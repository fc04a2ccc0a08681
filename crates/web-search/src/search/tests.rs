//! Every engine against a scripted server in the vendor's format: what is asked, and what is made of the answer.

use axum::Router;
use axum::body::Bytes;
use axum::response::IntoResponse;
use http::{HeaderMap, Uri};
use oui_config::Environment;

use super::*;

/// What an engine is asked and answers.
struct Case {
    engine: &'static str,
    settings: &'static [(&'static str, &'static str)],
    /// `METHOD host/path`, then texts that the query, headers or body must contain.
    asks: &'static [&'static str],
    answer: Value,
}

/// Two hits with these member names.
fn two(url: &str, title: &str, snippet: &str) -> Value {
    json!([
        { url: "https://a.example/1", title: "First", snippet: "one" },
        { url: "https://b.example/2", title: "Second", snippet: "two" },
    ])
}

async fn serve(answer: Value, seen: Arc<std::sync::Mutex<String>>) -> String {
    let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let (answer, seen) = (answer.clone(), seen.clone());
        async move {
            let headers: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()))
                .collect();
            let text = format!(
                "{method} {}\n{}\n{}\n{}",
                uri.path(),
                uri.query().unwrap_or_default(),
                headers.join("\n"),
                String::from_utf8_lossy(&body)
            );
            *seen.lock().unwrap() = text;
            match answer {
                Value::String(page) => axum::response::Html(page).into_response(),
                answer => axum::Json(answer).into_response(),
            }
        }
    };
    let router = Router::new().fallback(handler);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/")
}

fn search(settings: &[(&str, &str)], detour: Option<String>) -> WebSearch {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = std::env::temp_dir();
    let folder = folder.to_string_lossy();
    let mut variables = vec![
        ("DATA_DIR", folder.as_ref()),
        ("WEBUI_SECRET_KEY", "a-secret-of-at-least-thirty-two-bytes"),
    ];
    variables.extend_from_slice(settings);
    let environment = Environment::from_map(variables);
    let config = Arc::new(Config::new(&environment, std::collections::BTreeMap::new()));
    let settings = Arc::new(Settings::load(&environment).unwrap());
    let mut search = WebSearch::new(config, settings, Clock::system()).unwrap();
    search.detour = detour;
    search
}

fn cases() -> Vec<Case> {
    let case = |engine, settings, asks, answer| Case {
        engine,
        settings,
        asks,
        answer,
    };
    let page = "<div class=\"result\"><a class=\"result__a\" href=\"https://a.example/1\">First</a><a class=\"result__snippet\">one</a></div>\
                <div class=\"result\"><a class=\"result__a\" href=\"https://b.example/2\">Second</a><a class=\"result__snippet\">two</a></div>";
    let yandex = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        "<r><group><doc><url>https://a.example/1</url><title>First</title><passages><passage>one</passage></passages></doc></group>\
         <group><doc><url>https://b.example/2</url><title>Second</title><passages><passage>two</passage></passages></doc></group></r>",
    );
    let ranked = |name: &str, first: i64, second: i64, url: &str, snippet: &str| {
        let mut hits = two(url, "title", snippet);
        hits[0][name] = json!(first);
        hits[1][name] = json!(second);
        // They come in the wrong order.
        hits.as_array_mut().unwrap().reverse();
        hits
    };
    vec![
        case(
            "ollama_cloud",
            &[("OLLAMA_CLOUD_API_KEY", "k")],
            &[
                "POST /ollama.com/api/web_search",
                "authorization: Bearer k",
                "\"query\":\"two words\"",
                "\"max_results\":2",
            ],
            json!({"results": two("url", "title", "content")}),
        ),
        case(
            "perplexity_search",
            &[("PERPLEXITY_API_KEY", "k")],
            &["POST /api.perplexity.ai/search", "authorization: Bearer k"],
            json!({"results": two("url", "title", "snippet")}),
        ),
        case(
            "searxng",
            &[("SEARXNG_QUERY_URL", "http://searx.example/search?q=<query>")],
            &[
                "GET /searx.example/search\n",
                "q=two+words",
                "format=json",
                "language=all",
            ],
            json!({"results": ranked("score", 9, 1, "url", "content")}),
        ),
        case(
            "openserp",
            &[("OPENSERP_BASE_URL", "http://serp.example/")],
            &["GET /serp.example/mega/search", "text=two+words", "limit=2"],
            json!({"results": two("url", "title", "snippet")}),
        ),
        case(
            "yacy",
            &[("YACY_QUERY_URL", "http://yacy.example")],
            &[
                "GET /yacy.example/yacysearch.json",
                "query=two+words",
                "maximumRecords=2",
            ],
            json!({"channels": [{"items": ranked("ranking", 9, 1, "link", "description")}]}),
        ),
        case(
            "google_pse",
            &[("GOOGLE_PSE_API_KEY", "k"), ("GOOGLE_PSE_ENGINE_ID", "e")],
            &[
                "GET /www.googleapis.com/customsearch/v1",
                "cx=e",
                "key=k",
                "num=2",
                "start=1",
            ],
            json!({"items": two("link", "title", "snippet")}),
        ),
        case(
            "brave",
            &[("BRAVE_SEARCH_API_KEY", "k")],
            &[
                "GET /api.search.brave.com/res/v1/web/search",
                "x-subscription-token: k",
                "count=2",
            ],
            json!({"web": {"results": two("url", "title", "description")}}),
        ),
        case(
            "brave_llm_context",
            &[("BRAVE_SEARCH_API_KEY", "k")],
            &[
                "GET /api.search.brave.com/res/v1/llm/context",
                "maximum_number_of_tokens=8192",
            ],
            json!({"grounding": {"generic": [{"url": "https://a.example/1", "title": "First", "snippets": ["one"]}, {"url": "https://b.example/2", "title": "Second", "snippets": ["two"]}]}}),
        ),
        case(
            "kagi",
            &[("KAGI_SEARCH_API_KEY", "k")],
            &[
                "POST /kagi.com/api/v1/search",
                "authorization: Bearer k",
                "\"limit\":2",
            ],
            json!({"data": {"search": two("url", "title", "snippet")}}),
        ),
        case(
            "mojeek",
            &[("MOJEEK_SEARCH_API_KEY", "k")],
            &["GET /api.mojeek.com/search", "api_key=k", "fmt=json", "t=2"],
            json!({"response": {"results": two("url", "title", "desc")}}),
        ),
        case(
            "bocha",
            &[("BOCHA_SEARCH_API_KEY", "k")],
            &[
                "POST /api.bochaai.com/v1/web-search",
                "\"freshness\":\"noLimit\"",
                "\"summary\":true",
            ],
            json!({"data": {"webPages": {"value": two("url", "name", "summary")}}}),
        ),
        case(
            "serpstack",
            &[("SERPSTACK_API_KEY", "k")],
            &["GET /api.serpstack.com/search", "access_key=k"],
            json!({"organic_results": ranked("position", 1, 2, "url", "snippet")}),
        ),
        case(
            "serper",
            &[("SERPER_API_KEY", "k")],
            &[
                "POST /google.serper.dev/search",
                "x-api-key: k",
                "{\"q\":\"two words\"}",
            ],
            json!({"organic": ranked("position", 1, 2, "link", "snippet")}),
        ),
        case(
            "serphouse",
            &[("SERPHOUSE_API_KEY", "k")],
            &[
                "GET /api.serphouse.com/serp/live",
                "domain=google.com",
                "num_result=2",
                "authorization: Bearer k",
            ],
            json!({"results": {"results": {"organic": ranked("position", 1, 2, "link", "snippet")}}}),
        ),
        case(
            "serply",
            &[("SERPLY_API_KEY", "k")],
            &[
                "GET /api.serply.io/v1/search/q=two+words&language=en&num=10&gl=US&hl=us",
                "x-api-key: k",
                "user-agent: open-webui",
            ],
            json!({"results": ranked("realPosition", 1, 2, "link", "description")}),
        ),
        case(
            "duckduckgo",
            &[],
            &["POST /html.duckduckgo.com/html/", "q=two+words"],
            json!(page),
        ),
        case(
            "tavily",
            &[("TAVILY_API_KEY", "k")],
            &[
                "POST /api.tavily.com/search",
                "authorization: Bearer k",
                "\"search_depth\":\"basic\"",
            ],
            json!({"results": two("url", "title", "content")}),
        ),
        case(
            "staan",
            &[("STAAN_API_KEY", "k"), ("STAAN_MAX_SNIPPETS", "3")],
            &[
                "GET /api.staan.ai/v2/search/web",
                "market=en-us",
                "max_snippets=3",
                "extra_snippets=true",
            ],
            json!({"web": {"results": two("url", "title", "snippet")}}),
        ),
        case(
            "exa",
            &[("EXA_API_KEY", "k"), ("EXA_MAX_CONTENT_LENGTH", "3")],
            &[
                "POST /api.exa.ai/search",
                "\"numResults\":2",
                "\"maxCharacters\":3",
            ],
            json!({"results": two("url", "title", "text")}),
        ),
        case(
            "searchapi",
            &[("SEARCHAPI_API_KEY", "k")],
            &[
                "GET /www.searchapi.io/api/v1/search",
                "engine=google",
                "api_key=k",
                "link=resolved",
            ],
            json!({"organic_results": two("link", "title", "snippet")}),
        ),
        case(
            "serpapi",
            &[("SERPAPI_API_KEY", "k")],
            &["GET /serpapi.com/search", "engine=google", "api_key=k"],
            json!({"organic_results": ranked("position", 1, 2, "link", "snippet")}),
        ),
        case(
            "jina",
            &[("JINA_API_KEY", "k")],
            &[
                "POST /s.jina.ai/",
                "authorization: k",
                "x-retain-images: none",
                "\"count\":2",
            ],
            json!({"data": two("url", "title", "content")}),
        ),
        case(
            "bing",
            &[("BING_SEARCH_V7_SUBSCRIPTION_KEY", "k")],
            &[
                "GET /api.bing.microsoft.com/v7.0/search",
                "ocp-apim-subscription-key: k",
            ],
            json!({"webPages": {"value": two("url", "name", "snippet")}}),
        ),
        case(
            "azure",
            &[
                ("AZURE_AI_SEARCH_API_KEY", "k"),
                ("AZURE_AI_SEARCH_ENDPOINT", "https://s.search.example"),
                ("AZURE_AI_SEARCH_INDEX_NAME", "i"),
            ],
            &[
                "POST /s.search.example/indexes('i')/docs/search.post.search",
                "api-version=2024-07-01",
                "api-key: k",
                "\"top\":2",
            ],
            json!({"value": two("metadata_storage_path", "name", "summary")}),
        ),
        case(
            "perplexity",
            &[("PERPLEXITY_API_KEY", "k")],
            &[
                "POST /api.perplexity.ai/chat/completions",
                "\"model\":\"sonar\"",
                "\"search_context_usage\":\"medium\"",
            ],
            json!({"citations": ["https://a.example/1", "https://b.example/2"], "choices": [{"message": {"content": "one"}}]}),
        ),
        case(
            "microsoft_web_iq",
            &[("MICROSOFT_WEB_IQ_API_KEY", "k")],
            &[
                "POST /api.microsoft.ai/v3/search/web",
                "x-apikey: k",
                "\"maxResults\":2",
            ],
            json!({"webResults": two("url", "title", "content")}),
        ),
        case(
            "sougou",
            &[("SOUGOU_API_SID", "id"), ("SOUGOU_API_SK", "k")],
            &[
                "POST /tms.tencentcloudapi.com/",
                "TC3-HMAC-SHA256 Credential=id/",
                "x-tc-action: SearchPro",
            ],
            json!({"Response": {"Pages": ["{\"url\":\"https://b.example/2\",\"title\":\"Second\",\"passage\":\"two\",\"scour\":0.1}", "{\"url\":\"https://a.example/1\",\"title\":\"First\",\"passage\":\"one\",\"scour\":0.9}"]}}),
        ),
        case(
            "firecrawl",
            &[("FIRECRAWL_API_KEY", "k")],
            &[
                "POST /api.firecrawl.dev/v2/search",
                "authorization: Bearer k",
                "\"limit\":2",
                "\"timeout\":6000",
            ],
            json!({"data": {"web": two("url", "title", "description")}}),
        ),
        case(
            "external",
            &[
                ("EXTERNAL_WEB_SEARCH_URL", "http://own.example/find"),
                ("EXTERNAL_WEB_SEARCH_API_KEY", "k"),
            ],
            &["POST /own.example/find", "authorization: Bearer k", "\"count\":2"],
            two("link", "title", "snippet"),
        ),
        case(
            "yandex",
            &[("YANDEX_WEB_SEARCH_API_KEY", "k")],
            &[
                "POST /searchapi.api.cloud.yandex.net/v2/web/search",
                "authorization: Api-Key k",
                "\"queryText\":\"two words\"",
                "SEARCH_TYPE_RU",
            ],
            json!({"rawData": yandex}),
        ),
        case(
            "youcom",
            &[("YOUCOM_API_KEY", "k")],
            &["GET /ydc-index.io/v1/search", "x-api-key: k", "language=EN"],
            json!({"results": {"web": two("url", "title", "description")}}),
        ),
        case(
            "linkup",
            &[("LINKUP_API_KEY", "k")],
            &[
                "POST /api.linkup.so/v1/search",
                "\"outputType\":\"sourcedAnswer\"",
                "\"q\":\"two words\"",
                "\"maxResults\":2",
            ],
            json!({"sources": two("url", "name", "content")}),
        ),
    ]
}

#[tokio::test]
async fn engines_ask_and_read_in_the_vendors_format() {
    for case in cases() {
        let seen = Arc::new(std::sync::Mutex::new(String::new()));
        let detour = serve(case.answer, seen.clone()).await;
        let mut settings = vec![("WEB_SEARCH_RESULT_COUNT", "2")];
        settings.extend_from_slice(case.settings);
        let found = search(&settings, Some(detour))
            .search(case.engine, "two words")
            .await;
        let found = found.unwrap_or_else(|error| panic!("{}: {error}", case.engine));
        let asked = seen.lock().unwrap().clone();
        for part in case.asks {
            assert!(asked.contains(part), "{}: {part} is not in\n{asked}", case.engine);
        }
        let links: Vec<&str> = found.iter().map(|hit| hit.link.as_str()).collect();
        assert_eq!(
            links,
            ["https://a.example/1", "https://b.example/2"],
            "{}",
            case.engine
        );
        let title = if case.engine == "perplexity" {
            "Source 1"
        } else {
            "First"
        };
        assert_eq!(found[0].title.as_deref(), Some(title), "{}", case.engine);
        assert_eq!(found[0].snippet.as_deref(), Some("one"), "{}", case.engine);
    }
    assert_eq!(cases().len(), 32);
}

#[tokio::test]
async fn missing_keys_are_named() {
    for (engine, text) in [
        ("brave", "No BRAVE_SEARCH_API_KEY found in environment variables"),
        ("searxng", "No SEARXNG_QUERY_URL found in environment variables"),
        (
            "nonsense",
            "No search engine API key found in environment variables",
        ),
    ] {
        let refused = search(&[], None).search(engine, "x").await.unwrap_err();
        assert_eq!(refused.to_string(), text);
    }
}

#[tokio::test]
async fn domains_are_filtered() {
    let seen = Arc::default();
    let detour = serve(
        json!({"web": {"results": two("url", "title", "description")}}),
        seen,
    )
    .await;
    let settings = [
        ("BRAVE_SEARCH_API_KEY", "k"),
        ("WEB_SEARCH_DOMAIN_FILTER_LIST", "[\"!a.example\"]"),
    ];
    let found = search(&settings, Some(detour))
        .search("brave", "x")
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].link, "https://b.example/2");
}
