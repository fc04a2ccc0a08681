//! Statistics over the table `chat_message`: how often models answered and how many tokens that took. Only
//! sums leave this module. Charts read columns that the index `oui_idx_chat_message_charts` holds, and no others: a
//! message is long, and its row need not be read for them (on PostgreSQL those of tokens have to).

pub mod browse;

use crate::db::{Arg, Db, DbResult, Dialect, Row, sql};
use crate::shared::Condition;
use oui_core::boxed;

/// Which answers count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span<'a> {
    /// From this second on; 0 and nothing mean the beginning.
    pub start: Option<i64>,
    /// Up to this second; 0 and nothing mean now.
    pub end: Option<i64>,
    /// Only answers to members of this group and its subgroups.
    pub group_id: Option<&'a str>,
}

/// Sums by model or user.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Model or user id.
    pub id: String,
    /// Answers.
    pub messages: i64,
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
}

impl Usage {
    /// Tokens in all.
    pub fn total_tokens(&self) -> i64 {
        self.input_tokens + self.output_tokens
    }
}

impl Span<'_> {
    fn condition(&self) -> Condition {
        let mut text = String::from("role = 'assistant'");
        let mut args: Vec<Arg> = Vec::new();
        for (bound, operator) in [(self.start, ">="), (self.end, "<=")] {
            if let Some(bound) = bound.filter(|bound| *bound != 0) {
                text.push_str(&format!(" AND created_at {operator} ?"));
                args.push(Arg::from(bound));
            }
        }
        if let Some(group_id) = self.group_id.filter(|id| !id.is_empty()) {
            text.push_str(
                " AND user_id IN (WITH RECURSIVE below(id) AS (SELECT id FROM \"group\" WHERE id = ? \
                   UNION SELECT g.id FROM \"group\" g JOIN below ON g.parent_group_id = below.id) \
                 SELECT m.user_id FROM group_member m JOIN below ON m.group_id = below.id)",
            );
            args.push(Arg::from(group_id));
        }
        (text, args)
    }
}

/// SQL of the tokens read and written by an answer; older answers use OpenAI's names.
fn tokens(dialect: Dialect) -> (String, String) {
    let extract = |name: &str| match dialect {
        Dialect::Sqlite => format!("CAST(json_extract(\"usage\", '$.{name}') AS INTEGER)"),
        Dialect::Postgres => format!("CAST(json_extract_path_text(\"usage\", '{name}') AS DOUBLE PRECISION)"),
    };
    let either = |name: &str, older: &str| format!("COALESCE({}, {})", extract(name), extract(older));
    (
        either("input_tokens", "prompt_tokens"),
        either("output_tokens", "completion_tokens"),
    )
}

fn usage(row: &Row) -> DbResult<Option<Usage>> {
    let id: Option<String> = row.at(0)?;
    let Some(id) = id else { return Ok(None) };
    Ok(Some(Usage {
        id,
        messages: row.at(1)?,
        input_tokens: row.at(2)?,
        output_tokens: row.at(3)?,
    }))
}

async fn sums(db: &Db, column: &str, span: Span<'_>, further: &str) -> DbResult<Vec<Usage>> {
    let (input, output) = tokens(db.dialect());
    let (condition, args) = span.condition();
    let text = format!(
        "SELECT {column}, COUNT(*), CAST(COALESCE(SUM({input}), 0) AS BIGINT), \
           CAST(COALESCE(SUM({output}), 0) AS BIGINT) FROM chat_message WHERE {condition} {further} GROUP BY {column}"
    );
    let rows = sql(text, args).all(db).await?;
    let sums: Vec<Option<Usage>> = rows.iter().map(usage).collect::<DbResult<_>>()?;
    Ok(sums.into_iter().flatten().collect())
}

/// Tokens by model, of answers whose usage is known.
#[boxed]
pub async fn tokens_by_model(db: &Db, span: Span<'_>) -> DbResult<Vec<Usage>> {
    sums(
        db,
        "model_id",
        span,
        "AND model_id IS NOT NULL AND \"usage\" IS NOT NULL",
    )
    .await
}

/// Answers and tokens by user.
#[boxed]
pub async fn by_user(db: &Db, span: Span<'_>) -> DbResult<Vec<Usage>> {
    sums(db, "user_id", span, "").await
}

/// Use of one model.
#[derive(Debug, Clone)]
pub struct ModelUse {
    /// Model.
    pub model_id: String,
    /// Answers.
    pub messages: i64,
    /// Different users.
    pub users: i64,
    /// Different chats.
    pub chats: i64,
}

/// Answers, users and chats by model, most answers first.
#[boxed]
pub async fn by_model(db: &Db, span: Span<'_>) -> DbResult<Vec<ModelUse>> {
    let (condition, args) = span.condition();
    let text = format!(
        "SELECT model_id, COUNT(*), COUNT(DISTINCT user_id), COUNT(DISTINCT chat_id) FROM chat_message \
         WHERE {condition} AND model_id IS NOT NULL GROUP BY model_id ORDER BY COUNT(*) DESC, model_id"
    );
    let rows = sql(text, args).all(db).await?;
    rows.iter()
        .map(|row| {
            Ok(ModelUse {
                model_id: row.at(0)?,
                messages: row.at(1)?,
                users: row.at(2)?,
                chats: row.at(3)?,
            })
        })
        .collect()
}

/// Totals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Answers of known models.
    pub messages: i64,
    /// Chats with answers.
    pub chats: i64,
    /// Different models.
    pub models: i64,
    /// Different users; those who are gone count as one.
    pub users: i64,
}

/// Totals over all models.
#[boxed]
pub async fn summary(db: &Db, span: Span<'_>) -> DbResult<Summary> {
    let (condition, args) = span.condition();
    let text = format!(
        "SELECT COUNT(model_id), COUNT(DISTINCT chat_id), COUNT(DISTINCT model_id), \
           COUNT(DISTINCT user_id) + CASE WHEN COUNT(*) > COUNT(user_id) THEN 1 ELSE 0 END \
         FROM chat_message WHERE {condition}"
    );
    let Some(row) = sql(text, args).first(db).await? else {
        return Ok(Summary::default());
    };
    Ok(Summary {
        messages: row.at(0)?,
        chats: row.at(1)?,
        models: row.at(2)?,
        users: row.at(3)?,
    })
}

/// What a time series counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Answers.
    Messages,
    /// Tokens read and written.
    Tokens,
}

/// Sums by model and slice of time, as `(seconds at which the slice begins, model, sum)`. Slices are `width`
/// seconds long and begin where `(time + shift) % width == 0`. Times in milliseconds, which old rows have, are
/// taken for what they are; times that can not be (before 2020, after tomorrow) count as now.
#[boxed]
pub async fn series(
    db: &Db,
    span: Span<'_>,
    metric: Metric,
    width: i64,
    shift: i64,
) -> DbResult<Vec<(i64, String, i64)>> {
    /// 2020-01-01.
    const EARLIEST: i64 = 1_577_836_800;
    /// A day of tolerance for clocks that are ahead.
    const AHEAD: i64 = 86_400;
    let value = match metric {
        Metric::Messages => "1".to_owned(),
        Metric::Tokens => {
            let (input, output) = tokens(db.dialect());
            format!("COALESCE({input}, 0) + COALESCE({output}, 0)")
        }
    };
    let now = db.now();
    let seconds = "(CASE WHEN created_at > 10000000000 THEN created_at / 1000 ELSE created_at END)";
    let sane = format!(
        "(CASE WHEN {seconds} < {EARLIEST} OR {seconds} > {} THEN {now} ELSE {seconds} END)",
        now + AHEAD
    );
    let slice = format!("({sane} + {shift}) / {width}");
    let (condition, args) = span.condition();
    let text = format!(
        "SELECT CAST({slice} AS BIGINT), model_id, CAST(SUM({value}) AS BIGINT) FROM chat_message \
         WHERE {condition} AND model_id IS NOT NULL GROUP BY 1, model_id ORDER BY 1, model_id"
    );
    let rows = sql(text, args).all(db).await?;
    rows.iter()
        .map(|row| Ok((row.at::<i64>(0)? * width - shift, row.at(1)?, row.at(2)?)))
        .collect()
}
