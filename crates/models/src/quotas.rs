//! Tables `oui_quota`, `oui_model_price` and `oui_quota_usage` (ours): limits on the use of models, prices, and what
//! was used. Use is reserved before it happens and settled after it: one statement adds to a counter only while that
//! stays within the limit, so that several runs and several servers can not go over it together. What a limit
//! is about and how use is measured is the chat crate's.

use oui_core::boxed;
use std::collections::HashMap;
use std::sync::Arc;

use crate::db::{Arg, Conn, Db, DbResult, Tx, placeholders, sql};
use crate::{args, table};

/// Stands for every model, nobody in particular, and all holders together.
pub const ANY: &str = "*";

/// How long counters of past periods are kept, in seconds: thirteen months.
const KEPT: i64 = 400 * 86_400;

table! {
    /// One limit.
    pub struct QuotaRow in "oui_quota" {
        /// Row id.
        pub id: String,
        /// Name shown.
        pub name: String,
        /// `everyone`, `user` or `group`.
        pub subject_type: String,
        /// Id of the user or group, or [`ANY`].
        pub subject_id: String,
        /// Model, or [`ANY`].
        pub model_id: String,
        /// `messages`, `input_tokens`, `output_tokens`, `total_tokens` or `cost`.
        pub metric: String,
        /// `hour`, `day`, `week` or `month`.
        pub period: String,
        /// Limit: a number, for costs in billionths.
        pub amount: i64,
        /// 1: all whom it concerns share it; 0: each has it alone.
        pub shared: i64,
        /// 1: it is in force.
        pub enabled: i64,
        /// Seconds.
        pub created_at: i64,
        /// Seconds.
        pub updated_at: i64,
    }
}

table! {
    /// What a million tokens of a model cost.
    pub struct PriceRow in "oui_model_price" {
        /// Model.
        pub model_id: String,
        /// Of what is sent.
        pub input: f64,
        /// Of what is answered.
        pub output: f64,
        /// Seconds.
        pub updated_at: i64,
    }
}

table! {
    /// A counter.
    pub struct UsageRow in "oui_quota_usage" {
        /// Limit.
        pub quota_id: String,
        /// Who used it: a user id, or [`ANY`] for a shared limit.
        pub holder: String,
        /// First second of the period.
        pub period_start: i64,
        /// As in [`QuotaRow::amount`], reservations included.
        pub used: i64,
        /// Seconds.
        pub updated_at: i64,
    }
}

/// The limits in force and the prices.
#[derive(Debug, Clone, Default)]
pub struct QuotaSet {
    /// Limits.
    pub quotas: Vec<QuotaRow>,
    /// Prices by model.
    pub prices: HashMap<String, PriceRow>,
}

/// A counter and how it is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Limit.
    pub quota_id: String,
    /// Whose counter.
    pub holder: String,
    /// First second of the period.
    pub period_start: i64,
    /// What is added.
    pub amount: i64,
    /// What the counter may reach.
    pub limit: i64,
}

/// The limits in force, from memory.
#[boxed]
pub async fn current(db: &Db) -> DbResult<Arc<QuotaSet>> {
    let load = async {
        let quotas = QuotaRow::list(db, "WHERE enabled = 1 ORDER BY id", args![]).await?;
        // Without a limit nobody asks for prices.
        let prices = if quotas.is_empty() {
            Vec::new()
        } else {
            prices(db).await?
        };
        let prices = prices.into_iter().map(|price| (price.model_id.clone(), price));
        Ok(Some(Arc::new(QuotaSet {
            quotas,
            prices: prices.collect(),
        })))
    };
    Ok(db
        .caches()
        .quotas
        .get_or_load(&(), load)
        .await?
        .unwrap_or_default())
}

/// Forgets what is in memory; called after a change here or on another server.
pub fn changed(db: &Db) {
    db.caches().quotas.clear();
}

/// Every limit, those not in force included.
#[boxed]
pub async fn all(db: &Db) -> DbResult<Vec<QuotaRow>> {
    QuotaRow::list(db, "ORDER BY name, id", args![]).await
}

/// One limit.
#[boxed]
pub async fn by_id(db: &Db, id: &str) -> DbResult<Option<QuotaRow>> {
    QuotaRow::find(db, "WHERE id = ?", args![id]).await
}

/// Adds a limit or replaces the one with its id. Counters stay.
#[boxed]
pub async fn put(db: &Db, row: &QuotaRow) -> DbResult<()> {
    let statement = format!(
        "INSERT INTO oui_quota ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
         subject_type = excluded.subject_type, subject_id = excluded.subject_id, model_id = excluded.model_id, \
         metric = excluded.metric, period = excluded.period, amount = excluded.amount, shared = excluded.shared, \
         enabled = excluded.enabled, updated_at = excluded.updated_at",
        QuotaRow::COLUMNS,
        placeholders(QuotaRow::NAMES.len()),
    );
    let args = args![
        &row.id,
        &row.name,
        &row.subject_type,
        &row.subject_id,
        &row.model_id,
        &row.metric,
        &row.period,
        row.amount,
        row.shared,
        row.enabled,
        row.created_at,
        row.updated_at,
    ];
    sql(statement, args).execute(db).await?;
    changed(db);
    Ok(())
}

/// Removes a limit with its counters; answers whether there was one.
#[boxed]
pub async fn remove(db: &Db, id: &str) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    UsageRow::delete(&mut tx, "WHERE quota_id = ?", args![id]).await?;
    let gone = QuotaRow::delete(&mut tx, "WHERE id = ?", args![id]).await?;
    tx.commit().await?;
    changed(db);
    Ok(gone > 0)
}

/// Removes the limits of a user or group that is going, inside the transaction of its removal. Call [`changed`]
/// after the commit.
#[boxed]
pub async fn remove_subject(tx: &mut Tx, kind: &str, id: &str) -> DbResult<()> {
    let of_subject = "quota_id IN (SELECT id FROM oui_quota WHERE subject_type = ? AND subject_id = ?)";
    UsageRow::delete(&mut *tx, &format!("WHERE {of_subject}"), args![kind, id]).await?;
    QuotaRow::delete(
        &mut *tx,
        "WHERE subject_type = ? AND subject_id = ?",
        args![kind, id],
    )
    .await?;
    if kind == "user" {
        UsageRow::delete(&mut *tx, "WHERE holder = ?", args![id]).await?;
    }
    Ok(())
}

/// Every price.
#[boxed]
pub async fn prices(conn: impl Into<Conn<'_>>) -> DbResult<Vec<PriceRow>> {
    PriceRow::list(conn, "ORDER BY model_id", args![]).await
}

/// Replaces all prices.
#[boxed]
pub async fn set_prices(db: &Db, rows: &[(String, f64, f64)]) -> DbResult<()> {
    let now = db.now();
    let mut tx = db.begin().await?;
    PriceRow::delete(&mut tx, "WHERE 1 = 1", args![]).await?;
    for (model, input, output) in rows {
        sql(
            "INSERT INTO oui_model_price (model_id, input, output, updated_at) VALUES (?, ?, ?, ?)",
            args![model, *input, *output, now],
        )
        .execute(&mut tx)
        .await?;
    }
    tx.commit().await?;
    changed(db);
    Ok(())
}

/// Adds to all counters, or to none: then the answer is the position of one that would go over its limit.
#[boxed]
pub async fn reserve(db: &Db, charges: &[Charge]) -> DbResult<Result<(), usize>> {
    let now = db.now();
    let mut tx = db.begin().await?;
    // In one order everywhere, so that two servers do not wait for each other.
    let mut order: Vec<usize> = (0..charges.len()).collect();
    order.sort_by_key(|place| (&charges[*place].quota_id, &charges[*place].holder));
    for place in order {
        let Charge {
            quota_id,
            holder,
            period_start,
            amount,
            limit,
        } = &charges[place];
        let touched = if amount > limit {
            0
        } else {
            sql(
                "INSERT INTO oui_quota_usage (quota_id, holder, period_start, used, updated_at) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT (quota_id, holder, period_start) DO UPDATE SET used = oui_quota_usage.used + excluded.used, \
                 updated_at = excluded.updated_at WHERE oui_quota_usage.used + excluded.used <= ?",
                args![quota_id, holder, *period_start, *amount, now, *limit],
            )
            .execute(&mut tx)
            .await?
        };
        if touched == 0 {
            return Ok(Err(place));
        }
    }
    tx.commit().await?;
    Ok(Ok(()))
}

/// Corrects counters by what was really used; they may go over their limits, since it was used.
#[boxed]
pub async fn settle(db: &Db, corrections: &[Charge]) -> DbResult<()> {
    let now = db.now();
    let mut tx = db.begin().await?;
    let mut sorted: Vec<&Charge> = corrections.iter().filter(|charge| charge.amount != 0).collect();
    sorted.sort_by_key(|charge| (&charge.quota_id, &charge.holder));
    for charge in sorted {
        sql(
            "UPDATE oui_quota_usage SET used = CASE WHEN used + ? < 0 THEN 0 ELSE used + ? END, updated_at = ? \
             WHERE quota_id = ? AND holder = ? AND period_start = ?",
            args![
                charge.amount,
                charge.amount,
                now,
                &charge.quota_id,
                &charge.holder,
                charge.period_start
            ],
        )
        .execute(&mut tx)
        .await?;
    }
    tx.commit().await
}

/// What stands in the counters of some limits for one holder (and of shared ones), by limit and period.
#[boxed]
pub async fn used(db: &Db, quota_ids: &[String], user_id: &str) -> DbResult<Vec<UsageRow>> {
    if quota_ids.is_empty() {
        return Ok(Vec::new());
    }
    let condition = format!(
        "WHERE holder IN (?, '*') AND quota_id IN ({})",
        placeholders(quota_ids.len())
    );
    let mut args: Vec<Arg> = args![user_id];
    args.extend(quota_ids.iter().map(|id| Arg::from(id.as_str())));
    UsageRow::list(db, &condition, args).await
}

/// The counters of a limit, newest period first, then by use.
#[boxed]
pub async fn counters(db: &Db, quota_id: &str, limit: i64) -> DbResult<Vec<UsageRow>> {
    UsageRow::list(
        db,
        "WHERE quota_id = ? ORDER BY period_start DESC, used DESC, holder LIMIT ?",
        args![quota_id, limit],
    )
    .await
}

/// Sets the counter of a limit back: for one holder, or for all.
#[boxed]
pub async fn reset(db: &Db, quota_id: &str, holder: Option<&str>) -> DbResult<u64> {
    match holder {
        Some(holder) => {
            UsageRow::delete(db, "WHERE quota_id = ? AND holder = ?", args![quota_id, holder]).await
        }
        None => UsageRow::delete(db, "WHERE quota_id = ?", args![quota_id]).await,
    }
}

/// Forgets counters of periods long past.
#[boxed]
pub async fn forget_old(db: &Db) -> DbResult<u64> {
    UsageRow::delete(db, "WHERE period_start < ?", args![db.now() - KEPT]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::databases;

    fn charge(quota: &str, amount: i64, limit: i64) -> Charge {
        Charge {
            quota_id: quota.into(),
            holder: "u".into(),
            period_start: 0,
            amount,
            limit,
        }
    }

    async fn value(db: &Db, quota: &str) -> i64 {
        let rows = used(db, &[quota.to_owned()], "u").await.unwrap();
        rows.first().map_or(0, |row| row.used)
    }

    #[tokio::test]
    async fn all_counters_move_or_none() {
        for db in databases().await {
            let both = [charge("a", 2, 10), charge("b", 2, 3)];
            assert_eq!(reserve(&db, &both).await.unwrap(), Ok(()));
            assert_eq!(reserve(&db, &both).await.unwrap(), Err(1));
            assert_eq!((value(&db, "a").await, value(&db, "b").await), (2, 2));
            settle(&db, &[charge("a", 20, 10), charge("b", -5, 3)])
                .await
                .unwrap();
            assert_eq!((value(&db, "a").await, value(&db, "b").await), (22, 0));
            assert_eq!(reserve(&db, &[charge("new", 4, 3)]).await.unwrap(), Err(0));
            assert_eq!(reset(&db, "a", Some("u")).await.unwrap(), 1);
            assert_eq!(value(&db, "a").await, 0);
        }
    }

    #[tokio::test]
    async fn many_at_once_do_not_go_over() {
        for db in databases().await {
            let db: &Db = &db;
            let tries = (0..40).map(|_| {
                let db = db.clone();
                tokio::spawn(async move { reserve(&db, &[charge("a", 1, 25)]).await.unwrap().is_ok() })
            });
            let tries: Vec<_> = tries.collect();
            let mut good = 0;
            for one in tries {
                good += i64::from(one.await.unwrap());
            }
            assert_eq!((good, value(db, "a").await), (25, 25));
        }
    }

    #[tokio::test]
    async fn limits_are_read_once_until_they_change() {
        for db in databases().await {
            assert!(current(&db).await.unwrap().quotas.is_empty());
            let row = QuotaRow {
                id: "q".into(),
                name: "Q".into(),
                subject_type: "everyone".into(),
                subject_id: ANY.into(),
                model_id: ANY.into(),
                metric: "messages".into(),
                period: "day".into(),
                amount: 3,
                shared: 0,
                enabled: 1,
                created_at: 1,
                updated_at: 1,
            };
            put(&db, &row).await.unwrap();
            set_prices(&db, &[("m".into(), 2.0, 4.5)]).await.unwrap();
            let set = current(&db).await.unwrap();
            assert_eq!((set.quotas.clone(), set.prices["m"].output), (vec![row], 4.5));
            assert!(Arc::ptr_eq(&set, &current(&db).await.unwrap()));
            assert!(remove(&db, "q").await.unwrap());
            assert!(current(&db).await.unwrap().quotas.is_empty());
        }
    }
}
