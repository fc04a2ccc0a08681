//! Arguments of statements and how each driver wants them bound.

use serde_json::Value;
use sqlx::Arguments;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo, Postgres};
use sqlx::sqlite::SqliteArguments;

use super::{DbError, DbResult};

/// One argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    /// SQL NULL of whatever type the column has.
    Null,
    /// Boolean.
    Bool(bool),
    /// 64-bit integer.
    Int(i64),
    /// Double.
    Real(f64),
    /// Text.
    Text(String),
    /// JSON text for a `json` column.
    Json(String),
    /// Calendar day for a `date` column.
    Date(Date),
}

/// A calendar day as days since 2000-01-01 (PostgreSQL's own count).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub i32);

impl Date {
    /// Reads `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-').map(str::parse::<i64>);
        let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        let date = Self(i32::try_from(days_from_civil(year, month, day)).ok()?);
        // Rejects the 31st of short months and the like: they do not come back the same.
        (date.to_string() == text).then_some(date)
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = civil_from_days(i64::from(self.0));
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Days between 0000-03-01 and 2000-01-01 in the proleptic Gregorian calendar.
const EPOCH_2000: i64 = 730_425;

/// Howard Hinnant's public-domain calendar arithmetic, counted from 2000-01-01.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_2000
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_2000;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Lets PostgreSQL infer the type of a NULL from the column it goes to.
struct Untyped;

/// Text bound as `json` (type 114). sqlx's own JSON support binds `jsonb`, which loses key order.
struct JsonText(String);

/// A day bound as `date` (type 1082).
struct PgDate(i32);

macro_rules! pg_type {
    ($name:ident, $oid:expr, |$value:ident, $buf:ident| $encode:expr) => {
        impl sqlx::Type<Postgres> for $name {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($oid))
            }
        }

        impl Encode<'_, Postgres> for $name {
            fn encode_by_ref(&self, $buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let $value = self;
                $encode
            }
        }
    };
}

pg_type!(Untyped, 0, |_value, _buf| Ok(IsNull::Yes));
pg_type!(JsonText, 114, |value, buf| {
    buf.extend_from_slice(value.0.as_bytes());
    Ok(IsNull::No)
});
pg_type!(PgDate, 1082, |value, buf| {
    buf.extend_from_slice(&value.0.to_be_bytes());
    Ok(IsNull::No)
});

impl Arg {
    /// JSON argument from a value.
    pub fn json(value: &Value) -> Self {
        Arg::Json(value.to_string())
    }

    pub(super) fn bind_sqlite(self, args: &mut SqliteArguments) -> DbResult<()> {
        match self {
            Arg::Null => args.add(None::<String>),
            Arg::Bool(value) => args.add(value),
            Arg::Int(value) => args.add(value),
            Arg::Real(value) => args.add(value),
            Arg::Text(value) | Arg::Json(value) => args.add(value),
            Arg::Date(value) => args.add(value.to_string()),
        }
        .map_err(|error| DbError::Sqlx(sqlx::Error::Encode(error)))
    }

    pub(super) fn bind_postgres(self, args: &mut PgArguments) -> DbResult<()> {
        match self {
            Arg::Null => args.add(Untyped),
            Arg::Bool(value) => args.add(value),
            Arg::Int(value) => args.add(value),
            Arg::Real(value) => args.add(value),
            // PostgreSQL's text can not hold NUL; dropping it beats losing the row.
            Arg::Text(value) if value.contains('\0') => args.add(value.replace('\0', "")),
            Arg::Text(value) => args.add(value),
            Arg::Json(value) => args.add(JsonText(value)),
            Arg::Date(value) => args.add(PgDate(value.0)),
        }
        .map_err(|error| DbError::Sqlx(sqlx::Error::Encode(error)))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Arg::Text(value.to_owned())
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Arg::Text(value)
    }
}

impl From<&String> for Arg {
    fn from(value: &String) -> Self {
        Arg::Text(value.clone())
    }
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Arg::Int(value)
    }
}

impl From<bool> for Arg {
    fn from(value: bool) -> Self {
        Arg::Bool(value)
    }
}

impl From<f64> for Arg {
    fn from(value: f64) -> Self {
        Arg::Real(value)
    }
}

impl From<Value> for Arg {
    fn from(value: Value) -> Self {
        Arg::json(&value)
    }
}

impl From<&Value> for Arg {
    fn from(value: &Value) -> Self {
        Arg::json(value)
    }
}

impl From<Date> for Arg {
    fn from(value: Date) -> Self {
        Arg::Date(value)
    }
}

impl<T: Into<Arg>> From<Option<T>> for Arg {
    fn from(value: Option<T>) -> Self {
        value.map_or(Arg::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_convert_both_ways() {
        assert_eq!(Date::parse("2000-01-01"), Some(Date(0)));
        assert_eq!(Date::parse("1999-12-31"), Some(Date(-1)));
        assert_eq!(
            Date::parse("2024-02-29").map(|d| d.to_string()).as_deref(),
            Some("2024-02-29")
        );
        assert_eq!(Date::parse("2023-02-29"), None);
        assert_eq!(Date::parse("yesterday"), None);
    }
}
