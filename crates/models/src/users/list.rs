//! Lists of accounts: paged, filtered by name or address, in the orders that clients ask for.

use crate::args;
use crate::db::{Arg, Db, DbResult, FromRow, sql};
use oui_core::boxed;

use super::UserRow;

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct Listing<'a> {
    /// Part of the name or address, in any case; `%` and `_` stand for other characters.
    pub query: Option<&'a str>,
    /// A column of [`ORDERS`], or `group_id:` and a group; members of the group come first then.
    pub order_by: Option<&'a str>,
    /// Whether small values come first.
    pub ascending: bool,
    /// Rows to leave out and rows at most; `None` lists everybody.
    pub page: Option<(i64, i64)>,
}

/// Columns that clients may sort by; anything else gives the newest first.
const ORDERS: &[&str] = &[
    "name",
    "email",
    "created_at",
    "last_active_at",
    "updated_at",
    "role",
];

/// One page of accounts and the number of all that match.
#[derive(Debug, Clone, PartialEq)]
pub struct UserPage {
    /// The rows of the page.
    pub users: Vec<UserRow>,
    /// How many match on all pages.
    pub total: i64,
}

/// Lists accounts.
#[boxed]
pub async fn list(db: &Db, listing: &Listing<'_>) -> DbResult<UserPage> {
    let (condition, mut args) = condition(listing.query);
    let total = UserRow::count(db, &condition, args.clone()).await?;
    let (order, order_args) = order(listing);
    args.extend(order_args);
    let mut text = format!("{}{condition} ORDER BY {order}", UserRow::SELECT);
    if let Some((skip, limit)) = listing.page {
        text.push_str(" LIMIT ? OFFSET ?");
        args.extend(args![limit, skip]);
    }
    let rows = sql(text, args).all(db).await?;
    Ok(UserPage {
        users: rows.iter().map(UserRow::from_row).collect::<DbResult<_>>()?,
        total,
    })
}

fn condition(query: Option<&str>) -> (String, Vec<Arg>) {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return (String::new(), args![]);
    };
    let pattern = format!("%{query}%");
    (
        "WHERE (lower(name) LIKE lower(?) OR lower(email) LIKE lower(?))".to_owned(),
        args![&pattern, &pattern],
    )
}

/// The ORDER BY list. Ties are broken by age and address, so that pages do not overlap.
fn order(listing: &Listing<'_>) -> (String, Vec<Arg>) {
    let direction = if listing.ascending { "ASC" } else { "DESC" };
    match listing.order_by {
        Some(order) if ORDERS.contains(&order) => {
            (format!("\"{order}\" {direction}, created_at, email"), args![])
        }
        Some(order) if order.starts_with("group_id:") => {
            let group = order.trim_start_matches("group_id:");
            let member = "CASE WHEN EXISTS (SELECT 1 FROM group_member m \
                          WHERE m.user_id = \"user\".id AND m.group_id = ?) THEN 1 ELSE 0 END";
            (format!("{member} {direction}, name, email"), args![group])
        }
        _ => ("created_at DESC, email".to_owned(), args![]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{databases, user};

    #[tokio::test]
    async fn pages_filters_and_orders() {
        for db in databases().await {
            for name in ["Cleo", "Ada", "Bert"] {
                user(&db, name).await;
            }
            let names = |page: &UserPage| {
                page.users
                    .iter()
                    .map(|user| user.name.clone())
                    .collect::<Vec<_>>()
            };
            let by_name = Listing {
                order_by: Some("name"),
                ascending: true,
                ..Listing::default()
            };
            let all = list(&db, &by_name).await.unwrap();
            assert_eq!(
                (names(&all), all.total),
                (vec!["Ada".into(), "Bert".into(), "Cleo".into()], 3)
            );
            let second = list(
                &db,
                &Listing {
                    page: Some((2, 2)),
                    ..by_name.clone()
                },
            )
            .await
            .unwrap();
            assert_eq!((names(&second), second.total), (vec!["Cleo".to_owned()], 3));
            let found = list(
                &db,
                &Listing {
                    query: Some("BER"),
                    ..Listing::default()
                },
            )
            .await
            .unwrap();
            assert_eq!((names(&found), found.total), (vec!["Bert".to_owned()], 1));
            // Unknown columns never reach the statement.
            let odd = Listing {
                order_by: Some("password; DROP"),
                ..Listing::default()
            };
            assert_eq!(list(&db, &odd).await.unwrap().total, 3);
            let bert = found.users[0].id.clone();
            let group = crate::testing::group(&db, "Writers").await;
            crate::groups::add_members(&db, &group, &[bert])
                .await
                .unwrap()
                .unwrap();
            let order = format!("group_id:{group}");
            let members = Listing {
                order_by: Some(&order),
                ascending: false,
                ..Listing::default()
            };
            assert_eq!(
                names(&list(&db, &members).await.unwrap()),
                ["Bert", "Ada", "Cleo"]
            );
        }
    }
}
