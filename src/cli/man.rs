//! `tidegate man DIR`: writes the man pages, one a command, for who makes a package.
//!
//! They are made of the same words as `--help`, by the binary itself, so that a package cannot hold
//! pages of another version. The bad side: they say what the commands take, and nothing of the
//! config file; `tidegate schema` and the reference example do that.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An existing folder, for `tidegate.1`, `tidegate-run.1` and so on
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &Args, cli: clap::Command) -> ExitCode {
    match write(&args.dir, cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!(
                "tidegate man: {}: {e}\n  hint: it must be a folder that you may write to",
                args.dir.display()
            );
            ExitCode::FAILURE
        }
    }
}

/// Hidden commands have no page, and `help` needs none.
fn write(dir: &Path, cli: clap::Command) -> io::Result<()> {
    clap_mangen::generate_to(cli.disable_help_subcommand(true), dir)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_that_help_shows_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        let cli = super::super::Cli::command();
        write(dir.path(), cli.clone()).unwrap();
        let page = |name: &str| dir.path().join(name).is_file();
        assert!(page("tidegate.1"));
        for command in cli.get_subcommands() {
            let name = format!("tidegate-{}.1", command.get_name());
            assert_eq!(page(&name), !command.is_hide_set(), "{name}");
        }
        assert!(!page("tidegate-help.1"));
        assert!(page("tidegate-split-set.1"), "commands of a command too");
    }

    #[test]
    fn a_folder_that_is_not_there_is_said() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write(&dir.path().join("none"), super::super::Cli::command()).is_err());
    }
}
