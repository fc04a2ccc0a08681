//! Reading the `Range` header the way the original server reads it, its three complaints included.
//! Does not know files or bodies.

/// More ranges than this are ignored: the whole file is sent.
const MAX_RANGES: usize = 100;

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The whole file.
    All,
    /// Parts, as half-open byte ranges, in order and without overlaps when there are several.
    Parts(Vec<(u64, u64)>),
    /// 400 with this text.
    Malformed(&'static str),
    /// 416.
    Unsatisfiable,
}

/// Reads the header's value for a file of `size` bytes.
pub(super) fn parse(header: &str, size: u64) -> Wanted {
    let Some((unit, list)) = header.split_once('=') else {
        return Wanted::Malformed("Malformed range header.");
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Malformed("Only support bytes range");
    }
    if list.split(',').count() > MAX_RANGES {
        return Wanted::All;
    }
    // What is not a range of numbers is skipped, not refused.
    let mut parts: Vec<_> = list.split(',').filter_map(|part| parse_one(part, size)).collect();
    if parts.is_empty() {
        return Wanted::Malformed("Range header: range must be requested");
    }
    if parts.iter().any(|(start, _)| *start >= size) {
        return Wanted::Unsatisfiable;
    }
    if parts.iter().any(|(start, end)| start >= end) {
        return Wanted::Malformed("Range header: start must be less than end");
    }
    if parts.len() > 1 {
        parts = merge(parts);
    }
    Wanted::Parts(parts)
}

/// `5-9`, `5-` or `-5`, as a half-open range.
fn parse_one(part: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = part.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        return Some((size.saturating_sub(last.parse().ok()?), size));
    }
    let start = first.parse().ok()?;
    let end = match last {
        "" => size,
        last => last.parse::<u64>().ok()?.saturating_add(1).min(size),
    };
    Some((start, end))
}

/// Sorts and joins parts that touch or overlap.
fn merge(mut parts: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    parts.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(parts.len());
    for (start, end) in parts {
        match merged.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => merged.push((start, end)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(list: &[(u64, u64)]) -> Wanted {
        Wanted::Parts(list.to_vec())
    }

    #[test]
    fn ranges_are_read() {
        for (header, wanted) in [
            ("bytes=0-9", parts(&[(0, 10)])),
            ("BYTES = 5-", parts(&[(5, 100)])),
            ("bytes=-5", parts(&[(95, 100)])),
            ("bytes=-500", parts(&[(0, 100)])),
            ("bytes=90-4000", parts(&[(90, 100)])),
            ("bytes=50-59, 0-4,2-10", parts(&[(0, 11), (50, 60)])),
            ("bytes=x,1-1", parts(&[(1, 2)])),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            (
                "bytes=5-4",
                Wanted::Malformed("Range header: start must be less than end"),
            ),
            (
                "bytes=",
                Wanted::Malformed("Range header: range must be requested"),
            ),
            ("lines=1-2", Wanted::Malformed("Only support bytes range")),
            ("bytes", Wanted::Malformed("Malformed range header.")),
        ] {
            assert_eq!(parse(header, 100), wanted, "{header}");
        }
    }

    #[test]
    fn too_many_ranges_are_ignored() {
        let many = format!("bytes={}", vec!["0-1"; MAX_RANGES + 1].join(","));
        assert_eq!(parse(&many, 100), Wanted::All);
    }

    #[test]
    fn an_empty_file_has_no_ranges() {
        assert_eq!(parse("bytes=0-", 0), Wanted::Unsatisfiable);
    }
}
