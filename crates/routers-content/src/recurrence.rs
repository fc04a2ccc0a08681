//! Occurrences of events that recur: the rule of an event is laid over a span of time, in the local time of its
//! reader, so that nine o'clock stays nine o'clock when the clocks change.

use chrono::{DateTime, Duration, NaiveDateTime, TimeZone, Utc};
use rrule::{RRuleSet, Tz};

/// Occurrences of one event at most.
const MOST: u16 = 5_000;

/// A span of time in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Begin.
    pub start: i64,
    /// End.
    pub end: i64,
}

fn zone(name: Option<&str>) -> Tz {
    let named = name
        .filter(|name| !name.is_empty())
        .and_then(|name| name.parse::<chrono_tz::Tz>().ok());
    named.map_or(Tz::UTC, Tz::Tz)
}

fn local(nanos: i64, zone: Tz) -> Option<DateTime<Tz>> {
    Some(zone.from_utc_datetime(&DateTime::<Utc>::from_timestamp_nanos(nanos).naive_utc()))
}

/// The rule with an UNTIL in universal time, which the parser demands. The end is meant in local time, whatever
/// zone the rule names.
fn with_until(rule: &str, zone: Tz) -> String {
    let parts: Vec<String> = rule
        .split(';')
        .map(|part| {
            let Some((name, value)) = part.split_once('=') else {
                return part.to_owned();
            };
            if !name.eq_ignore_ascii_case("UNTIL") && !name.to_ascii_uppercase().ends_with(":UNTIL") {
                return part.to_owned();
            }
            let digits = value.trim_end_matches(['Z', 'z']);
            let whole = if digits.contains('T') {
                digits.to_owned()
            } else {
                format!("{digits}T000000")
            };
            let until = NaiveDateTime::parse_from_str(&whole, "%Y%m%dT%H%M%S").ok();
            let until = until.and_then(|until| zone.from_local_datetime(&until).earliest());
            until.map_or_else(
                || part.to_owned(),
                |until| format!("{name}={}", until.with_timezone(&Utc).format("%Y%m%dT%H%M%SZ")),
            )
        })
        .collect();
    parts.join(";")
}

fn set(rule: &str, start: DateTime<Tz>, zone: Tz) -> Option<RRuleSet> {
    let lines: Vec<String> = rule
        .split_whitespace()
        .filter(|line| !line.to_ascii_uppercase().starts_with("DTSTART"))
        .map(|line| {
            let line = with_until(line, zone);
            if line.contains(':') {
                line
            } else {
                format!("RRULE:{line}")
            }
        })
        .collect();
    let begin = match zone {
        Tz::Tz(zone) if zone != chrono_tz::UTC => {
            format!("DTSTART;TZID={}:{}", zone.name(), start.format("%Y%m%dT%H%M%S"))
        }
        _ => format!("DTSTART:{}", start.format("%Y%m%dT%H%M%SZ")),
    };
    format!("{begin}\n{}", lines.join("\n")).parse().ok()
}

/// Begins of the occurrences that touch the span, in nanoseconds. `length` is how long each one lasts. Nothing
/// for rules that can not be read: such an event is shown once, as it is stored.
pub(crate) fn occurrences(
    rule: &str,
    first: i64,
    length: Option<i64>,
    span: Span,
    timezone: Option<&str>,
) -> Option<Vec<i64>> {
    if rule.to_ascii_uppercase().contains("EXRULE") {
        return None;
    }
    let zone = zone(timezone);
    let set = set(rule, local(first, zone)?, zone)?;
    let reach = Duration::nanoseconds(length.unwrap_or(0).max(0)) + Duration::days(1);
    let set = set
        .after(local(span.start, zone)? - reach)
        .before(local(span.end, zone)?);
    let begins = set
        .all(MOST)
        .dates
        .into_iter()
        .filter_map(|date| date.timestamp_nanos_opt());
    let touches = |begin: &i64| {
        *begin < span.end
            && (*begin >= span.start || length.is_some_and(|length| begin + length > span.start))
    };
    Some(begins.filter(touches).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn at(text: &str) -> i64 {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M")
            .unwrap()
            .and_utc()
            .timestamp()
            * SECOND
    }

    #[test]
    fn local_time_stays_when_the_clocks_change() {
        let span = Span {
            start: at("2026-03-27 00:00"),
            end: at("2026-03-31 00:00"),
        };
        let found = occurrences(
            "FREQ=DAILY",
            at("2026-03-01 08:00"),
            None,
            span,
            Some("Europe/Berlin"),
        )
        .unwrap();
        assert_eq!(
            found,
            [
                at("2026-03-27 08:00"),
                at("2026-03-28 08:00"),
                at("2026-03-29 07:00"),
                at("2026-03-30 07:00")
            ]
        );
    }

    #[test]
    fn ends_and_long_events() {
        let span = Span {
            start: at("2026-01-05 12:00"),
            end: at("2026-02-01 00:00"),
        };
        let hours = |hours: i64| Some(hours * 3600 * SECOND);
        let rule = "RRULE:FREQ=WEEKLY;UNTIL=20260112T080000";
        let found = occurrences(rule, at("2026-01-05 08:00"), hours(6), span, None).unwrap();
        assert_eq!(found, [at("2026-01-05 08:00"), at("2026-01-12 08:00")]);
        let short = occurrences(rule, at("2026-01-05 08:00"), hours(1), span, None).unwrap();
        assert_eq!(short, [at("2026-01-12 08:00")]);
    }

    #[test]
    fn rules_that_can_not_be_read() {
        let span = Span {
            start: 0,
            end: SECOND,
        };
        assert_eq!(occurrences("FREQ=SOMETIMES", 0, None, span, None), None);
        assert_eq!(
            occurrences("FREQ=DAILY\nEXRULE:FREQ=WEEKLY", 0, None, span, None),
            None
        );
    }
}
