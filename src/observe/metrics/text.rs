//! The Prometheus text format, written straight into bytes: a scrape of 10,000 routes makes no
//! object per sample.

use std::fmt::Write;

/// The page being written.
pub(super) struct Text {
    out: String,
}

/// The type of a family.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

// === impl Text ===

impl Text {
    /// Goes on after what `out` holds.
    pub(super) fn new(out: Vec<u8>) -> Self {
        Self { out: String::from_utf8(out).unwrap_or_default() }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    /// The two comment lines that open a family. All of its samples must follow before the next one
    /// opens.
    pub(super) fn family(&mut self, name: &str, help: &str, kind: Kind) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One sample. `labels` comes from [`labels`]; `suffix` is `_bucket`, `_sum`, `_count` or
    /// empty.
    pub(super) fn sample(&mut self, name: &str, suffix: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.out, "{name}{suffix}{{{labels}}} {value}");
    }
}

/// Labels as they stand between the braces.
pub(super) fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::with_capacity(64);
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    out
}
