//! Statistics for administrators: `/api/v1/analytics`. They can be switched off; then the routes do as if they
//! were not there.

mod browse;

use axum::Json;
use oui_core::{ApiError, ApiResult, choice, form};
use oui_models::analytics::{self, Metric, Span, Usage};
use oui_models::db::Date;
use oui_models::users;
use oui_web::{Admin, Area, Caller, Query, endpoints};
use serde_json::{Map, Value, json};

use crate::common::given;

/// The table of this area.
pub(crate) fn area() -> Area {
    endpoints! { "analytics" at "/api/v1/analytics";
        GET "/models"  Admin => models,
        GET "/users"   Admin => by_user,
        GET "/summary" Admin => summary,
        GET "/daily"   Admin => daily,
        GET "/tokens"  Admin => tokens,
        GET "/messages"        Admin => browse::messages,
        GET "/models/{*path}"  Admin => browse::of_model,
    }
}

form! {
    /// Which answers.
    struct SpanQuery {
        /// Seconds.
        start_date: Option<i64>,
        /// Seconds.
        end_date: Option<i64>,
        /// Group of the users.
        group_id: Option<String>,
    }
}

choice! {
    /// What is counted.
    enum MetricName { Messages = "messages", Tokens = "tokens" }
}

choice! {
    /// How long a slice of the time series is.
    enum Granularity {
        TenMinutes = "10m",
        Hour = "hourly",
        ThreeHours = "3h",
        SixHours = "6h",
        Day = "daily",
    }
}

impl Granularity {
    fn seconds(self) -> i64 {
        match self {
            Self::TenMinutes => 600,
            Self::Hour => 3600,
            Self::ThreeHours => 3 * 3600,
            Self::SixHours => 6 * 3600,
            Self::Day => 86_400,
        }
    }
}

impl MetricName {
    fn metric(self) -> Metric {
        match self {
            Self::Messages => Metric::Messages,
            Self::Tokens => Metric::Tokens,
        }
    }
}

form! {
    /// Which users.
    struct UsersQuery {
        /// Seconds.
        start_date: Option<i64>,
        /// Seconds.
        end_date: Option<i64>,
        /// Group of the users.
        group_id: Option<String>,
        /// Users at most.
        limit: i64 = 50,
        /// What decides about the order.
        metric: MetricName = MetricName::Messages,
    }
}

form! {
    /// Which time series.
    struct DailyQuery {
        /// Seconds.
        start_date: Option<i64>,
        /// Seconds.
        end_date: Option<i64>,
        /// Group of the users.
        group_id: Option<String>,
        /// Length of a slice.
        granularity: Granularity = Granularity::Day,
        /// What is counted.
        metric: MetricName = MetricName::Messages,
        /// With the time of the same length before.
        compare: bool = false,
    }
}

fn check(caller: &Caller<Admin>) -> ApiResult<()> {
    if caller.app().settings.access.analytics {
        Ok(())
    } else {
        Err(ApiError::not_found("Not Found"))
    }
}

impl SpanQuery {
    fn span(&self) -> Span<'_> {
        Span {
            start: self.start_date,
            end: self.end_date,
            group_id: given(&self.group_id),
        }
    }
}

async fn models(caller: Caller<Admin>, Query(query): Query<SpanQuery>) -> ApiResult<Json<Value>> {
    check(&caller)?;
    let uses = analytics::by_model(caller.db(), query.span()).await?;
    let models: Vec<Value> = uses
        .iter()
        .map(|model| {
            json!({
                "model_id": model.model_id, "count": model.messages, "unique_users": model.users,
                "unique_chats": model.chats,
            })
        })
        .collect();
    Ok(Json(json!({ "models": models })))
}

async fn by_user(caller: Caller<Admin>, Query(query): Query<UsersQuery>) -> ApiResult<Json<Value>> {
    check(&caller)?;
    let span = Span {
        start: query.start_date,
        end: query.end_date,
        group_id: given(&query.group_id),
    };
    let mut usage = analytics::by_user(caller.db(), span).await?;
    usage.sort_by_key(|user| match query.metric {
        MetricName::Tokens => (-user.total_tokens(), -user.messages),
        MetricName::Messages => (-user.messages, 0),
    });
    usage.truncate(usize::try_from(query.limit).unwrap_or(0));
    let ids: Vec<String> = usage.iter().map(|user| user.id.clone()).collect();
    let accounts = users::by_ids(caller.db(), &ids).await?;
    let item = |usage: &Usage| {
        let account = accounts.iter().find(|account| account.id == usage.id);
        json!({
            "user_id": usage.id, "name": account.map(|account| &account.name),
            "email": account.map(|account| &account.email), "count": usage.messages,
            "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens(),
        })
    };
    Ok(Json(
        json!({ "users": usage.iter().map(item).collect::<Vec<_>>() }),
    ))
}

async fn summary(caller: Caller<Admin>, Query(query): Query<SpanQuery>) -> ApiResult<Json<Value>> {
    check(&caller)?;
    let summary = analytics::summary(caller.db(), query.span()).await?;
    Ok(Json(json!({
        "total_messages": summary.messages, "total_chats": summary.chats, "total_models": summary.models,
        "total_users": summary.users,
    })))
}

async fn tokens(caller: Caller<Admin>, Query(query): Query<SpanQuery>) -> ApiResult<Json<Value>> {
    check(&caller)?;
    let mut usage = analytics::tokens_by_model(caller.db(), query.span()).await?;
    usage.sort_by_key(|model| -model.total_tokens());
    let (input, output) = usage.iter().fold((0, 0), |(input, output), model| {
        (input + model.input_tokens, output + model.output_tokens)
    });
    let models: Vec<Value> = usage
        .iter()
        .map(|model| {
            json!({
                "model_id": model.id, "input_tokens": model.input_tokens, "output_tokens": model.output_tokens,
                "total_tokens": model.total_tokens(), "message_count": model.messages,
            })
        })
        .collect();
    Ok(Json(json!({
        "models": models, "total_input_tokens": input, "total_output_tokens": output,
        "total_tokens": input + output,
    })))
}

/// Days between 1970-01-01 and 2000-01-01, from which dates are counted.
const DAYS_TO_2000: i64 = 10_957;
const DAY: i64 = 86_400;

fn date(seconds: i64) -> String {
    Date(i32::try_from(seconds.div_euclid(DAY) - DAYS_TO_2000).unwrap_or(i32::MAX)).to_string()
}

fn clock(seconds: i64) -> (i64, i64, i64) {
    let rest = seconds.rem_euclid(DAY);
    (rest / 3600, rest % 3600 / 60, rest % 60)
}

/// `2026-11-16` or `2026-11-16 03:00`: how a slice is named.
fn slice_name(seconds: i64, granularity: Granularity) -> String {
    let (hour, minute, _) = clock(seconds);
    match granularity {
        Granularity::Day => date(seconds),
        _ => format!("{} {hour:02}:{minute:02}", date(seconds)),
    }
}

/// `2026-11-16T03:00:00`.
fn iso(seconds: i64) -> String {
    let (hour, minute, second) = clock(seconds);
    format!("{}T{hour:02}:{minute:02}:{second:02}", date(seconds))
}

/// Slices of time by their begin, each with its sums by model.
type Series = Vec<(i64, Map<String, Value>)>;

fn add(series: &mut Series, begin: i64, entry: Option<(String, i64)>) {
    let index = match series.binary_search_by_key(&begin, |(begin, _)| *begin) {
        Ok(index) => index,
        Err(index) => {
            series.insert(index, (begin, Map::new()));
            index
        }
    };
    if let Some((model, sum)) = entry {
        series[index].1.insert(model, json!(sum));
    }
}

/// The series with every slice between the bounds, empty ones too. `offset` moves the answers in time, so that
/// an earlier span comes to lie on a later one.
async fn series(
    caller: &Caller<Admin>,
    query: &DailyQuery,
    span: Span<'_>,
    offset: i64,
) -> ApiResult<Series> {
    /// More slices than any chart shows.
    const MOST: i64 = 100_000;
    let width = query.granularity.seconds();
    let mut series = Series::new();
    for (begin, model, sum) in
        analytics::series(caller.db(), span, query.metric.metric(), width, offset).await?
    {
        add(&mut series, begin + offset, Some((model, sum)));
    }
    if let (Some(start), Some(end)) = (span.start.filter(|at| *at != 0), span.end.filter(|at| *at != 0)) {
        let first = (start + offset).div_euclid(width) * width;
        let last = (end + offset).min(first.saturating_add(MOST * width));
        let mut begin = first;
        while begin <= last {
            add(&mut series, begin, None);
            begin += width;
        }
    }
    Ok(series)
}

async fn daily(caller: Caller<Admin>, Query(query): Query<DailyQuery>) -> ApiResult<Json<Value>> {
    check(&caller)?;
    let bounds = query
        .start_date
        .zip(query.end_date)
        .filter(|(start, end)| start <= end);
    if query.compare && bounds.is_none() {
        return Err(ApiError::bad_request("Comparison requires a bounded date range"));
    }
    let group_id = given(&query.group_id);
    let span = Span {
        start: query.start_date,
        end: query.end_date,
        group_id,
    };
    let current = series(&caller, &query, span, 0).await?;
    let earlier = match bounds.filter(|_| query.compare) {
        Some((start, end)) => {
            let length = end - start + 1;
            let span = Span {
                start: Some(start - length),
                end: Some(start - 1),
                group_id,
            };
            Some((start, end, length, series(&caller, &query, span, length).await?))
        }
        None => None,
    };
    let width = query.granularity.seconds();
    let data: Vec<Value> = current
        .into_iter()
        .map(|(begin, models)| {
            let mut entry = json!({
                "date": slice_name(begin, query.granularity), "models": models,
                "start": null, "end": null, "previous": null,
            });
            if let Some((start, end, length, earlier)) = &earlier {
                let (from, to) = (begin.max(*start), (begin + width).min(end + 1));
                let before = earlier.iter().find(|(at, _)| *at == begin).map(|(_, models)| models.clone());
                entry["start"] = json!(iso(from));
                entry["end"] = json!(iso(to));
                entry["previous"] = json!({
                    "models": before.unwrap_or_default(), "start": iso(from - length), "end": iso(to - length),
                });
            }
            entry
        })
        .collect();
    Ok(Json(json!({ "data": data })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_named_by_their_begin() {
        let at = 1_700_000_000; // 2023-11-14T22:13:20Z
        assert_eq!(slice_name(at, Granularity::Day), "2023-11-14");
        assert_eq!(slice_name(at, Granularity::Hour), "2023-11-14 22:13");
        assert_eq!(iso(at), "2023-11-14T22:13:20");
        let mut series = Series::new();
        add(&mut series, 20, None);
        add(&mut series, 10, Some(("m".into(), 2)));
        add(&mut series, 20, Some(("m".into(), 3)));
        assert_eq!(json!(series), json!([[10, {"m": 2}], [20, {"m": 3}]]));
    }
}
