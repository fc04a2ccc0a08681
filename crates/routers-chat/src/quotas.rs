//! `/api/v1/quotas`: limits on messages, tokens and cost, prices, and what was used; and the page at `/oui/quotas` for
//! it. Both are ours, the reference has neither. How limits work is in `oui_chat::quota`.

mod schemas;

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use oui_chat::quota::view::{quota_json, stored};
use oui_chat::quota::{METRICS, PERIODS, SUBJECTS};
use oui_core::{ApiError, ApiResult, Field, form, ids};
use oui_models::quotas::{self, ANY, QuotaRow};
use oui_models::{groups, users};
use oui_web::endpoint::Shapes;
use oui_web::{Admin, Area, Body, Caller, Query, Verified, endpoints};
use serde_json::{Value, json};

/// The table.
pub(crate) fn area() -> Area {
    endpoints! { "quotas" at "/api/v1/quotas";
        GET    ""                Admin    => list,
        POST   ""                Admin    => create,
        GET    "/usage"          Verified => own_usage,
        GET    "/usage/{user_id}" Admin   => usage_of,
        GET    "/prices"         Admin    => prices,
        POST   "/prices"         Admin    => set_prices,
        GET    "/id/{id}"        Admin    => show,
        POST   "/id/{id}"        Admin    => update,
        DELETE "/id/{id}"        Admin    => remove,
        GET    "/id/{id}/usage"  Admin    => counters,
        DELETE "/id/{id}/usage"  Admin    => reset,
    }
    .describe(&described())
}

/// What the routes take and answer. They are in no other description of this API, so ours tells them whole.
fn described() -> [(Method, &'static str, Shapes); 11] {
    let answers = |answer: fn() -> Value| Shapes {
        answer: Some(answer),
        ..Shapes::default()
    };
    let takes = |body: fn() -> Value, answer: fn() -> Value| Shapes {
        body: Some(body),
        ..answers(answer)
    };
    let one = schemas::quota;
    let reset = Shapes {
        query: Some(ResetQuery::schema),
        ..answers(schemas::reset)
    };
    [
        (Method::GET, "", answers(schemas::quotas)),
        (Method::POST, "", takes(QuotaForm::schema, one)),
        (Method::GET, "/usage", answers(schemas::usage)),
        (Method::GET, "/usage/{user_id}", answers(schemas::usage)),
        (Method::GET, "/prices", answers(PricesForm::schema)),
        (
            Method::POST,
            "/prices",
            takes(PricesForm::schema, PricesForm::schema),
        ),
        (Method::GET, "/id/{id}", answers(one)),
        (Method::POST, "/id/{id}", takes(QuotaForm::schema, one)),
        (Method::DELETE, "/id/{id}", answers(schemas::done)),
        (Method::GET, "/id/{id}/usage", answers(schemas::counters)),
        (Method::DELETE, "/id/{id}/usage", reset),
    ]
}

/// The page and its parts; browsers come with the cookie of the client.
pub(crate) fn page_area() -> Area {
    endpoints! { "quotas_page" at "/oui";
        GET "/quotas"     Verified => page,
        GET "/quotas.js"  Verified => script,
        GET "/quotas.css" Verified => style,
    }
}

form! {
    /// A limit as administrators send it.
    struct QuotaForm {
        name: String,
        subject_type: String,
        subject_id: Option<String>,
        model_id: Option<String>,
        metric: String,
        period: String,
        limit: f64,
        shared: bool = false,
        enabled: bool = true,
    }
}

form! {
    struct PriceForm {
        model_id: String,
        input: f64,
        output: f64,
    }
}

form! {
    struct PricesForm {
        prices: Vec<PriceForm>,
    }
}

form! {
    struct ResetQuery {
        user_id: Option<String>,
    }
}

fn missing() -> ApiError {
    ApiError::not_found("Quota not found.")
}

/// Tells the other servers.
fn spread(caller: &Caller<Admin>) {
    caller.app().peers.config_changed();
}

/// The row of a form, checked.
async fn checked(caller: &Caller<Admin>, form: QuotaForm, old: Option<QuotaRow>) -> ApiResult<QuotaRow> {
    let one_of = |name: &str, value: &str, known: &[&str]| {
        if known.contains(&value) {
            return Ok(());
        }
        Err(ApiError::bad_request(format!(
            "{name} must be one of: {}.",
            known.join(", ")
        )))
    };
    one_of("subject_type", &form.subject_type, SUBJECTS)?;
    one_of("metric", &form.metric, METRICS)?;
    one_of("period", &form.period, PERIODS)?;
    let named = |id: Option<String>| id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    let subject = named(form.subject_id);
    let subject_id = match (form.subject_type.as_str(), subject) {
        ("user", Some(id)) if users::by_id(caller.db(), &id).await?.is_some() => id,
        ("group", Some(id)) if groups::by_id(caller.db(), &id).await?.is_some() => id,
        ("everyone", _) => ANY.to_owned(),
        _ => return Err(ApiError::bad_request("subject_id names nobody.")),
    };
    let amount = stored(&form.metric, form.limit);
    let amount = amount.ok_or_else(|| ApiError::bad_request("limit must be a number from 0 on."))?;
    let name = form.name.trim().to_owned();
    if name.is_empty() {
        return Err(ApiError::bad_request("name must not be empty."));
    }
    let now = caller.db().now();
    Ok(QuotaRow {
        created_at: old.as_ref().map_or(now, |old| old.created_at),
        id: old.map_or_else(ids::uuid, |old| old.id),
        name,
        subject_type: form.subject_type,
        subject_id,
        model_id: named(form.model_id).unwrap_or_else(|| ANY.to_owned()),
        metric: form.metric,
        period: form.period,
        amount,
        shared: i64::from(form.shared),
        enabled: i64::from(form.enabled),
        updated_at: now,
    })
}

async fn list(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let rows = quotas::all(caller.db()).await?;
    Ok(Json(rows.iter().map(quota_json).collect()))
}

async fn create(caller: Caller<Admin>, Body { form, .. }: Body<QuotaForm>) -> ApiResult<Json<Value>> {
    let row = checked(&caller, form, None).await?;
    quotas::put(caller.db(), &row).await?;
    spread(&caller);
    Ok(Json(quota_json(&row)))
}

async fn show(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    let row = quotas::by_id(caller.db(), &id).await?;
    row.as_ref().map(quota_json).map(Json).ok_or_else(missing)
}

/// What was used in the present period still counts, unless another thing is counted now.
async fn update(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Body { form, .. }: Body<QuotaForm>,
) -> ApiResult<Json<Value>> {
    let old = quotas::by_id(caller.db(), &id).await?.ok_or_else(missing)?;
    let row = checked(&caller, form, Some(old.clone())).await?;
    quotas::put(caller.db(), &row).await?;
    let counts = |row: &QuotaRow| {
        (
            row.metric.clone(),
            row.period.clone(),
            row.model_id.clone(),
            row.shared,
        )
    };
    if counts(&old) != counts(&row) {
        quotas::reset(caller.db(), &id, None).await?;
    }
    spread(&caller);
    Ok(Json(quota_json(&row)))
}

async fn remove(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<bool>> {
    if !quotas::remove(caller.db(), &id).await? {
        return Err(missing());
    }
    spread(&caller);
    Ok(Json(true))
}

async fn counters(caller: Caller<Admin>, Path(id): Path<String>) -> ApiResult<Json<Value>> {
    caller.app().chat.quota_counters(&id).await.map(Json)
}

async fn reset(
    caller: Caller<Admin>,
    Path(id): Path<String>,
    Query(query): Query<ResetQuery>,
) -> ApiResult<Json<Value>> {
    quotas::by_id(caller.db(), &id).await?.ok_or_else(missing)?;
    let gone = quotas::reset(caller.db(), &id, query.user_id.as_deref()).await?;
    Ok(Json(json!({ "reset": gone })))
}

async fn own_usage(caller: Caller<Verified>) -> ApiResult<Json<Value>> {
    caller.app().chat.quota_usage(caller.id()).await.map(Json)
}

async fn usage_of(caller: Caller<Admin>, Path(user_id): Path<String>) -> ApiResult<Json<Value>> {
    if users::by_id(caller.db(), &user_id).await?.is_none() {
        return Err(ApiError::not_found("User not found."));
    }
    caller.app().chat.quota_usage(&user_id).await.map(Json)
}

async fn prices(caller: Caller<Admin>) -> ApiResult<Json<Value>> {
    let rows = quotas::prices(caller.db()).await?;
    let prices: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "model_id": row.model_id, "input": row.input, "output": row.output }))
        .collect();
    Ok(Json(json!({ "prices": prices })))
}

async fn set_prices(caller: Caller<Admin>, Body { form, .. }: Body<PricesForm>) -> ApiResult<Json<Value>> {
    let mut rows: Vec<(String, f64, f64)> = Vec::new();
    for price in form.prices {
        let id = price.model_id.trim().to_owned();
        let good = |amount: f64| amount.is_finite() && (0.0..=1e9).contains(&amount);
        if id.is_empty() || !good(price.input) || !good(price.output) {
            return Err(ApiError::bad_request(
                "A price needs a model and two numbers from 0 on.",
            ));
        }
        if rows.iter().any(|(known, ..)| *known == id) {
            return Err(ApiError::bad_request(format!("{id} has two prices.")));
        }
        rows.push((id, price.input, price.output));
    }
    quotas::set_prices(caller.db(), &rows).await?;
    spread(&caller);
    prices(caller).await
}

/// Answers with nothing but what the page is made of; its data come from the routes above.
fn part(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
        ),
    ];
    (StatusCode::OK, headers, text).into_response()
}

async fn page(_: Caller<Verified>) -> Response {
    part("text/html; charset=utf-8", include_str!("quotas/page.html"))
}

async fn script(_: Caller<Verified>) -> Response {
    part("text/javascript; charset=utf-8", include_str!("quotas/page.js"))
}

async fn style(_: Caller<Verified>) -> Response {
    part("text/css; charset=utf-8", include_str!("quotas/page.css"))
}
