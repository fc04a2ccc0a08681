//! The web: searching it and reading what lies at an address.

use oui_config::{web, web_loader};
use serde_json::{Value, json};

use super::builtins;
use super::spec::{Shape, optional, required};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

builtins! {
    TOOLS {
        "search_web"
        "Searches the web and answers titles, addresses and excerpts of what was found. For what is new, or what the user's own documents do not say."
        [
            required("query", Shape::Text, "What to search for."),
            optional("count", Shape::Int, "How many results at most; no more than the administrator allows."),
        ] => search;

        "fetch_url"
        "Reads the text of a web page or of a document on the web."
        [required("url", Shape::Text, "Its address.")] => fetch;
    }
}

async fn search(context: &ToolContext, args: Args) -> Answer {
    let query = args.text("query")?;
    let most = context.config.get(&web::WEB_SEARCH_RESULT_COUNT).max(1);
    let count = args
        .optional_int("count")
        .map_or(most, |count| count.clamp(1, most));
    let engine = context.config.get(&web::WEB_SEARCH_ENGINE);
    let found = context.web.search.search(&engine, &query).await;
    let found = found.map_err(|error| ToolError::new(error.to_string()))?;
    let found = found.iter().take(usize::try_from(count).unwrap_or(1));
    Ok(found
        .map(|hit| json!({ "title": hit.title, "link": hit.link, "snippet": hit.snippet }))
        .collect())
}

async fn fetch(context: &ToolContext, args: Args) -> Answer {
    let address = args.text("url")?;
    let text = context.pages.text_at(&address).await.map_err(ToolError::new)?;
    let most = context.config.get(&web_loader::WEB_FETCH_MAX_CONTENT_LENGTH);
    let most = most
        .and_then(|most| usize::try_from(most).ok())
        .filter(|most| *most > 0);
    let cut = most
        .and_then(|most| text.char_indices().nth(most))
        .map(|(at, _)| at);
    Ok(Value::String(match cut {
        Some(at) => format!("{}\n\n[Content truncated...]", &text[..at]),
        None => text,
    }))
}
