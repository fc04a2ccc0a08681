//! Limits and their use as they are shown: to the person they are about and to administrators.

use oui_core::boxed;
use oui_core::{ApiError, ApiResult};
use oui_models::quotas::{self, ANY, QuotaRow, UsageRow};
use oui_models::users::UserRow;
use oui_models::{groups, users};
use serde_json::{Value, json};

use super::{COST_PARTS, bounds, concerns, holder};
use crate::engine::Engine;

/// An amount as it is shown: costs in units of money.
pub fn shown(metric: &str, amount: i64) -> Value {
    match metric {
        "cost" => json!(amount as f64 / COST_PARTS),
        _ => json!(amount),
    }
}

/// An amount as it is stored; `None` for what is no limit.
pub fn stored(metric: &str, amount: f64) -> Option<i64> {
    let amount = if metric == "cost" {
        amount * COST_PARTS
    } else {
        amount
    };
    (amount.is_finite() && (0.0..=9e18).contains(&amount)).then(|| amount.round() as i64)
}

/// A limit as administrators see it.
pub fn quota_json(quota: &QuotaRow) -> Value {
    let chosen = |id: &str| (id != ANY).then(|| id.to_owned());
    json!({
        "id": quota.id,
        "name": quota.name,
        "subject_type": quota.subject_type,
        "subject_id": chosen(&quota.subject_id),
        "model_id": chosen(&quota.model_id),
        "metric": quota.metric,
        "period": quota.period,
        "limit": shown(&quota.metric, quota.amount),
        "shared": quota.shared == 1,
        "enabled": quota.enabled == 1,
        "created_at": quota.created_at,
        "updated_at": quota.updated_at,
    })
}

/// A limit with what one person used of it.
fn usage_json(quota: &QuotaRow, counters: &[UsageRow], user_id: &str, now: i64) -> Value {
    let (start, end) = bounds(&quota.period, now);
    let held_by = holder(quota, user_id);
    let used = counters
        .iter()
        .find(|row| row.quota_id == quota.id && row.holder == held_by && row.period_start == start)
        .map_or(0, |row| row.used);
    let mut value = json!({
        "id": quota.id,
        "name": quota.name,
        "model_id": (quota.model_id != ANY).then_some(&quota.model_id),
        "metric": quota.metric,
        "period": quota.period,
        "shared": quota.shared == 1,
    });
    value["limit"] = shown(&quota.metric, quota.amount);
    value["used"] = shown(&quota.metric, used);
    value["remaining"] = shown(&quota.metric, (quota.amount - used).max(0));
    value["period_start"] = json!(start);
    value["resets_at"] = json!(end);
    value
}

impl Engine {
    /// The limits in force for a person, with what was used of them in their present periods.
    #[boxed]
    pub async fn quota_usage(&self, user_id: &str) -> ApiResult<Value> {
        let set = quotas::current(&self.db).await?;
        let membership = groups::membership(&self.db, user_id).await?;
        let own: Vec<&QuotaRow> = set
            .quotas
            .iter()
            .filter(|quota| concerns(quota, user_id, &membership, &[&quota.model_id]))
            .collect();
        let ids: Vec<String> = own.iter().map(|quota| quota.id.clone()).collect();
        let counters = quotas::used(&self.db, &ids, user_id).await?;
        let now = self.clock.seconds();
        let quotas: Vec<Value> = own
            .into_iter()
            .map(|quota| usage_json(quota, &counters, user_id, now))
            .collect();
        Ok(json!({ "user_id": user_id, "now": now, "quotas": quotas }))
    }

    /// What everybody used of one limit, the present period first.
    #[boxed]
    pub async fn quota_counters(&self, id: &str) -> ApiResult<Value> {
        let quota = quotas::by_id(&self.db, id).await?;
        let quota = quota.ok_or_else(|| ApiError::not_found("Quota not found."))?;
        let rows = quotas::counters(&self.db, id, 500).await?;
        let ids: Vec<String> = rows.iter().map(|row| row.holder.clone()).collect();
        let people: Vec<UserRow> = users::by_ids(&self.db, &ids).await?;
        let name = |id: &str| people.iter().find(|user| user.id == id).map(|user| &user.name);
        let (start, resets) = bounds(&quota.period, self.clock.seconds());
        let usage: Vec<Value> = rows
            .iter()
            .map(|row| {
                json!({
                    "user_id": (row.holder != ANY).then_some(&row.holder),
                    "name": name(&row.holder),
                    "period_start": row.period_start,
                    "current": row.period_start == start,
                    "used": shown(&quota.metric, row.used),
                })
            })
            .collect();
        Ok(json!({ "quota": quota_json(&quota), "resets_at": resets, "usage": usage }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_shown_in_money() {
        assert_eq!(stored("cost", 0.25), Some(250_000_000));
        assert_eq!(shown("cost", 250_000_000), json!(0.25));
        assert_eq!(
            (stored("messages", 3.0), shown("messages", 3)),
            (Some(3), json!(3))
        );
        assert_eq!((stored("messages", -1.0), stored("cost", f64::NAN)), (None, None));
    }
}
