//! What time it is, and what time it was.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use serde_json::{Map, Value, json};

use super::builtins;
use super::spec::{Shape, default};
use crate::args::Args;
use crate::tool::{Answer, ToolContext, ToolError};

builtins! {
    TOOLS {
        "get_current_timestamp"
        "Tells the present time: as a Unix timestamp in seconds, in UTC and, where it is known, in the user's time zone."
        [] => now;

        "calculate_timestamp"
        "Tells the present time and the time some days, weeks, months or years before it, as Unix timestamps in seconds. Other tools take such timestamps to look only at a period: \"last week\" is weeks_ago=1."
        [
            default("days_ago", Shape::Int, "0", "Days to go back."),
            default("weeks_ago", Shape::Int, "0", "Weeks to go back."),
            default("months_ago", Shape::Int, "0", "Months to go back."),
            default("years_ago", Shape::Int, "0", "Years to go back."),
        ] => back;
    }
}

/// Date and time as Python writes them.
fn iso(time: &Zoned) -> String {
    let pattern = if time.microsecond() == 0 && time.millisecond() == 0 {
        "%Y-%m-%dT%H:%M:%S%:z"
    } else {
        "%Y-%m-%dT%H:%M:%S.%6f%:z"
    };
    time.strftime(pattern).to_string()
}

fn present(context: &ToolContext) -> Result<Zoned, ToolError> {
    let nanos = i128::from(context.db.clock().nanos());
    let now = Timestamp::from_nanosecond(nanos).map_err(|error| ToolError::new(error.to_string()))?;
    Ok(now.to_zoned(TimeZone::UTC))
}

/// The user's time zone by its name.
fn zone(context: &ToolContext) -> Option<(&str, TimeZone)> {
    let name = context.user.timezone.as_deref().filter(|name| !name.is_empty())?;
    Some((name, TimeZone::get(name).ok()?))
}

async fn now(context: &ToolContext, _: Args) -> Answer {
    let now = present(context)?;
    let mut told = Map::new();
    told.insert("current_timestamp".into(), json!(now.timestamp().as_second()));
    told.insert("current_iso".into(), json!(iso(&now)));
    if let Some((name, zone)) = zone(context) {
        told.insert("user_local_iso".into(), json!(iso(&now.with_time_zone(zone))));
        told.insert("user_timezone".into(), json!(name));
    }
    Ok(Value::Object(told))
}

async fn back(context: &ToolContext, args: Args) -> Answer {
    let now = present(context)?;
    let then = before(&now, &args).map_err(|error| ToolError::new(error.to_string()))?;
    let mut told = Map::new();
    told.insert("current_timestamp".into(), json!(now.timestamp().as_second()));
    told.insert("current_iso".into(), json!(iso(&now)));
    told.insert("calculated_timestamp".into(), json!(then.timestamp().as_second()));
    told.insert("calculated_iso".into(), json!(iso(&then)));
    if let Some((name, zone)) = zone(context) {
        told.insert(
            "user_local_iso".into(),
            json!(iso(&now.with_time_zone(zone.clone()))),
        );
        told.insert(
            "calculated_local_iso".into(),
            json!(iso(&then.with_time_zone(zone))),
        );
        told.insert("user_timezone".into(), json!(name));
    }
    Ok(Value::Object(told))
}

fn before(now: &Zoned, args: &Args) -> Result<Zoned, jiff::Error> {
    let weeks = args.int("weeks_ago", 0);
    let days = args.int("days_ago", 0).saturating_add(weeks.saturating_mul(7));
    let (months, years) = (args.int("months_ago", 0), args.int("years_ago", 0));
    let then = now.checked_sub(Span::new().try_days(days)?)?;
    if months <= 0 && years <= 0 {
        return Ok(then);
    }
    then.checked_sub(Span::new().try_months(months)?.try_years(years)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(values: Value) -> Args {
        Args::new("calculate_timestamp", values.as_object().cloned().unwrap())
    }

    #[test]
    fn months_end_where_the_month_ends() {
        let now: Zoned = "2024-03-31T12:00:00[UTC]".parse().unwrap();
        let then = before(&now, &args(json!({"months_ago": 1}))).unwrap();
        assert_eq!(iso(&then), "2024-02-29T12:00:00+00:00");
        let then = before(&now, &args(json!({"weeks_ago": 1, "days_ago": "1"}))).unwrap();
        assert_eq!(iso(&then), "2024-03-23T12:00:00+00:00");
        assert!(before(&now, &args(json!({"days_ago": i64::MAX}))).is_err());
    }

    #[test]
    fn fractions_have_six_digits() {
        let now: Zoned = "2024-03-31T12:00:00.0012[UTC]".parse().unwrap();
        assert_eq!(iso(&now), "2024-03-31T12:00:00.001200+00:00");
    }
}
