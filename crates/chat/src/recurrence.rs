//! Recurrence rules of calendar events and automations. A rule is laid over time on the clock of its reader's wall,
//! so that nine o'clock stays nine o'clock when the clocks change; only then it becomes an instant. Rules may carry
//! their own DTSTART line. Texts of refusals are those that clients know.

use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike, Utc};
use rrule::{RRuleSet, Tz};

/// Occurrences of one event at most.
const MOST: u16 = 5_000;
/// Steps between DTSTART and now up to which a rule that recurs within the day keeps its own start.
const FAR: i64 = 100_000;

/// A span of time in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Begin.
    pub start: i64,
    /// End.
    pub end: i64,
}

/// A rule, read.
struct Rule {
    /// Lines for the library, without DTSTART; times in them are local.
    lines: Vec<String>,
    /// DTSTART.
    start: Option<NaiveDateTime>,
    /// Seconds of one step, for rules that recur within the day.
    step: Option<i64>,
    /// Occurrences within one step.
    per_step: i64,
}

const NAMES: &[&str] = &[
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "WKST",
    "BYSETPOS",
    "BYMONTH",
    "BYMONTHDAY",
    "BYYEARDAY",
    "BYEASTER",
    "BYWEEKNO",
    "BYDAY",
    "BYHOUR",
    "BYMINUTE",
    "BYSECOND",
];
const FREQUENCIES: &[&str] = &[
    "YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY",
];
const DAYS: &[&str] = &["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

fn is_number(text: &str) -> bool {
    text.parse::<i64>().is_ok()
}

/// A day with an optional number before it (`1MO`, `-2FR`).
fn is_day(text: &str) -> bool {
    text.len() >= 2
        && text.is_char_boundary(text.len() - 2)
        && DAYS.contains(&&text[text.len() - 2..])
        && (text.len() == 2 || is_number(&text[..text.len() - 2]))
}

/// A local time in one of the forms that rules carry; the zone is not looked at.
fn time(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim_end_matches('Z');
    let forms = [
        "%Y%m%dT%H%M%S",
        "%Y%m%dT%H%M",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H:%M",
    ];
    let whole = forms
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    whole.or_else(|| {
        let day = NaiveDate::parse_from_str(text, "%Y%m%d")
            .or_else(|_| NaiveDate::parse_from_str(text, "%Y-%m-%d"));
        Some(day.ok()?.and_time(NaiveTime::MIN))
    })
}

fn stamp(time: NaiveDateTime) -> String {
    time.format("%Y%m%dT%H%M%SZ").to_string()
}

/// The parts of a rule as `(name, value)`; of repeated ones the last.
fn parts(rule: &str) -> Result<Vec<(String, String)>, String> {
    let mut parts: Vec<(String, String)> = Vec::new();
    for part in rule.split(';') {
        let mut pieces = part.split('=');
        let (Some(name), Some(value), None) = (pieces.next(), pieces.next(), pieces.next()) else {
            let found = part.split('=').count();
            return Err(if found > 2 {
                "too many values to unpack (expected 2)".into()
            } else {
                format!("not enough values to unpack (expected 2, got {found})")
            });
        };
        let known = if name == "BYWEEKDAY" { "BYDAY" } else { name };
        if !NAMES.contains(&known) {
            return Err(format!("unknown parameter '{name}'"));
        }
        let good = match known {
            "FREQ" => FREQUENCIES.contains(&value),
            "WKST" => DAYS.contains(&value),
            "UNTIL" => time(value).is_some(),
            "BYDAY" => value.split(',').all(is_day),
            _ => value.split(',').all(is_number),
        };
        if !good {
            return Err(format!("invalid '{name}': {value}"));
        }
        let value = match time(value).filter(|_| known == "UNTIL") {
            Some(until) => stamp(until),
            None => value.to_owned(),
        };
        parts.retain(|(name, _)| name != known);
        parts.push((known.to_owned(), value));
    }
    if !parts.iter().any(|(name, _)| name == "FREQ") {
        return Err("rrule.__init__() missing 1 required positional argument: 'freq'".into());
    }
    Ok(parts)
}

impl Rule {
    fn read(text: &str) -> Result<Self, String> {
        let text = text.to_uppercase();
        if text.contains("EXRULE") {
            return Err("EXRULE is not supported in recurrence rules".into());
        }
        if text.trim().is_empty() {
            return Err("empty string".into());
        }
        let mut rule = Self {
            lines: Vec::new(),
            start: None,
            step: None,
            per_step: 1,
        };
        let mut rules = 0;
        for line in text.split_whitespace() {
            let (property, value) = line.split_once(':').unwrap_or(("RRULE", line));
            let (name, parameters) = property.split_once(';').unwrap_or((property, ""));
            match name {
                "RRULE" if !parameters.is_empty() => {
                    return Err(format!("unsupported RRULE parm: {parameters}"));
                }
                "RRULE" => {
                    rules += 1;
                    rule.take_parts(parts(value)?)?;
                }
                "DTSTART" => {
                    let start = time(value).ok_or_else(|| format!("Unknown string format: {value}"))?;
                    rule.start = Some(start);
                }
                "RDATE" | "EXDATE" => {
                    let times: Option<Vec<String>> =
                        value.split(',').map(|value| Some(stamp(time(value)?))).collect();
                    let times = times.ok_or_else(|| format!("Unknown string format: {value}"))?;
                    rule.lines.push(format!("{name}:{}", times.join(",")));
                }
                other => return Err(format!("unsupported property: {other}")),
            }
        }
        match rules {
            0 => Err("a recurrence rule is missing".into()),
            1 => Ok(rule),
            _ => Err("only one RRULE is supported per recurrence rule".into()),
        }
    }

    fn take_parts(&mut self, parts: Vec<(String, String)>) -> Result<(), String> {
        let value = |wanted: &str| {
            parts
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_str())
        };
        let number = |name: &str| value(name).and_then(|value| value.parse::<i64>().ok());
        let interval = number("INTERVAL").unwrap_or(1);
        if interval < 1 {
            return Err("RRULE INTERVAL must be a positive integer".into());
        }
        self.step = match value("FREQ") {
            Some("SECONDLY") => Some(interval),
            Some("MINUTELY") => interval.checked_mul(60),
            Some("HOURLY") => interval.checked_mul(3_600),
            _ => None,
        };
        let choices = |name: &str| value(name).map_or(1, |value| value.split(',').count() as i64);
        self.per_step = choices("BYMINUTE") * choices("BYSECOND");
        let text: Vec<String> = parts
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        self.lines.push(format!("RRULE:{}", text.join(";")));
        Ok(())
    }

    /// Where the schedule begins, seen from `now`: rules without a start of their own begin now, and those that
    /// recur within the day are aligned with the clock.
    fn anchor(&self, now: NaiveDateTime) -> NaiveDateTime {
        let Some(step) = self.step else {
            let minute = || {
                now.with_second(0)
                    .and_then(|now| now.with_nanosecond(0))
                    .unwrap_or(now)
            };
            return self.start.unwrap_or_else(minute);
        };
        if let Some(start) = self.start
            && (now - start).num_seconds().max(0) / step <= FAR / self.per_step
        {
            return start;
        }
        let epoch = NaiveDate::from_ymd_opt(2000, 1, 1)
            .unwrap_or_default()
            .and_time(NaiveTime::MIN);
        let steps = (now - epoch).num_seconds().div_euclid(step);
        epoch + Duration::seconds(steps * step)
    }

    fn set(&self, start: NaiveDateTime) -> Result<RRuleSet, String> {
        let text = format!("DTSTART:{}\n{}", stamp(start), self.lines.join("\n"));
        text.parse::<RRuleSet>().map_err(|error| error.to_string())
    }

    /// The next `count` occurrences after `now`.
    fn after(&self, now: NaiveDateTime, count: u16) -> Result<Vec<NaiveDateTime>, String> {
        let set = self.set(self.anchor(now))?;
        let set = set.after(as_universal(now + Duration::seconds(1)));
        Ok(set
            .all(count)
            .dates
            .into_iter()
            .map(|date| date.naive_utc())
            .collect())
    }
}

/// Local time in the library's only zone here.
fn as_universal(time: NaiveDateTime) -> DateTime<Tz> {
    Tz::UTC.from_utc_datetime(&time)
}

/// The zone of that name; universal time when there is none.
fn zone(name: Option<&str>) -> chrono_tz::Tz {
    name.and_then(|name| name.parse().ok()).unwrap_or(chrono_tz::UTC)
}

fn local(nanos: i64, zone: chrono_tz::Tz) -> NaiveDateTime {
    zone.from_utc_datetime(&DateTime::<Utc>::from_timestamp_nanos(nanos).naive_utc())
        .naive_local()
}

/// The instant of a local time. A time that the clocks skip is taken by the offset before the change.
fn instant(time: NaiveDateTime, zone: chrono_tz::Tz) -> Option<i64> {
    let universal = match zone.from_local_datetime(&time).earliest() {
        Some(time) => time.naive_utc(),
        None => {
            let before = zone.offset_from_utc_datetime(&(time - Duration::days(1))).fix();
            time - Duration::seconds(i64::from(before.local_minus_utc()))
        }
    };
    universal.and_utc().timestamp_nanos_opt()
}

/// The next `count` instants at which a schedule comes due after `now`.
///
/// # Errors
/// The rule can not be read; the text says why.
pub fn next_runs(rule: &str, timezone: Option<&str>, now: i64, count: u16) -> Result<Vec<i64>, String> {
    let zone = zone(timezone);
    let times = Rule::read(rule)?.after(local(now, zone), count)?;
    Ok(times.into_iter().filter_map(|time| instant(time, zone)).collect())
}

/// The instant at which a schedule begins.
///
/// # Errors
/// The rule can not be read; the text says why.
pub fn begin(rule: &str, timezone: Option<&str>, now: i64) -> Result<i64, String> {
    let zone = zone(timezone);
    let start = Rule::read(rule)?.anchor(local(now, zone));
    instant(start, zone).ok_or_else(|| "the schedule begins beyond the calendar".into())
}

/// Refuses schedules that can not be read or never come due again.
///
/// # Errors
/// The text that clients see.
pub fn check_schedule(rule: &str, timezone: Option<&str>, now: i64) -> Result<(), String> {
    let upper = rule.to_uppercase();
    if upper.contains("COUNT=") && !upper.contains("DTSTART") {
        return Err(
            "RRULE with COUNT requires an explicit DTSTART line to anchor the occurrence window".into(),
        );
    }
    match next_runs(rule, timezone, now, 1) {
        Err(error) => Err(format!("Invalid RRULE: {error}")),
        Ok(runs) if runs.is_empty() => Err("RRULE has no future occurrences".into()),
        Ok(_) => Ok(()),
    }
}

/// Seconds between the next two occurrences; nothing when there are fewer. The rule's own start does not matter.
///
/// # Errors
/// The rule can not be read; the text says why.
pub fn interval_seconds(rule: &str, now: i64) -> Result<Option<i64>, String> {
    let mut rule = Rule::read(rule)?;
    rule.start = None;
    let times = rule.after(local(now, chrono_tz::UTC), 2)?;
    Ok(match times[..] {
        [first, second] => Some((second - first).num_seconds()),
        _ => None,
    })
}

/// Begins of the occurrences of an event that touch the span, in nanoseconds. `length` is how long each one lasts.
/// Nothing for rules that can not be read: such an event is shown once, as it is stored.
pub fn occurrences(
    rule: &str,
    first: i64,
    length: Option<i64>,
    span: Span,
    timezone: Option<&str>,
) -> Option<Vec<i64>> {
    let zone = zone(timezone);
    let set = Rule::read(rule).ok()?.set(local(first, zone)).ok()?;
    let reach = Duration::nanoseconds(length.unwrap_or(0).max(0)) + Duration::days(1);
    let set = set
        .after(as_universal(local(span.start, zone) - reach))
        .before(as_universal(local(span.end, zone)));
    let begins = set
        .all(MOST)
        .dates
        .into_iter()
        .filter_map(|date| instant(date.naive_utc(), zone));
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
        let berlin = Some("Europe/Berlin");
        let found = occurrences("FREQ=DAILY", at("2026-03-01 08:00"), None, span, berlin).unwrap();
        assert_eq!(
            found,
            [
                at("2026-03-27 08:00"),
                at("2026-03-28 08:00"),
                at("2026-03-29 07:00"),
                at("2026-03-30 07:00")
            ]
        );
        // Half past two does not exist on the day of the change.
        let found = occurrences("FREQ=DAILY", at("2026-03-28 01:30"), None, span, berlin).unwrap();
        assert_eq!(
            found,
            [
                at("2026-03-28 01:30"),
                at("2026-03-29 01:30"),
                at("2026-03-30 00:30")
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
        let refusal = |rule: &str| check_schedule(rule, None, at("2026-01-01 10:30")).unwrap_err();
        for (rule, text) in [
            ("", "Invalid RRULE: empty string"),
            (
                "nonsense",
                "Invalid RRULE: not enough values to unpack (expected 2, got 1)",
            ),
            ("FREQ=SOMETIMES", "Invalid RRULE: invalid 'FREQ': SOMETIMES"),
            ("freq=daily;interval=x", "Invalid RRULE: invalid 'INTERVAL': X"),
            ("FREQ=DAILY;X=1", "Invalid RRULE: unknown parameter 'X'"),
            (
                "RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY",
                "Invalid RRULE: only one RRULE is supported per recurrence rule",
            ),
            (
                "DTSTART:20200101T090000\nRRULE:FREQ=DAILY;COUNT=1",
                "RRULE has no future occurrences",
            ),
            (
                "FREQ=DAILY;COUNT=1",
                "RRULE with COUNT requires an explicit DTSTART line to anchor the occurrence window",
            ),
        ] {
            assert_eq!(refusal(rule), text, "{rule}");
        }
    }

    #[test]
    fn schedules_come_due_on_the_readers_clock() {
        let now = at("2026-01-01 10:30") + 42 * SECOND;
        let next = |rule: &str, zone: Option<&str>| next_runs(rule, zone, now, 2).unwrap();
        assert_eq!(
            next("FREQ=DAILY;BYHOUR=9;BYMINUTE=0", None),
            [at("2026-01-02 09:00"), at("2026-01-03 09:00")]
        );
        assert_eq!(
            next("RRULE:FREQ=DAILY;BYHOUR=9;BYMINUTE=0", Some("America/New_York")),
            [at("2026-01-01 14:00"), at("2026-01-02 14:00")]
        );
        assert_eq!(
            next("FREQ=HOURLY;INTERVAL=1", None),
            [at("2026-01-01 11:00"), at("2026-01-01 12:00")]
        );
        assert_eq!(
            next("FREQ=MINUTELY;INTERVAL=5", None),
            [at("2026-01-01 10:35"), at("2026-01-01 10:40")]
        );
        let once = "DTSTART:20260201T080000\nRRULE:FREQ=DAILY;COUNT=1";
        assert_eq!(next(once, Some("Europe/Berlin")), [at("2026-02-01 07:00")]);
        assert_eq!(
            begin(once, Some("Europe/Berlin"), now),
            Ok(at("2026-02-01 07:00"))
        );
        assert_eq!(interval_seconds("FREQ=MINUTELY;INTERVAL=5", now), Ok(Some(300)));
        assert_eq!(interval_seconds(once, now), Ok(None));
    }
}
