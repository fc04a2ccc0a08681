//! Quotas: limits on messages, tokens and cost per person, group and model and per hour, day, week or month. Before a
//! call to a provider the least that it may use is reserved; while its answer streams more is reserved in portions;
//! at the end the counters are corrected by what the provider says ([`meter`]). Where no limit is set nothing is
//! asked of the database. Periods are those of UTC; weeks begin on Monday.

pub mod meter;
pub mod tokens;
pub mod view;

use chrono::{DateTime, Datelike, TimeZone, Utc};
use http::{StatusCode, header};
use oui_core::boxed;
use oui_core::{ApiError, ApiResult};
use oui_models::groups::Membership;
use oui_models::quotas::{self, ANY, Charge, QuotaRow, QuotaSet};
use oui_models::{Db, groups};
use oui_providers::CallContext;
use serde_json::json;

use crate::catalogue::Model;
use crate::engine::Engine;
use crate::turn::Object;
use meter::Meter;

/// What a limit counts.
pub const METRICS: &[&str] = &[
    "messages",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cost",
];

/// How long a limit lasts.
pub const PERIODS: &[&str] = &["hour", "day", "week", "month"];

/// Whom a limit may be about.
pub const SUBJECTS: &[&str] = &["everyone", "user", "group"];

/// Parts of a unit of money in which costs are counted.
pub const COST_PARTS: f64 = 1e9;

/// Tokens of an answer that are reserved at once.
pub(crate) const PORTION: i64 = 512;

/// Mark in a call's metadata: it goes on with a reply that is counted as a message already.
const FURTHER: &str = "further_round";

/// The context of a further call for one reply.
pub(crate) fn further(context: &CallContext) -> CallContext {
    let mut further = context.clone();
    if let Some(metadata) = further.metadata.as_object_mut() {
        metadata.insert(FURTHER.into(), json!(true));
    }
    further
}

/// First second of the period that `now` is in, and of the one after it.
pub fn bounds(period: &str, now: i64) -> (i64, i64) {
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    let even = |length: i64, shift: i64| {
        let start = (now + shift).div_euclid(length) * length - shift;
        (start, start + length)
    };
    match period {
        "hour" => even(HOUR, 0),
        // The epoch was a Thursday.
        "week" => even(7 * DAY, 3 * DAY),
        "month" => month(now).unwrap_or_else(|| even(30 * DAY, 0)),
        _ => even(DAY, 0),
    }
}

fn month(now: i64) -> Option<(i64, i64)> {
    let day = DateTime::from_timestamp(now, 0)?.date_naive().with_day(1)?;
    let first = |day: chrono::NaiveDate| Some(Utc.from_utc_datetime(&day.and_hms_opt(0, 0, 0)?).timestamp());
    Some((
        first(day)?,
        first(day.checked_add_months(chrono::Months::new(1))?)?,
    ))
}

/// Whether a limit is about this person and this model, which may have several names.
pub(crate) fn concerns(quota: &QuotaRow, user_id: &str, membership: &Membership, models: &[&str]) -> bool {
    let person = match quota.subject_type.as_str() {
        "user" => quota.subject_id == user_id,
        "group" => membership.contains(&quota.subject_id),
        _ => true,
    };
    person && (quota.model_id == ANY || models.contains(&quota.model_id.as_str()))
}

/// Whose counter a limit moves.
pub(crate) fn holder<'a>(quota: &QuotaRow, user_id: &'a str) -> &'a str {
    if quota.shared == 1 { ANY } else { user_id }
}

/// What a call uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// Messages: one, or none for the further calls of one reply and for small jobs.
    pub(crate) messages: i64,
    /// Tokens sent.
    pub(crate) input: i64,
    /// Tokens answered.
    pub(crate) output: i64,
}

/// The limits on one call.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    quotas: Vec<QuotaRow>,
    user_id: String,
    /// First second of each limit's period, fixed for the whole call.
    starts: Vec<i64>,
    /// Costs of a token sent and of one answered, in parts.
    price: (f64, f64),
}

impl Limits {
    fn new(
        set: &QuotaSet,
        user_id: &str,
        membership: &Membership,
        models: &[&str],
        now: i64,
    ) -> Option<Self> {
        let quotas: Vec<QuotaRow> = set
            .quotas
            .iter()
            .filter(|quota| concerns(quota, user_id, membership, models))
            .cloned()
            .collect();
        if quotas.is_empty() {
            return None;
        }
        let price = models.iter().find_map(|model| set.prices.get(*model));
        let per_token = |million: f64| million / 1e6 * COST_PARTS;
        Some(Self {
            starts: quotas.iter().map(|quota| bounds(&quota.period, now).0).collect(),
            user_id: user_id.to_owned(),
            price: price.map_or((0.0, 0.0), |price| {
                (per_token(price.input), per_token(price.output))
            }),
            quotas,
        })
    }

    fn amount(&self, metric: &str, used: Use) -> i64 {
        match metric {
            "messages" => used.messages,
            "input_tokens" => used.input,
            "output_tokens" => used.output,
            "total_tokens" => used.input + used.output,
            _ => (self.price.0 * used.input as f64 + self.price.1 * used.output as f64).ceil() as i64,
        }
    }

    /// The counters, moved from one use to another.
    pub(crate) fn charges(&self, from: Use, to: Use) -> Vec<Charge> {
        let places = self.quotas.iter().zip(&self.starts);
        let charges = places.map(|(quota, start)| Charge {
            quota_id: quota.id.clone(),
            holder: holder(quota, &self.user_id).to_owned(),
            period_start: *start,
            amount: self.amount(&quota.metric, to) - self.amount(&quota.metric, from),
            limit: quota.amount,
        });
        charges.collect()
    }

    /// Reserves more, at most `portion` tokens of an answer, fewer where fewer are left; what of `from` and `least`
    /// comes on top is reserved whole or not at all.
    pub(crate) async fn reserve(
        &self,
        db: &Db,
        from: Use,
        least: Use,
        portion: i64,
    ) -> ApiResult<Result<Use, &QuotaRow>> {
        let mut portion = portion.max(1);
        loop {
            let to = Use {
                output: least.output + portion,
                ..least
            };
            // Counters that do not move can not be the reason to stop.
            let mut charges = self.charges(from, to);
            charges.retain(|charge| charge.amount > 0);
            match quotas::reserve(db, &charges).await? {
                Ok(()) => return Ok(Ok(to)),
                Err(_) if portion > 1 => portion /= 4,
                Err(place) => {
                    let id = charges.get(place).map(|charge| charge.quota_id.as_str());
                    let quota = self.quotas.iter().find(|quota| Some(quota.id.as_str()) == id);
                    let quota = quota.or(self.quotas.first());
                    return quota
                        .map(Err)
                        .ok_or_else(|| ApiError::internal("a limit refused that is not there"));
                }
            }
            portion = portion.max(1);
        }
    }
}

/// The refusal of a limit, as text.
pub(crate) fn reached(quota: &QuotaRow, now: i64) -> String {
    let amount = match quota.metric.as_str() {
        "cost" => format!("a cost of {}", quota.amount as f64 / COST_PARTS),
        metric => format!("{} {}", quota.amount, metric.replace('_', " ")),
    };
    let model = if quota.model_id == ANY {
        String::new()
    } else {
        format!(" with {}", quota.model_id)
    };
    let resets = DateTime::from_timestamp(bounds(&quota.period, now).1, 0).unwrap_or_default();
    format!(
        "Quota \"{}\" reached: {amount} per {}{model}. It starts anew at {} UTC.",
        quota.name,
        quota.period,
        resets.format("%Y-%m-%d %H:%M"),
    )
}

/// The refusal of a limit, as an answer.
pub(crate) fn refusal(quota: &QuotaRow, now: i64) -> ApiError {
    let (_, resets) = bounds(&quota.period, now);
    let text = reached(quota, now);
    let body = json!({
        "detail": text,
        "error": { "message": text, "type": "insufficient_quota", "code": "quota_exceeded" },
        "quota": {
            "id": quota.id, "name": quota.name, "metric": quota.metric, "period": quota.period,
            "limit": view::shown(&quota.metric, quota.amount), "resets_at": resets,
        },
    });
    ApiError::with_body(StatusCode::TOO_MANY_REQUESTS, body)
        .with_header(header::RETRY_AFTER, &(resets - now).max(1).to_string())
}

impl Engine {
    /// The limits on the use of a model by a person; `None` where there are none.
    async fn limits(&self, user_id: &str, models: &[&str]) -> ApiResult<Option<Limits>> {
        let set = quotas::current(&self.db).await?;
        if set.quotas.is_empty() {
            return Ok(None);
        }
        let membership = groups::membership(&self.db, user_id).await?;
        Ok(Limits::new(
            &set,
            user_id,
            &membership,
            models,
            self.clock.seconds(),
        ))
    }

    /// Refuses a run that could not begin anyway, before anything is written for it. Nothing is reserved yet.
    pub(crate) async fn check_quota(&self, user_id: &str, model: &Model) -> ApiResult<()> {
        if model.is_direct() {
            return Ok(());
        }
        let base = crate::dispatch::base_id(model);
        let Some(limits) = self.limits(user_id, &[&model.id, &base]).await? else {
            return Ok(());
        };
        let ids: Vec<String> = limits.quotas.iter().map(|quota| quota.id.clone()).collect();
        let counters = quotas::used(&self.db, &ids, user_id).await?;
        for (quota, start) in limits.quotas.iter().zip(&limits.starts) {
            let held_by = holder(quota, user_id);
            let counter = counters.iter().find(|counter| {
                counter.quota_id == quota.id && counter.holder == held_by && counter.period_start == *start
            });
            if counter.map_or(0, |counter| counter.used) >= quota.amount {
                return Err(refusal(quota, self.clock.seconds()));
            }
        }
        Ok(())
    }

    /// [`Engine::meter`] for a call of the pipeline; calls of the server's own are not limited.
    pub(crate) async fn meter_run(
        &self,
        model: &Model,
        body: &Object,
        context: &CallContext,
    ) -> ApiResult<Option<Meter>> {
        let Some(user) = &context.user else {
            return Ok(None);
        };
        let base = crate::dispatch::base_id(model);
        let apart = |name: &str| context.metadata.get(name).is_none_or(serde_json::Value::is_null);
        let message = apart(FURTHER) && apart("task");
        self.meter(&user.id, &[&model.id, &base], body, message).await
    }

    /// Reserves what a call needs at least and answers what measures the rest; `None` where no limit applies.
    /// `models` are the names of the model, `message` says whether the call is a message of its own.
    #[boxed]
    pub async fn meter(
        &self,
        user_id: &str,
        models: &[&str],
        body: &Object,
        message: bool,
    ) -> ApiResult<Option<Meter>> {
        let Some(limits) = self.limits(user_id, models).await? else {
            return Ok(None);
        };
        let least = Use {
            messages: i64::from(message),
            input: tokens::of_request(body),
            output: 0,
        };
        let portion = tokens::asked(body).map_or(PORTION, |asked| asked.clamp(1, PORTION));
        let now = self.clock.seconds();
        match limits.reserve(&self.db, Use::default(), least, portion).await? {
            Err(quota) => Err(refusal(quota, now)),
            Ok(reserved) => Ok(Some(Meter::new(
                self.db.clone(),
                self.clock.clone(),
                limits,
                least,
                reserved,
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp()
    }

    #[test]
    fn periods_begin_where_the_calendar_says() {
        let now = at("2026-02-25T13:37:14Z");
        let of = |period: &str| bounds(period, now);
        assert_eq!(
            of("hour"),
            (at("2026-02-25T13:00:00Z"), at("2026-02-25T14:00:00Z"))
        );
        assert_eq!(
            of("day"),
            (at("2026-02-25T00:00:00Z"), at("2026-02-26T00:00:00Z"))
        );
        assert_eq!(
            of("week"),
            (at("2026-02-23T00:00:00Z"), at("2026-03-02T00:00:00Z"))
        );
        assert_eq!(
            of("month"),
            (at("2026-02-01T00:00:00Z"), at("2026-03-01T00:00:00Z"))
        );
        let monday = at("2026-02-23T00:00:00Z");
        assert_eq!(bounds("week", monday).0, monday);
        assert_eq!(
            bounds("month", at("2026-12-31T23:59:59Z")).1,
            at("2027-01-01T00:00:00Z")
        );
    }

    fn quota(metric: &str, amount: i64) -> QuotaRow {
        QuotaRow {
            id: metric.into(),
            name: "Daily".into(),
            subject_type: "everyone".into(),
            subject_id: ANY.into(),
            model_id: "m".into(),
            metric: metric.into(),
            period: "day".into(),
            amount,
            shared: 0,
            enabled: 1,
            created_at: 0,
            updated_at: 0,
        }
    }

    #[test]
    fn costs_follow_the_prices() {
        let price = quotas::PriceRow {
            model_id: "m".into(),
            input: 2.0,
            output: 10.0,
            updated_at: 0,
        };
        let set = QuotaSet {
            quotas: vec![quota("cost", 1), quota("total_tokens", 1), quota("messages", 1)],
            prices: [("m".to_owned(), price)].into(),
        };
        let nobody = Membership::default();
        assert!(Limits::new(&set, "u", &nobody, &["other"], 0).is_none());
        let limits = Limits::new(&set, "u", &nobody, &["workspace", "m"], 0).unwrap();
        let used = Use {
            messages: 1,
            input: 1_000_000,
            output: 500_000,
        };
        let amounts: Vec<i64> = limits
            .charges(Use::default(), used)
            .iter()
            .map(|charge| charge.amount)
            .collect();
        assert_eq!(amounts, [7_000_000_000, 1_500_000, 1]);
        assert!(limits.charges(used, used).iter().all(|charge| charge.amount == 0));
    }

    #[test]
    fn refusals_say_which_and_until_when() {
        let now = at("2026-02-25T23:59:00Z");
        let error = refusal(&quota("messages", 5), now);
        assert_eq!(error.status(), 429);
        let text =
            "Quota \"Daily\" reached: 5 messages per day with m. It starts anew at 2026-02-26 00:00 UTC.";
        assert_eq!(error.detail(), text);
        assert_eq!(crate::dispatch::error_text(&error), text);
        assert_eq!(error.body()["quota"]["resets_at"], at("2026-02-26T00:00:00Z"));
    }
}
