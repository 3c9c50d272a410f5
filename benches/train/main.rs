//! The load that `make release` trains a build with: `train BINARY`.
//!
//! The binary is one that counts what it runs (`-Cprofile-generate`). It is started, loaded with
//! [what proxies do](loads), and told to end, whereupon it writes its counts; `.ci/release` makes of
//! them the profile that the binary to ship is built with.
//!
//! Nothing is used but the standard library, and of other programs only `openssl` and `kill`. So `rustc`
//! builds it in seconds (`.ci/release` does so), where cargo would build Tidegate and all that its
//! tests need once more; and it runs wherever Tidegate is built. The bad side is a client for HTTP/2
//! of our own. As a bench of cargo's it is here for clippy and rustfmt only.
//!
//! | file | what |
//! |---|---|
//! | [`loads`] | the kinds of load, and their shares |
//! | [`asks`] | the requests of each |
//! | [`proxy`] | the process that is trained, its config in `tidegate.yaml` |
//! | [`server`] | the servers behind it |
//! | [`http2`], [`tls`] | what the client of `benches/peers` cannot do |

mod asks;
#[path = "../e2e/certificate.rs"]
mod certificate;
#[path = "../peers/client.rs"]
#[expect(dead_code, reason = "serves benches/peers too")]
mod client;
mod http2;
mod loads;
mod proxy;
mod server;
#[path = "../peers/template.rs"]
mod template;
mod tls;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::proxy::Proxy;
use crate::server::Mood;

/// Whatever goes wrong ends the run.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [binary] = arguments.as_slice() else {
        println!("train BINARY - loads a Tidegate with what its profile is to be made of; see .ci/release");
        return ExitCode::SUCCESS;
    };
    match run(Path::new(binary)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("train: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(binary: &Path) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("tidegate-train-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let asked = train(binary, &folder);
    if asked.is_err() {
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        let lines = log.lines().filter(|line| !line.contains(" INFO ")).take(20);
        lines.for_each(|line| eprintln!("train: its log: {line}"));
    }
    fs::remove_dir_all(&folder)?;
    eprintln!("train: {} requests", asked?);
    Ok(())
}

fn train(binary: &Path, folder: &Path) -> Result<usize> {
    let [a, b, c] = [server::start(Mood::Good)?, server::start(Mood::Good)?, server::start(Mood::Good)?];
    let mut proxy = Proxy::start(binary, folder, [a, b, c, server::start(Mood::Bad)?])?;
    let asked = loads::run(&mut proxy)?;
    proxy.end()?;
    Ok(asked)
}
