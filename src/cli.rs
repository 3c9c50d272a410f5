//! The command line: one file a command.

mod admin;
pub mod check;
mod demo;
mod explain;
mod log;
mod man;
pub mod schema;
mod split;
mod upgrade;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::app::Builder;
use crate::config::Config;

/// A programmable L7 reverse proxy: finds services in Consul, routes, balances, and shows what it
/// does.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "First steps:\n  tidegate demo                        two sample services, the proxy, the dashboard\n  tidegate check -c tidegate.yaml      every problem at once, with its line\n  tidegate run -c tidegate.yaml        serve; SIGHUP reloads, SIGTERM drains and stops"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve. SIGHUP reloads the file (a change of it does too), SIGUSR2 hands over to the binary
    /// that is installed now, SIGTERM drains and stops
    Run {
        /// The config file
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Take over from the process that runs at the file's `server.upgrade_socket`
        #[arg(long)]
        upgrade: bool,
    },
    /// Say everything that is wrong with a config file; exit 1 if anything is
    Check {
        /// The config file
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// For people, or for programs
        #[arg(long, value_enum, default_value_t)]
        format: check::Format,
    },
    /// Say which route a request takes, why not the others, and which endpoints it may reach
    Explain(explain::Args),
    /// Show and change how splits share requests out, in a running process
    Split(split::Args),
    /// Have the running process hand over to a new one, without losing a request; SIGUSR2 does it too
    Upgrade(upgrade::Args),
    /// Print the JSON Schema of the config file, from which editors complete
    Schema,
    /// Run two sample services behind the proxy, with nothing to install or configure
    Demo(demo::Args),
    /// Print the completion script of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man(man::Args),
}

/// Parses the command line and runs what it says.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { config, upgrade } => {
            log::init("info");
            let builder = Builder::file(config);
            if upgrade { builder.upgrade().run() } else { builder.run() }
        }
        Command::Check { config, format } => {
            let builder = |config: &Config| Builder::new(config.clone());
            check::run(&config, format, |c| builder(c).problems(), |c| builder(c).warnings())
        }
        Command::Explain(args) => explain::run(&args),
        Command::Split(args) => split::run(&args),
        Command::Upgrade(args) => upgrade::run(&args),
        Command::Schema => match schema::run() {
            Ok(()) => ExitCode::SUCCESS,
            // The reader went away, as `head` does.
            Err(_) => ExitCode::FAILURE,
        },
        Command::Demo(args) => {
            log::init("warn");
            demo::run(&args)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut script);
            // A reader that goes away early, as `head` does, is no failure.
            let _ = std::io::stdout().write_all(&script);
            ExitCode::SUCCESS
        }
        Command::Man(args) => man::run(&args, Cli::command()),
    }
}
