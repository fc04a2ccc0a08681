//! Table `oauth_session`: tokens of OAuth services, encrypted, one row a sign-in or connection. The tokens
//! themselves are opaque here.

use oui_core::boxed;
use serde_json::{Value, json};

use crate::db::{Conn, DbResult};
use crate::{args, table};

table! {
    /// One session at a service.
    pub struct OAuthSessionRow in "oauth_session" {
        /// Row id.
        pub id: String,
        /// Whose.
        pub user_id: String,
        /// Name of the service, or `mcp:` and the id of a tool server.
        pub provider: String,
        /// Encrypted tokens.
        pub token: String,
        /// Seconds.
        pub expires_at: i64,
        /// Seconds.
        pub created_at: i64,
        /// Seconds.
        pub updated_at: i64,
    }
}

impl OAuthSessionRow {
    /// The session as routes send it; its tokens stay here.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "user_id": self.user_id,
            "provider": self.provider,
            "token": {},
            "expires_at": self.expires_at,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        })
    }
}

/// Sessions of a user.
#[boxed]
pub async fn of_user(conn: impl Into<Conn<'_>>, user_id: &str) -> DbResult<Vec<OAuthSessionRow>> {
    OAuthSessionRow::list(conn, "WHERE user_id = ? ORDER BY created_at, id", args![user_id]).await
}

/// Forgets the sessions of a user at one service; `false` when there was none.
#[boxed]
pub async fn remove(conn: impl Into<Conn<'_>>, user_id: &str, provider: &str) -> DbResult<bool> {
    let gone = OAuthSessionRow::delete(
        conn,
        "WHERE user_id = ? AND provider = ?",
        args![user_id, provider],
    )
    .await?;
    Ok(gone > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{databases, user};

    #[tokio::test]
    async fn sessions_are_listed_without_tokens_and_removed_by_service() {
        for db in databases().await {
            let ada = user(&db, "Ada").await.id;
            for provider in ["google", "mcp:a"] {
                let row = OAuthSessionRow {
                    id: provider.to_owned(),
                    user_id: ada.clone(),
                    provider: provider.to_owned(),
                    token: "secret".into(),
                    expires_at: 1,
                    created_at: 1,
                    updated_at: 1,
                };
                row.insert(&db).await.unwrap();
            }
            let all = of_user(&db, &ada).await.unwrap();
            assert_eq!(all.len(), 2);
            assert!(!all[0].to_json().to_string().contains("secret"));
            assert!(remove(&db, &ada, "mcp:a").await.unwrap());
            assert!(!remove(&db, &ada, "mcp:a").await.unwrap());
            assert_eq!(of_user(&db, &ada).await.unwrap()[0].provider, "google");
        }
    }
}
