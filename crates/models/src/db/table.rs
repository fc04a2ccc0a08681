//! [`table!`](crate::table!): a table declared once as a struct, from which the column list, the
//! row decoder and the plain statements (find, list, insert, update, delete) are derived.

use super::{Arg, DbResult, Row};

/// A struct that a row can be read into.
pub trait FromRow: Sized {
    /// Reads the columns from `start` on; they stand in the order of the struct's fields.
    fn from_row_at(row: &Row, start: usize) -> DbResult<Self>;

    /// Reads the row from its first column on.
    fn from_row(row: &Row) -> DbResult<Self> {
        Self::from_row_at(row, 0)
    }
}

/// Columns to set in an UPDATE, in order.
#[derive(Debug, Default, Clone)]
pub struct Changes {
    columns: Vec<(&'static str, Arg)>,
}

impl Changes {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a column.
    #[must_use]
    pub fn set(mut self, column: &'static str, value: impl Into<Arg>) -> Self {
        self.columns.push((column, value.into()));
        self
    }

    /// Sets a column when there is a value.
    #[must_use]
    pub fn set_some(self, column: &'static str, value: Option<impl Into<Arg>>) -> Self {
        match value {
            Some(value) => self.set(column, value),
            None => self,
        }
    }

    /// Both sets of columns.
    #[must_use]
    pub fn extend(mut self, other: Self) -> Self {
        self.columns.extend(other.columns);
        self
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// `"a" = ?, "b" = ?` and the arguments.
    pub fn into_sql(self) -> (String, Vec<Arg>) {
        let list: Vec<String> = self
            .columns
            .iter()
            .map(|(name, _)| format!("\"{name}\" = ?"))
            .collect();
        (
            list.join(", "),
            self.columns.into_iter().map(|(_, arg)| arg).collect(),
        )
    }
}

/// Declares a table.
///
/// ```ignore
/// table! {
///     /// One row of `tag`.
///     pub struct TagRow in "tag" {
///         /// Slug.
///         pub id: String,
///         /// Text shown.
///         pub name: Option<String>,
///     }
/// }
/// let row = TagRow::find(&db, "WHERE id = ?", args!["a"]).await?;
/// ```
///
/// A column whose name is a word of Rust is declared as `pub kind as "type": String`.
#[macro_export]
macro_rules! table {
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $column:literal) => { $column };
    ($(#[$meta:meta])* $vis:vis struct $name:ident in $table:literal {
        $(#[$m0:meta])* $v0:vis $f0:ident $(as $c0:literal)? : $t0:ty
        $(, $(#[$m:meta])* $v:vis $f:ident $(as $c:literal)? : $t:ty)* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $(#[$m0])* $v0 $f0: $t0,
            $($(#[$m])* $v $f: $t,)*
        }

        impl $crate::db::FromRow for $name {
            fn from_row_at(row: &$crate::db::Row, start: usize) -> $crate::db::DbResult<Self> {
                let mut index = start;
                let $f0 = row.at(index)?;
                $(index += 1; let $f = row.at(index)?;)*
                let _ = index;
                Ok(Self { $f0, $($f),* })
            }
        }

        #[allow(dead_code, reason = "every table gets the whole set of plain statements")]
        impl $name {
            /// Name of the table, quoted.
            pub const TABLE: &'static str = concat!("\"", $table, "\"");
            /// Names of the columns.
            pub const NAMES: &'static [&'static str] = &[$crate::table!(@name $f0 $($c0)?) $(, $crate::table!(@name $f $($c)?))*];
            /// The SELECT list, quoted.
            pub const COLUMNS: &'static str =
                concat!(
                "\"", $crate::table!(@name $f0 $($c0)?), "\""
                $(, ", \"", $crate::table!(@name $f $($c)?), "\"")*
            );
            /// `SELECT ... FROM table`, to be followed by a WHERE clause.
            pub const SELECT: &'static str = concat!(
                "SELECT \"", $crate::table!(@name $f0 $($c0)?), "\""
                $(, ", \"", $crate::table!(@name $f $($c)?), "\"")*,
                " FROM \"", $table, "\" "
            );

            /// The first row that matches.
            #[oui_core::boxed]
            pub async fn find(
                conn: impl Into<$crate::db::Conn<'_>>,
                rest: &str,
                args: Vec<$crate::db::Arg>,
            ) -> $crate::db::DbResult<Option<Self>> {
                let row = $crate::db::sql(format!("{}{rest}", Self::SELECT), args).first(conn).await?;
                row.as_ref().map(<Self as $crate::db::FromRow>::from_row).transpose()
            }

            /// All rows that match.
            #[oui_core::boxed]
            pub async fn list(
                conn: impl Into<$crate::db::Conn<'_>>,
                rest: &str,
                args: Vec<$crate::db::Arg>,
            ) -> $crate::db::DbResult<Vec<Self>> {
                let rows = $crate::db::sql(format!("{}{rest}", Self::SELECT), args).all(conn).await?;
                rows.iter().map(<Self as $crate::db::FromRow>::from_row).collect()
            }

            /// Inserts the row.
            #[oui_core::boxed]
            pub async fn insert(&self, conn: impl Into<$crate::db::Conn<'_>>) -> $crate::db::DbResult<()> {
                self.insert_or(conn, "").await.map(|_| ())
            }

            /// Inserts the row with an `ON CONFLICT ...` clause; the answer is the number of rows written.
            #[oui_core::boxed]
            pub async fn insert_or(
                &self,
                conn: impl Into<$crate::db::Conn<'_>>,
                on_conflict: &str,
            ) -> $crate::db::DbResult<u64> {
                let text = format!(
                    "INSERT INTO {} ({}) VALUES ({}) {on_conflict}",
                    Self::TABLE, Self::COLUMNS, $crate::db::placeholders(Self::NAMES.len())
                );
                let args = vec![
                    $crate::db::Arg::from(self.$f0.clone()),
                    $($crate::db::Arg::from(self.$f.clone())),*
                ];
                $crate::db::sql(text, args).execute(conn).await
            }

            /// Sets columns of the rows that match; the answer is the number of rows touched.
            #[oui_core::boxed]
            pub async fn update(
                conn: impl Into<$crate::db::Conn<'_>>,
                changes: $crate::db::Changes,
                rest: &str,
                args: Vec<$crate::db::Arg>,
            ) -> $crate::db::DbResult<u64> {
                if changes.is_empty() {
                    return Ok(0);
                }
                let (set, mut all) = changes.into_sql();
                all.extend(args);
                $crate::db::sql(format!("UPDATE {} SET {set} {rest}", Self::TABLE), all).execute(conn).await
            }

            /// Deletes the rows that match; the answer is their number.
            #[oui_core::boxed]
            pub async fn delete(
                conn: impl Into<$crate::db::Conn<'_>>,
                rest: &str,
                args: Vec<$crate::db::Arg>,
            ) -> $crate::db::DbResult<u64> {
                $crate::db::sql(format!("DELETE FROM {} {rest}", Self::TABLE), args).execute(conn).await
            }

            /// How many rows match.
            #[oui_core::boxed]
            pub async fn count(
                conn: impl Into<$crate::db::Conn<'_>>,
                rest: &str,
                args: Vec<$crate::db::Arg>,
            ) -> $crate::db::DbResult<i64> {
                let count = $crate::db::sql(format!("SELECT COUNT(*) FROM {} {rest}", Self::TABLE), args)
                    .scalar(conn)
                    .await?;
                Ok(count.unwrap_or(0))
            }
        }
    };
}
