//! Pieces of requests that several provider routes share: the position of a server in the path or the query, bodies
//! taken raw, values that may be of two types, and the words of a validator that speaks in a text.

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use http_body_util::BodyExt;
use oui_core::form::Issues;
use oui_core::{ApiError, ApiResult, Field, Form};
use oui_providers::python::repr;
use oui_web::App;
use serde_json::{Map, Value, json};

/// The version whose pages the validator's texts point to.
const VALIDATOR: &str = "2.13";

/// `url_idx`: which of several servers is meant. It comes in the path, or as a query parameter of the path without.
pub(crate) struct Place(pub(crate) Option<usize>);

impl FromRequestParts<App> for Place {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &App) -> ApiResult<Self> {
        let in_path = RawPathParams::from_request_parts(parts, state).await.ok();
        let in_path = in_path
            .iter()
            .flatten()
            .find(|(name, _)| *name == "url_idx")
            .map(|(_, text)| text.to_owned());
        if let Some(text) = in_path {
            return position(&text, "path").map(|place| Self(Some(place)));
        }
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let in_query = pairs.ok().and_then(|pairs| {
            pairs
                .0
                .into_iter()
                .rfind(|(name, _)| name == "url_idx")
                .map(|(_, text)| text)
        });
        match in_query {
            Some(text) => position(&text, "query").map(|place| Self(Some(place))),
            None => Ok(Self(None)),
        }
    }
}

fn position(text: &str, root: &str) -> ApiResult<usize> {
    let mut issues = Issues::at(root);
    let input = Value::from(text);
    let parsed = issues.inside("url_idx", |issues| <i64 as Field>::parse(&input, issues));
    match parsed {
        // No server is at a negative position.
        Some(place) => Ok(usize::try_from(place).unwrap_or(usize::MAX)),
        None => Err(ApiError::unprocessable(issues.into_found())),
    }
}

/// A request taken as it is.
pub(crate) struct RawRequest {
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<String>,
    pub(crate) body: Bytes,
}

impl FromRequest<App> for RawRequest {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> ApiResult<Self> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await;
        let body = body.map_err(|_| ApiError::bad_request("There was an error parsing the body"))?;
        Ok(Self {
            query: parts.uri.query().map(str::to_owned),
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }
}

/// A value of one of two types; handlers that need it read the body themselves.
#[derive(Debug, Clone)]
pub(crate) struct Either<A, B>(std::marker::PhantomData<(A, B)>);

/// The validator's name of a type, for the places of its complaints.
pub(crate) trait Named {
    const NAME: &'static str;
}

macro_rules! named {
    ($($kind:ty => $name:literal),+ $(,)?) => { $(impl Named for $kind { const NAME: &'static str = $name; })+ };
}

named! {
    String => "str",
    i64 => "int",
    Vec<Value> => "list[any]",
    Vec<String> => "list[str]",
    Map<String, Value> => "dict[any,any]",
}

impl<A: Field + Named, B: Field + Named> Field for Either<A, B> {
    fn parse(input: &Value, issues: &mut Issues) -> Option<Self> {
        let fits = |parse: fn(&Value, &mut Issues) -> bool| parse(input, &mut Issues::default());
        let is = |input: &Value, issues: &mut Issues| A::parse(input, issues).is_some() && issues.is_empty();
        let or = |input: &Value, issues: &mut Issues| B::parse(input, issues).is_some() && issues.is_empty();
        if fits(is) || fits(or) {
            return Some(Self(std::marker::PhantomData));
        }
        issues.inside(A::NAME, |issues| A::parse(input, issues).map(drop));
        issues.inside(B::NAME, |issues| B::parse(input, issues).map(drop));
        None
    }

    fn schema() -> Value {
        json!({ "anyOf": [A::schema(), B::schema()] })
    }
}

/// The fields of a body that are not null.
pub(crate) fn filled(body: Value) -> Map<String, Value> {
    let mut fields = match body {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.retain(|_, value| !value.is_null());
    fields
}

/// Reads a form from a body that is checked by its handler: what is wrong is one text with status 400.
pub(crate) fn checked<T: Form>(name: &str, body: &Map<String, Value>) -> ApiResult<T> {
    let input = Value::Object(body.clone());
    T::read("body", &input).map_err(|issues| ApiError::bad_request(in_words(name, &issues)))
}

/// The complaints of the validator in the text that its errors print as.
pub(crate) fn in_words(form: &str, issues: &[Value]) -> String {
    let count = issues.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut text = format!("{count} validation error{plural} for {form}");
    for issue in issues {
        let field = |name: &str| issue.get(name).and_then(Value::as_str).unwrap_or_default();
        let place: Vec<String> = issue["loc"]
            .as_array()
            .into_iter()
            .flatten()
            .skip(1)
            .map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned))
            .collect();
        let (kind, msg, input) = (field("type"), field("msg"), &issue["input"]);
        let shown = shortened(&repr(input));
        text.push_str(&format!(
            "\n{}\n  {msg} [type={kind}, input_value={shown}, input_type={}]\n    For further information visit \
             https://errors.pydantic.dev/{VALIDATOR}/v/{kind}",
            place.join("."),
            type_name(input),
        ));
    }
    text
}

/// At most fifty characters: the start and the end of what is longer.
fn shortened(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= 50 {
        return text.to_owned();
    }
    let start: String = letters[..25].iter().collect();
    let end: String = letters[letters.len() - 24..].iter().collect();
    format!("{start}...{end}")
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    oui_core::form! {
        struct Sample {
            model: String,
            input: Either<Vec<String>, String>,
        }
    }

    #[test]
    fn either_type_will_do() {
        assert!(Sample::read("body", &json!({"model": "m", "input": ["a"]})).is_ok());
        assert!(Sample::read("body", &json!({"model": "m", "input": "a"})).is_ok());
        let issues = Sample::read("body", &json!({"model": "m", "input": [1]})).unwrap_err();
        assert_eq!(
            Value::Array(issues),
            json!([
                {"type": "string_type", "loc": ["body", "input", "list[str]", 0], "msg": "Input should be a valid string", "input": 1},
                {"type": "string_type", "loc": ["body", "input", "str"], "msg": "Input should be a valid string", "input": [1]},
            ])
        );
    }

    #[test]
    fn complaints_are_put_into_words() {
        let error = checked::<Sample>("SampleForm", json!({"input": "x"}).as_object().unwrap()).unwrap_err();
        assert_eq!(error.status(), 400);
        assert_eq!(
            error.detail_text(),
            "1 validation error for SampleForm\nmodel\n  Field required [type=missing, input_value={'input': 'x'}, \
             input_type=dict]\n    For further information visit https://errors.pydantic.dev/2.13/v/missing"
        );
    }

    #[test]
    fn long_values_are_cut_in_the_middle() {
        let text = "a".repeat(30) + &"b".repeat(30);
        assert_eq!(
            shortened(&text),
            format!("{}...{}", "a".repeat(25), "b".repeat(24))
        );
    }

    #[test]
    fn nulls_are_left_out() {
        assert_eq!(
            Value::Object(filled(json!({"a": null, "b": {"c": null}}))),
            json!({"b": {"c": null}})
        );
    }
}
