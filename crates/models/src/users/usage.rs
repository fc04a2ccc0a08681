//! What a user has used: tokens, models, chats and tools, read from the rows of their messages. Days,
//! streaks and averages are computed by the route that shows them.

use oui_core::boxed;
use serde_json::Value;

use crate::args;
use crate::db::{Db, DbResult, sql};

/// Seconds between two messages beyond which a chat counts as interrupted.
const GAP_SECONDS: i64 = 30 * 60;

/// Times above this are in milliseconds.
const MILLIS_FROM: i64 = 10_000_000_000;

/// Tokens and models of all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// Tokens read by models.
    pub input_tokens: i64,
    /// Tokens written by models.
    pub output_tokens: i64,
    /// Number of different models.
    pub models_used: i64,
}

/// Numbers of chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChatNumbers {
    /// Chats, without internal ones.
    pub total: i64,
    /// Seconds spent in the longest one, pauses left out.
    pub longest_seconds: i64,
}

/// One message in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedMessage {
    /// Seconds; milliseconds in old rows.
    pub created_at: i64,
    /// Chat.
    pub chat_id: String,
    /// `user`, `assistant` or `system`.
    pub role: String,
    /// Model of a reply.
    pub model_id: Option<String>,
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
}

/// A count inside `usage` under its usual or its OpenAI name. The way over a double takes counts that were
/// stored as `12.0`.
fn tokens(name: &str, openai: &str) -> String {
    let one = |name: &str| format!("CAST(CAST(\"usage\"->>'{name}' AS DOUBLE PRECISION) AS BIGINT)");
    format!("COALESCE({}, {}, 0)", one(name), one(openai))
}

fn input() -> String {
    tokens("input_tokens", "prompt_tokens")
}

fn output() -> String {
    tokens("output_tokens", "completion_tokens")
}

/// Tokens and models of all time.
#[boxed]
pub async fn lifetime(db: &Db, user_id: &str) -> DbResult<Lifetime> {
    let text = format!(
        "SELECT CAST(COALESCE(SUM({}), 0) AS BIGINT), CAST(COALESCE(SUM({}), 0) AS BIGINT), \
         COUNT(DISTINCT model_id) FROM chat_message WHERE user_id = ? AND role = 'assistant'",
        input(),
        output()
    );
    let Some(row) = sql(text, args![user_id]).first(db).await? else {
        return Ok(Lifetime::default());
    };
    Ok(Lifetime {
        input_tokens: row.at(0)?,
        output_tokens: row.at(1)?,
        models_used: row.at(2)?,
    })
}

/// Messages between two times (seconds, ends included).
#[boxed]
pub async fn messages(db: &Db, user_id: &str, start: i64, end: i64) -> DbResult<Vec<UsedMessage>> {
    let text = format!(
        "SELECT created_at, chat_id, role, model_id, {}, {} FROM chat_message \
         WHERE user_id = ? AND created_at >= ? AND created_at <= ? ORDER BY created_at",
        input(),
        output()
    );
    let rows = sql(text, args![user_id, start, end]).all(db).await?;
    rows.iter()
        .map(|row| {
            Ok(UsedMessage {
                created_at: row.at(0)?,
                chat_id: row.at(1)?,
                role: row.at(2)?,
                model_id: row.at(3)?,
                input_tokens: row.at(4)?,
                output_tokens: row.at(5)?,
            })
        })
        .collect()
}

/// Numbers of chats.
#[boxed]
pub async fn chats(db: &Db, user_id: &str) -> DbResult<ChatNumbers> {
    // `internal` is 1 on SQLite and `true` on PostgreSQL.
    let own = "c.user_id = ? AND COALESCE(CAST(c.meta->>'internal' AS TEXT), '') NOT IN ('1', 'true')";
    let total: Option<i64> = sql(format!("SELECT COUNT(*) FROM chat c WHERE {own}"), args![user_id])
        .scalar(db)
        .await?;
    let text = format!(
        "SELECT CAST(COALESCE(MAX(active), 0) AS BIGINT) FROM (\
           SELECT SUM(gap) AS active FROM (\
             SELECT chat_id, at - LAG(at) OVER (PARTITION BY chat_id ORDER BY created_at) AS gap FROM (\
               SELECT m.chat_id, m.created_at, \
                 CASE WHEN m.created_at > {MILLIS_FROM} THEN m.created_at / 1000 ELSE m.created_at END AS at \
               FROM chat_message m JOIN chat c ON c.id = m.chat_id WHERE {own} AND m.created_at IS NOT NULL\
             ) AS times\
           ) AS gaps WHERE gap > 0 AND gap <= {GAP_SECONDS} GROUP BY chat_id\
         ) AS chats"
    );
    let longest: Option<i64> = sql(text, args![user_id]).scalar(db).await?;
    Ok(ChatNumbers {
        total: total.unwrap_or(0),
        longest_seconds: longest.unwrap_or(0),
    })
}

/// Output items and marks of the messages between two times that may name tools.
#[boxed]
pub async fn tool_traces(db: &Db, user_id: &str, start: i64, end: i64) -> DbResult<Vec<Value>> {
    let mentions = |column: &str| {
        format!("CAST({column} AS TEXT) LIKE '%tool%' OR CAST({column} AS TEXT) LIKE '%function_call%'")
    };
    let text = format!(
        "SELECT output, meta FROM chat_message WHERE user_id = ? AND created_at >= ? AND created_at <= ? \
         AND ({} OR {})",
        mentions("output"),
        mentions("meta")
    );
    let mut traces = Vec::new();
    for row in sql(text, args![user_id, start, end]).all(db).await? {
        let (output, meta): (Option<Value>, Option<Value>) = (row.at(0)?, row.at(1)?);
        traces.extend([output, meta].into_iter().flatten());
    }
    Ok(traces)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{databases, user};

    async fn message(db: &Db, user: &str, chat: &str, at: i64, role: &str, usage: Value, output: Value) {
        let model = (role == "assistant").then_some("echo");
        sql(
            "INSERT INTO chat_message (id, chat_id, user_id, role, model_id, \"usage\", output, created_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            args![format!("{chat}-{at}"), chat, user, role, model, usage, output, at],
        )
        .execute(db)
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn numbers_of_one_user() {
        for db in databases().await {
            let ada = user(&db, "Ada").await.id;
            for (chat, meta) in [("a", json!({})), ("b", json!({"internal": true}))] {
                let text = "INSERT INTO chat (id, user_id, title, meta) VALUES (?, ?, 't', ?)";
                sql(text, args![chat, &ada, meta]).execute(&db).await.unwrap();
            }
            let call = json!([{"type": "function_call", "name": "clock"}]);
            message(&db, &ada, "a", 1_000, "user", Value::Null, Value::Null).await;
            message(
                &db,
                &ada,
                "a",
                1_060,
                "assistant",
                json!({"input_tokens": 3, "output_tokens": 4.0}),
                call.clone(),
            )
            .await;
            message(
                &db,
                &ada,
                "a",
                9_000,
                "assistant",
                json!({"prompt_tokens": 5}),
                json!([]),
            )
            .await;
            message(&db, &ada, "b", 1_000, "user", Value::Null, Value::Null).await;
            let all = lifetime(&db, &ada).await.unwrap();
            assert_eq!(
                all,
                Lifetime {
                    input_tokens: 8,
                    output_tokens: 4,
                    models_used: 1
                }
            );
            assert_eq!(
                chats(&db, &ada).await.unwrap(),
                ChatNumbers {
                    total: 1,
                    longest_seconds: 60
                }
            );
            let some = messages(&db, &ada, 1_001, 2_000).await.unwrap();
            assert_eq!(
                (some.len(), some[0].input_tokens, some[0].output_tokens),
                (1, 3, 4)
            );
            assert_eq!(
                tool_traces(&db, &ada, 0, 10_000).await.unwrap().first(),
                Some(&call)
            );
            assert_eq!(lifetime(&db, "nobody").await.unwrap(), Lifetime::default());
        }
    }
}
