//! One line of the access log: the fields of DESIGN 7, in its order.
//!
//! Every line has every field, so that a reader need not ask which are there. What there is none of
//! is null (addresses and times) or empty (names and flags). Only those of TLS are left out where
//! the connection is in clear; they stand at the end.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::observe::Flag;
use crate::observe::access::{Record, json};

/// Appends the line with its line feed.
pub fn write(out: &mut Vec<u8>, record: &Record<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    rfc3339(out, record.time);
    out.push(b'"');
    key(out, "listener", |out| json::text(out, record.listener.as_bytes()));
    key(out, "client", |out| json::ip(out, record.client));
    key(out, "method", |out| json::text(out, record.method.as_bytes()));
    key(out, "host", |out| json::text(out, record.host));
    key(out, "path", |out| json::text(out, record.path));
    key(out, "protocol", |out| json::text(out, record.protocol.as_bytes()));
    key(out, "status", |out| json::number(out, record.status.into()));
    key(out, "flags", |out| json::text(out, record.flag.map_or("", Flag::as_str).as_bytes()));
    key(out, "route", |out| json::text(out, record.route.as_bytes()));
    key(out, "cluster", |out| json::text(out, record.cluster.as_bytes()));
    key(out, "variant", |out| json::text(out, record.variant.as_bytes()));
    key(out, "endpoint", |out| json::socket(out, record.endpoint));
    key(out, "attempts", |out| json::number(out, record.attempts.into()));
    key(out, "bytes_in", |out| json::number(out, record.bytes_in));
    key(out, "bytes_out", |out| json::number(out, record.bytes_out));
    key(out, "duration_ms", |out| json::thousandths(out, record.duration_ms));
    key(out, "ttfb_ms", |out| match record.ttfb_ms {
        Some(ms) => json::thousandths(out, ms),
        None => out.extend_from_slice(b"null"),
    });
    key(out, "request_id", |out| json::text(out, record.request_id));
    key(out, "user_agent", |out| json::text(out, record.user_agent));
    key(out, "generation", |out| json::number(out, record.generation));
    if let Some(tls) = record.tls {
        key(out, "tls_version", |out| json::text(out, tls.version.as_bytes()));
        key(out, "sni", |out| json::text(out, tls.sni.as_bytes()));
    }
    if let Some(status) = record.grpc_status {
        key(out, "grpc_status", |out| out.extend_from_slice(status.as_bytes()));
    }
    out.extend_from_slice(b"}\n");
}

#[inline]
fn key(out: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    value(out);
}

/// The time in UTC with microseconds, as `2026-11-24T17:05:09.000123Z`. Before 1970 counts as 1970.
pub fn rfc3339(out: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    for (value, width, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (second / 3600, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, b'.'),
        (since.subsec_micros().into(), 6, b'Z'),
    ] {
        json::padded(out, value, width);
        out.push(after);
    }
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
///
/// Counts from 0000-03-01, so that the leap day ends a year; an era is the 400 years after which
/// the calendar repeats.
fn civil(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let days = days + 719_468;
    let (era, of_era) = (days / ERA, days % ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}
