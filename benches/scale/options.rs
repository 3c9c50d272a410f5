//! What was asked for on the command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Part, Result};

const USAGE: &str = "[--only PART,...] [--idle 60s] [--time 30s] [--services N] [--tidegate BINARY] \
                     [--out FOLDER] [--soak 30m]";

pub(crate) struct Options {
    pub(crate) parts: Vec<Part>,
    /// How long the idle process is watched.
    pub(crate) idle: Duration,
    /// How long the loads are.
    pub(crate) time: Duration,
    /// How many services there are, of ten endpoints each.
    pub(crate) services: usize,
    pub(crate) tidegate: PathBuf,
    pub(crate) out: PathBuf,
    /// Another bench in the place of all: see `soak`.
    pub(crate) soak: Option<Duration>,
}

// === impl Options ===

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            parts: Part::ALL.into(),
            idle: Duration::from_secs(60),
            time: Duration::from_secs(30),
            services: 1000,
            tidegate: env!("CARGO_BIN_EXE_tidegate").into(),
            out: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/report")),
            soak: None,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => {} // cargo says so
                "--only" => options.parts = value()?.split(',').map(part).collect::<Result<_>>()?,
                "--idle" => options.idle = duration(value()?)?,
                "--time" => options.time = duration(value()?)?,
                "--services" => options.services = value()?.parse()?,
                "--tidegate" => options.tidegate = std::path::absolute(value()?)?,
                "--out" => options.out = value()?.into(),
                "--soak" => options.soak = Some(duration(value()?)?),
                other => return Err(format!("{other}? {USAGE}").into()),
            }
        }
        Ok(options)
    }
}

fn part(name: &str) -> Result<Part> {
    let known = Part::ALL.map(Part::name).join(", ");
    let found = Part::ALL.into_iter().find(|part| part.name() == name);
    found.ok_or_else(|| format!("no part {name}; there are {known}").into())
}

/// `60s` or `30m`.
fn duration(text: &str) -> Result<Duration> {
    let wrong = || format!("{text}? Write 60s or 30m");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(wrong().into()),
    }
}
