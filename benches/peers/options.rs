//! What was asked for on the command line.

use std::path::PathBuf;

use crate::Result;
use crate::machine;
use crate::peer::{Kind, Peer};
use crate::scenario::Scenario;

const USAGE: &str = "[--rounds N] [--seconds N] [--only SCENARIO,...] [--peers NAME,...] [--out FOLDER] \
                     [--tidegate BINARY] [--also NAME=BINARY]...";

pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    pub(crate) scenarios: Vec<Scenario>,
    /// Where the JSON and the chart go.
    pub(crate) out: PathBuf,
    /// The names of those to measure, in small letters. Empty: all.
    peers: Vec<String>,
    /// Another Tidegate in the place of the one that was built with the bench.
    tidegate: Option<PathBuf>,
    /// More builds of Tidegate, by the names that the tables show.
    also: Vec<(String, PathBuf)>,
}

// === impl Options ===

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            rounds: 5,
            seconds: 5,
            scenarios: Scenario::ALL.into(),
            out: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/report")),
            peers: Vec::new(),
            tidegate: None,
            also: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => {} // cargo says so
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--only" => options.scenarios = value()?.split(',').map(scenario).collect::<Result<_>>()?,
                "--peers" => options.peers = value()?.to_lowercase().split(',').map(str::to_owned).collect(),
                "--out" => options.out = value()?.into(),
                "--tidegate" => options.tidegate = Some(value()?.into()),
                "--also" => {
                    let (name, binary) = value()?.split_once('=').ok_or("--also is NAME=BINARY")?;
                    options.also.push((name.into(), binary.into()));
                }
                other => return Err(format!("{other}? {USAGE}").into()),
            }
        }
        Ok(options)
    }

    /// Who of them is on this machine, and the names of those who are not. Tidegate comes first: the
    /// others are divided by it.
    pub(crate) fn found(&self) -> Result<(Vec<Peer>, Vec<&'static str>)> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for kind in Kind::ALL.into_iter().filter(|kind| self.wants(*kind)) {
            let program = match (kind, kind.program()) {
                (Kind::Tidegate, _) => Some(self.tidegate.clone().unwrap_or_else(|| TIDEGATE.into())),
                (_, Some(program)) => machine::find(program),
                (_, None) => Some(std::env::current_exe()?),
            };
            let Some(program) = program else {
                eprintln!("peers: {} IS NOT HERE, and left out; see benches/peers/install", kind.name());
                missing.push(kind.name());
                continue;
            };
            found.push(Peer { kind, name: kind.name().into(), program });
            if kind == Kind::Tidegate {
                let also = |(name, program): &(String, PathBuf)| (name.clone(), program.clone());
                found.extend(self.also.iter().map(also).map(|(name, program)| Peer { kind, name, program }));
            }
        }
        Ok((found, missing))
    }

    /// `bare` is short for bare Pingora.
    fn wants(&self, kind: Kind) -> bool {
        let name = kind.name().to_lowercase();
        self.peers.is_empty() || self.peers.iter().any(|wanted| name.split(' ').next() == Some(wanted))
    }
}

/// Built with the bench.
const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

fn scenario(name: &str) -> Result<Scenario> {
    let known = Scenario::ALL.map(Scenario::name).join(", ");
    let found = Scenario::ALL.into_iter().find(|scenario| scenario.name() == name);
    found.ok_or_else(|| format!("no scenario {name}; there are {known}").into())
}
