//! One line of the access log: the fields of DESIGN 7, in its order.
//!
//! Every line has every field, so that a reader need not ask which are there. What there is none of
//! is null (addresses and times) or empty (names and flags). Only those of TLS are left out where
//! the connection is in clear; they stand at the end.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::observe::Flag;
use crate::observe::access::{Record, json};

/// What a line takes at most, but for what clients send and operators name.
const ROOM: usize = 640;

thread_local! {
    /// The last second that a line was written in, and how its time begins.
    static SECOND: Cell<(u64, [u8; 20])> = const { Cell::new((u64::MAX, [0; 20])) };
}

/// A field's name with what stands around it, as one piece.
macro_rules! key {
    ($out:ident, $name:literal) => {
        $out.extend_from_slice(concat!(",\"", $name, "\":").as_bytes())
    };
}

/// Appends the line with its line feed.
pub fn write(out: &mut Vec<u8>, record: &Record<'_>) {
    out.reserve(ROOM);
    out.extend_from_slice(b"{\"time\":\"");
    rfc3339(out, record.time);
    out.push(b'"');
    asked(out, record);
    key!(out, "status");
    json::number(out, record.status.into());
    key!(out, "flags");
    json::text(out, record.flag.map_or("", Flag::as_str).as_bytes());
    key!(out, "route");
    json::text(out, record.route.as_bytes());
    key!(out, "cluster");
    json::text(out, record.cluster.as_bytes());
    key!(out, "variant");
    json::text(out, record.variant.as_bytes());
    key!(out, "endpoint");
    json::socket(out, record.endpoint);
    key!(out, "attempts");
    json::number(out, record.attempts.into());
    key!(out, "bytes_in");
    json::number(out, record.bytes_in);
    key!(out, "bytes_out");
    json::number(out, record.bytes_out);
    key!(out, "duration_ms");
    json::thousandths(out, record.duration_ms);
    key!(out, "ttfb_ms");
    match record.ttfb_ms {
        Some(ms) => json::thousandths(out, ms),
        None => out.extend_from_slice(b"null"),
    }
    key!(out, "request_id");
    json::text(out, record.request_id);
    key!(out, "user_agent");
    json::text(out, record.user_agent);
    key!(out, "generation");
    json::number(out, record.generation);
    seldom(out, record);
    out.extend_from_slice(b"}\n");
}

/// Who asked for what.
fn asked(out: &mut Vec<u8>, record: &Record<'_>) {
    key!(out, "listener");
    json::text(out, record.listener.as_bytes());
    key!(out, "client");
    json::ip(out, record.client);
    key!(out, "method");
    json::text(out, record.method.as_bytes());
    key!(out, "host");
    json::text(out, record.host);
    key!(out, "path");
    json::text(out, record.path);
    key!(out, "protocol");
    json::text(out, record.protocol.as_bytes());
}

/// What is left out where there is none.
fn seldom(out: &mut Vec<u8>, record: &Record<'_>) {
    if let Some(tls) = record.tls {
        key!(out, "tls_version");
        json::text(out, tls.version.as_bytes());
        key!(out, "sni");
        json::text(out, tls.sni.as_bytes());
    }
    if let Some(status) = record.grpc_status {
        key!(out, "grpc_status");
        out.extend_from_slice(status.as_bytes());
    }
}

/// The time in UTC with microseconds, as `2026-11-24T17:05:09.000123Z`. Before 1970 counts as 1970.
pub fn rfc3339(out: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = since.as_secs();
    let begin = SECOND.with(|last| match last.get() {
        (known, begin) if known == second => begin,
        _ => {
            let begin = to_the_second(second);
            last.set((second, begin));
            begin
        }
    });
    out.extend_from_slice(&begin);
    json::padded::<6>(out, since.subsec_micros().into());
    out.push(b'Z');
}

/// As `2026-11-24T17:05:09.`; a year after 9999 shows its last four digits.
fn to_the_second(second: u64) -> [u8; 20] {
    let (days, of_day) = (second / 86_400, second % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.";
    for (at, value, width) in [
        (0, year, 4),
        (5, month, 2),
        (8, day, 2),
        (11, of_day / 3600, 2),
        (14, of_day / 60 % 60, 2),
        (17, of_day % 60, 2),
    ] {
        json::digits(&mut text[at..at + width], value);
    }
    text
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
