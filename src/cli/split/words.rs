//! How numbers and times read, and lines that stand under each other.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::split::wire::Split;
use crate::config::value::Name;

/// `12.5 %`. A share that is not 0 never reads as 0.
pub(super) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0005 { "<0.1 %".to_owned() } else { format!("{:.1} %", share * 100.0) }
}

/// The share of each weight. All 0 where their sum is.
#[expect(clippy::cast_precision_loss, reason = "weights are at most 10^9")]
pub(super) fn shares(weights: &[u64]) -> Vec<f64> {
    let total: f64 = weights.iter().map(|weight| *weight as f64).sum();
    weights.iter().map(|weight| if total > 0.0 { *weight as f64 / total } else { 0.0 }).collect()
}

/// `3 min ago`, of an RFC 3339 time. What cannot be read is shown as it is.
pub(super) fn ago(at: &str, now: SystemTime) -> String {
    let Ok(then) = OffsetDateTime::parse(at, &Rfc3339) else { return at.to_owned() };
    match now.duration_since(SystemTime::from(then)) {
        Ok(age) => format!("{} ago", rough(age)),
        // Another machine's clock.
        Err(_) => "just now".to_owned(),
    }
}

/// A time to the nearest unit that matters.
pub(super) fn rough(span: Duration) -> String {
    match span.as_secs() {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min", s / 60),
        s if s < 86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        s => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `control 80 (80.0 %), candidate 20 (20.0 %)`.
pub(super) fn weights(split: &Split, weights: &[u64]) -> String {
    let parts = split.variants.iter().zip(weights).zip(shares(weights));
    let parts: Vec<_> =
        parts.map(|((v, weight), share)| format!("{} {weight} ({})", v.name, percent(share))).collect();
    parts.join(", ")
}

/// `control=80 candidate=20`, as it is typed, in the order of the variants.
pub(super) fn typed(split: &Split, weights: &[u64]) -> String {
    let parts = split.variants.iter().zip(weights).map(|(v, weight)| format!("{}={weight}", v.name));
    parts.collect::<Vec<_>>().join(" ")
}

/// Which variants were not named.
pub(super) fn kept(names: &[Name]) -> String {
    let names = names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    format!("not named, so the weight that serves is kept: {names}")
}

/// Rows as columns that line up, two spaces apart, each line behind `indent`. `right`: which columns
/// are numbers.
pub(super) fn columns(rows: &[Vec<String>], right: &[bool], indent: &str) -> String {
    let width = |text: &String| text.chars().count();
    let widths: Vec<usize> = (0..right.len())
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(width).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(right).zip(&widths).map(|((text, right), width)| {
            if *right { format!("{text:>width$}") } else { format!("{text:<width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        out += &format!("{indent}{}\n", line.trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_people_say_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (at, expected) in [
            ("1970-01-12T13:46:40Z", "0 s ago"),
            ("1970-01-12T13:43:40Z", "3 min ago"),
            ("1970-01-12T11:44:40Z", "2 h 2 min ago"),
            ("1970-01-02T13:46:40Z", "10 d 0 h ago"),
            ("1970-01-12T14:00:00Z", "just now"),
            ("yesterday", "yesterday"),
        ] {
            assert_eq!(ago(at, now), expected);
        }
    }

    #[test]
    fn numbers_are_as_people_read_them() {
        let of = [0, 7, 999, 1000, 1_234_567].map(thousands);
        assert_eq!(of, ["0", "7", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.0001, 0.125, 1.0].map(percent), ["0.0 %", "<0.1 %", "12.5 %", "100.0 %"]);
        assert_eq!(shares(&[1, 3]), [0.25, 0.75]);
        assert_eq!(shares(&[0, 0]), [0.0, 0.0]);
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "10".into()], vec!["long".into(), "5".into()]];
        assert_eq!(columns(&rows, &[false, true], "  "), "  a     10\n  long   5\n");
    }
}
