//! What the caller has used: totals, a calendar of days in the caller's time zone, streaks, favourites.

use std::collections::{BTreeMap, HashMap, HashSet};

use axum::Json;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use oui_core::{ApiError, ApiResult, form};
use oui_models::users::usage::{self, UsedMessage};
use oui_web::{Caller, Query, Verified};
use serde_json::{Map, Value, json};

/// Days shown unless asked otherwise.
const DEFAULT_DAYS: i64 = 730;
/// Days that may be asked for.
const DAYS: std::ops::RangeInclusive<i64> = 7..=732;
const DAY_SECONDS: i64 = 86_400;
/// Entries of a list of favourites.
const TOP: usize = 5;
/// Longest name of a tool that counts as one.
const MAX_TOOL_NAME: usize = 128;
/// Start of 2020: older times are taken for errors.
const OLDEST: f64 = 1_577_836_800.0;

form! {
    /// The period; times in seconds.
    pub(super) struct UsageQuery {
        days: Option<i64>,
        start_date: Option<i64>,
        end_date: Option<i64>,
    }
}

/// One day of the calendar.
#[derive(Debug, Default, Clone)]
struct Day {
    messages: i64,
    chats: HashSet<String>,
    tokens: i64,
    models: BTreeMap<String, i64>,
}

/// Numbers of a day, or of several added up.
#[derive(Debug, Default, Clone)]
struct Sum {
    messages: i64,
    chats: usize,
    tokens: i64,
    models: BTreeMap<String, i64>,
}

impl Sum {
    fn add(&mut self, day: &Day) {
        self.messages += day.messages;
        self.chats += day.chats.len();
        self.tokens += day.tokens;
        for (model, count) in &day.models {
            *self.models.entry(model.clone()).or_default() += count;
        }
    }

    fn to_json(&self, date: Date) -> Value {
        json!({
            "date": date.to_string(),
            "messages": self.messages,
            "chats": self.chats,
            "tokens": self.tokens,
            "models": self.models,
        })
    }
}

/// The calendar: every day of the period, oldest first.
struct Calendar(BTreeMap<Date, Day>);

impl Calendar {
    fn new(messages: &[UsedMessage], start: i64, end: i64, now: i64, zone: &TimeZone) -> Self {
        let day = |at: i64| date_of(at, now, zone);
        let mut days: BTreeMap<Date, Day> = BTreeMap::new();
        let last = day(end);
        let mut next = Some(day(start));
        while let Some(date) = next.filter(|date| *date <= last) {
            days.entry(date).or_default();
            next = date.checked_add(1.day()).ok();
        }
        for message in messages {
            let entry = days.entry(day(message.created_at)).or_default();
            entry.messages += 1;
            entry.chats.insert(message.chat_id.clone());
            entry.tokens += message.input_tokens + message.output_tokens;
            if let Some(model) = reply_model(message) {
                *entry.models.entry(model.to_owned()).or_default() += 1;
            }
        }
        Self(days)
    }

    fn active_days(&self) -> i64 {
        i64::try_from(self.0.values().filter(|day| day.messages > 0).count()).unwrap_or(i64::MAX)
    }

    /// Present and longest run of days with messages.
    fn streaks(&self) -> (i64, i64) {
        let (mut run, mut longest) = (0, 0);
        for day in self.0.values() {
            run = if day.messages > 0 { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        (run, longest)
    }

    fn by_day(&self) -> Value {
        self.0
            .iter()
            .map(|(date, day)| sum([day]).to_json(*date))
            .collect()
    }

    fn by_week(&self) -> Value {
        let mut weeks: BTreeMap<Date, Sum> = BTreeMap::new();
        for (date, day) in &self.0 {
            let back = i64::from(date.weekday().to_monday_zero_offset());
            let monday = date.checked_sub(back.days()).unwrap_or(*date);
            weeks.entry(monday).or_default().add(day);
        }
        weeks.iter().map(|(monday, sum)| sum.to_json(*monday)).collect()
    }

    fn cumulative(&self) -> Value {
        let mut total = Sum::default();
        self.0
            .iter()
            .map(|(date, day)| {
                total.add(day);
                total.to_json(*date)
            })
            .collect()
    }
}

fn sum<'a>(days: impl IntoIterator<Item = &'a Day>) -> Sum {
    let mut sum = Sum::default();
    days.into_iter().for_each(|day| sum.add(day));
    sum
}

fn reply_model(message: &UsedMessage) -> Option<&str> {
    message
        .model_id
        .as_deref()
        .filter(|model| message.role == "assistant" && !model.is_empty())
}

/// The day of a time. Milliseconds are recognised; impossible times count as today.
fn date_of(at: i64, now: i64, zone: &TimeZone) -> Date {
    let seconds = if at > 10_000_000_000 {
        at as f64 / 1000.0
    } else {
        at as f64
    };
    let possible = (OLDEST..=(now + DAY_SECONDS) as f64).contains(&seconds);
    let seconds = if possible { seconds as i64 } else { now };
    Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_zoned(zone.clone())
        .date()
}

pub(super) async fn usage(
    caller: Caller<Verified>,
    Query(query): Query<UsageQuery>,
) -> ApiResult<Json<Value>> {
    let now = caller.app().clock.seconds();
    let (start, end) = period(&query, now)?;
    let (db, id) = (caller.db(), caller.id());
    let zone = caller
        .user()
        .timezone
        .as_deref()
        .and_then(|name| TimeZone::get(name).ok());
    let zone = zone.unwrap_or(TimeZone::UTC);
    let messages = usage::messages(db, id, start, end).await?;
    let lifetime = usage::lifetime(db, id).await?;
    let chats = usage::chats(db, id).await?;
    let tools = top_tools(&usage::tool_traces(db, id, start, end).await?);
    let calendar = Calendar::new(&messages, start, end, now, &zone);
    let (current, longest) = calendar.streaks();
    let count = |role: &str| messages.iter().filter(|message| message.role == role).count() as i64;
    let (all, of_user, of_models) = (messages.len() as i64, count("user"), count("assistant"));
    let lifetime_tokens = lifetime.input_tokens + lifetime.output_tokens;
    let models = top_models(&messages);
    Ok(Json(json!({
        "totals": {
            "lifetime_tokens": lifetime_tokens,
            "input_tokens": lifetime.input_tokens,
            "output_tokens": lifetime.output_tokens,
            "peak_daily_tokens": calendar.0.values().map(|day| day.tokens).max().unwrap_or(0),
            "longest_chat_seconds": chats.longest_seconds,
            "current_streak": current,
            "longest_streak": longest,
            "total_chats": chats.total,
            "active_days": calendar.active_days(),
            "models_used": lifetime.models_used,
            "messages": all,
            "user_messages": of_user,
            "assistant_messages": of_models,
        },
        "heatmap": calendar.by_day(),
        "weekly_heatmap": calendar.by_week(),
        "cumulative_heatmap": calendar.cumulative(),
        "insights": {
            "most_used_model": models.first().map(|model| &model["model_id"]),
            "average_tokens_per_chat": tenths(lifetime_tokens, chats.total, 1.0),
            "average_messages_per_active_day": tenths(all, calendar.active_days(), 1.0),
            "user_message_share": tenths(of_user, all, 100.0),
            "assistant_message_share": tenths(of_models, all, 100.0),
        },
        "top_models": models,
        "top_tools": tools,
        "period": { "start_date": start, "end_date": end, "days": ((end - start) / DAY_SECONDS + 1).max(1) },
    })))
}

fn period(query: &UsageQuery, now: i64) -> ApiResult<(i64, i64)> {
    if let Some(days) = query.days.filter(|days| !DAYS.contains(days)) {
        return Err(out_of_range(days));
    }
    let end = query.end_date.filter(|end| *end != 0).unwrap_or(now);
    let start = query
        .start_date
        .unwrap_or_else(|| end - (query.days.unwrap_or(DEFAULT_DAYS) - 1) * DAY_SECONDS);
    if start > end {
        return Err(ApiError::bad_request("start_date must be before end_date"));
    }
    Ok((start, end))
}

fn out_of_range(days: i64) -> ApiError {
    let (kind, msg, bound, limit) = if days < *DAYS.start() {
        ("greater_than_equal", "greater", "ge", *DAYS.start())
    } else {
        ("less_than_equal", "less", "le", *DAYS.end())
    };
    ApiError::unprocessable(vec![json!({
        "type": kind, "loc": ["query", "days"], "msg": format!("Input should be {msg} than or equal to {limit}"),
        "input": days.to_string(), "ctx": { bound: limit },
    })])
}

/// `part / whole * scale`, to one place after the point.
fn tenths(part: i64, whole: i64, scale: f64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        (part as f64 / whole as f64 * scale * 10.0).round_ties_even() / 10.0
    }
}

fn top_models(messages: &[UsedMessage]) -> Vec<Value> {
    let mut models: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
    for message in messages {
        if let Some(model) = reply_model(message) {
            let (count, input, output) = models.entry(model).or_default();
            *count += 1;
            *input += message.input_tokens;
            *output += message.output_tokens;
        }
    }
    let mut ranked: Vec<_> = models.into_iter().collect();
    ranked.sort_by_key(|(_, (count, ..))| std::cmp::Reverse(*count));
    ranked
        .into_iter()
        .take(TOP)
        .map(|(model, (count, input, output))| {
            json!({
                "model_id": model, "messages": count, "input_tokens": input, "output_tokens": output,
                "total_tokens": input + output,
            })
        })
        .collect()
}

fn top_tools(traces: &[Value]) -> Vec<Value> {
    let mut names = Vec::new();
    traces.iter().for_each(|trace| collect_tools(trace, &mut names));
    let mut counts: HashMap<&str, (i64, usize)> = HashMap::new();
    for (at, name) in names.iter().enumerate() {
        counts.entry(name).or_insert((0, at)).0 += 1;
    }
    let mut ranked: Vec<_> = counts.into_iter().collect();
    // Of equals the one met first stands first.
    ranked.sort_by_key(|(_, (count, at))| (std::cmp::Reverse(*count), *at));
    ranked
        .into_iter()
        .take(TOP)
        .map(|(name, (count, _))| json!({ "name": name, "count": count }))
        .collect()
}

/// Names of the tools that an output item or a mark speaks of.
fn collect_tools(item: &Value, names: &mut Vec<String>) {
    match item {
        Value::Array(items) => items.iter().for_each(|item| collect_tools(item, names)),
        Value::Object(object) => {
            let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
            if kind.contains("tool") || matches!(kind, "function_call" | "function_call_output") {
                let name = ["name", "tool_name"].iter().find_map(|name| text(object, name));
                let inner = object.get("function").and_then(Value::as_object);
                names.extend(
                    name.into_iter()
                        .chain(inner.and_then(|inner| text(inner, "name"))),
                );
            }
            for name in ["tool_calls", "tools", "output", "meta"] {
                if let Some(inner) = object.get(name) {
                    collect_tools(inner, names);
                }
            }
        }
        _ => {}
    }
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    let text = object.get(name)?.as_str()?.trim();
    (!text.is_empty() && text.chars().count() <= MAX_TOOL_NAME).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(at: i64, role: &str, tokens: i64) -> UsedMessage {
        UsedMessage {
            created_at: at,
            chat_id: "c".into(),
            role: role.into(),
            model_id: (role == "assistant").then(|| "echo".into()),
            input_tokens: tokens,
            output_tokens: 0,
        }
    }

    /// Wednesday 2023-11-15, 12:00 UTC.
    const NOON: i64 = 1_700_049_600;

    #[test]
    fn days_weeks_and_streaks() {
        let messages = [
            message(NOON - 2 * DAY_SECONDS, "user", 0),
            message(NOON, "user", 0),
            message(NOON, "assistant", 7),
        ];
        let calendar = Calendar::new(&messages, NOON - 3 * DAY_SECONDS, NOON, NOON, &TimeZone::UTC);
        assert_eq!((calendar.streaks(), calendar.active_days()), ((1, 1), 2));
        let days = calendar.by_day();
        assert_eq!(days.as_array().unwrap().len(), 4);
        let expected =
            json!({"date": "2023-11-15", "messages": 2, "chats": 1, "tokens": 7, "models": {"echo": 1}});
        assert_eq!(days[3], expected);
        let weeks = calendar.by_week();
        assert_eq!(
            (&weeks[0]["date"], &weeks[1]["date"]),
            (&json!("2023-11-06"), &json!("2023-11-13"))
        );
        assert_eq!(weeks[1]["messages"], 3);
        assert_eq!(calendar.cumulative()[3]["messages"], 3);
    }

    #[test]
    fn days_follow_the_time_zone_and_bad_times_are_today() {
        let zone = TimeZone::get("Pacific/Auckland").unwrap();
        assert_eq!(date_of(NOON, NOON, &zone).to_string(), "2023-11-16");
        assert_eq!(
            date_of(NOON * 1000, NOON, &TimeZone::UTC).to_string(),
            "2023-11-15"
        );
        assert_eq!(date_of(5, NOON, &TimeZone::UTC).to_string(), "2023-11-15");
    }

    #[test]
    fn tools_are_found_where_they_stand() {
        let traces = [
            json!([{"type": "function_call", "name": " clock "}, {"type": "message", "name": "no"}]),
            json!({"tool_calls": [{"type": "tool", "function": {"name": "clock"}}, {"type": "tool", "name": "map"}]}),
        ];
        assert_eq!(
            top_tools(&traces),
            [
                json!({"name": "clock", "count": 2}),
                json!({"name": "map", "count": 1})
            ]
        );
    }

    #[test]
    fn periods() {
        let query = |days, start_date, end_date| UsageQuery {
            days,
            start_date,
            end_date,
        };
        assert_eq!(
            period(&query(Some(7), None, None), NOON).unwrap(),
            (NOON - 6 * DAY_SECONDS, NOON)
        );
        assert!(period(&query(None, Some(5), Some(4)), NOON).is_err());
        let refused = period(&query(Some(6), None, None), NOON).unwrap_err();
        assert_eq!(
            refused.detail()[0]["msg"],
            "Input should be greater than or equal to 7"
        );
        assert_eq!(tenths(1, 3, 100.0), 33.3);
        assert_eq!(tenths(1, 0, 1.0), 0.0);
    }
}
