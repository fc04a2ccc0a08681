//! Tables `channel` and `channel_member`: which channels a user hears. The rest of channels comes with their area.

use crate::db::{Conn, Db, DbResult, sql};
use crate::groups::Membership;
use crate::{args, grants};

/// `resource_type` of channels in the grants.
pub const KIND: &str = "channel";

/// Ids of the channels whose events a user hears: those they are a member of, and standard ones that grants
/// open to them (all, for administrators).
pub async fn ids_of_user(
    conn: impl Into<Conn<'_>>,
    user_id: &str,
    membership: &Membership,
    is_admin: bool,
) -> DbResult<Vec<String>> {
    let (reach, grant_args) = grants::reach_condition(KIND, "read", user_id, membership);
    let text = format!(
        "SELECT id FROM channel c WHERE c.deleted_at IS NULL AND c.archived_at IS NULL AND (\
           EXISTS (SELECT 1 FROM channel_member m WHERE m.channel_id = c.id AND m.user_id = ? AND m.is_active = ?) \
           OR (COALESCE(c.\"type\", '') NOT IN ('group', 'dm') AND (? OR c.user_id = ? OR \
               EXISTS (SELECT 1 FROM access_grant WHERE resource_id = c.id AND {reach}))))"
    );
    let mut args = args![user_id, true, is_admin, user_id];
    args.extend(grant_args);
    let rows = sql(text, args).all(conn).await?;
    rows.iter().map(|row| row.at(0)).collect()
}

/// Notes that a member has read the channel up to now.
pub async fn mark_read(db: &Db, channel_id: &str, user_id: &str) -> DbResult<()> {
    sql(
        "UPDATE channel_member SET last_read_at = ? WHERE channel_id = ? AND user_id = ?",
        args![db.clock().nanos(), channel_id, user_id],
    )
    .execute(db)
    .await?;
    Ok(())
}
