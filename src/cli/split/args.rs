//! The arguments. What can be seen to be wrong without asking is said before anything is asked.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::error::ErrorKind;

use crate::config::live::MAX_WEIGHT;
use crate::config::value::{Name, Span};

/// Where the admin API is, if nobody says.
const DEFAULT: &str = "http://127.0.0.1:9901";
/// The shortest time between two steps of a shift: each is a snapshot of its own.
const SHORTEST: Duration = Duration::from_millis(100);

/// The command's arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tidegate split list                                           what serves, and since when\n  tidegate split preview shop candidate=20 control=80           what would move\n  tidegate split set shop candidate=20 control=80 --why canary  all at once\n  tidegate split shift shop candidate=50 control=50 --over 10m  little by little\n  tidegate split set shop green=1 blue=0                        blue-green: over to green\n  tidegate split reset shop                                     back to the file's weights"
)]
pub(in crate::cli) struct Args {
    /// The admin API [default: $TIDEGATE_ADMIN, else http://127.0.0.1:9901]
    #[arg(long, value_name = "URL", global = true)]
    admin: Option<String>,
    /// A file with the admin API's token
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) token_file: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the splits: weights that serve, where they come from, and whether traffic fits them
    List(List),
    /// Give variants new weights, all at once
    Set(Set),
    /// Move to new weights little by little
    Shift(Shift),
    /// Say what new weights would move, and change nothing
    Preview(Preview),
    /// Go back to the weights of the config file
    Reset(Reset),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Only the split of this route
    pub(super) route: Option<Name>,
    /// Print what the admin API answers
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Only the ratio of weights counts. Variants that are not named keep the weight that serves.\n\nExamples:\n  tidegate split set shop control=80 candidate=20 --why 'canary, step 2'\n  tidegate split set shop green=1 blue=0            blue-green: all to green\n  tidegate split set shop green=0 blue=1            and back\n  tidegate split set shop candidate=50 --if-epoch 3  only if nobody changed it since"
)]
pub(super) struct Set {
    /// The route whose split it is
    pub(super) route: Name,
    /// A variant and its new weight
    #[arg(required = true, value_name = "NAME=WEIGHT")]
    pub(super) targets: Vec<Target>,
    /// The reason, which `list` and the dashboard show
    #[arg(long, value_name = "TEXT")]
    pub(super) why: Option<String>,
    /// Change only if the split is still at this epoch
    #[arg(long, value_name = "N")]
    pub(super) if_epoch: Option<u64>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each step serves before the next is asked for. A change by someone else stops the shift and is not\noverwritten. Ctrl-C stops where it is, and says how to go on or back.\n\nExamples:\n  tidegate split shift shop control=50 candidate=50 --over 10m\n  tidegate split shift shop green=1 blue=0 --over 1h --every 30s --why 'blue-green, slowly'"
)]
pub(super) struct Shift {
    /// The route whose split it is
    pub(super) route: Name,
    /// A variant and the weight it has at the end
    #[arg(required = true, value_name = "NAME=WEIGHT")]
    pub(super) targets: Vec<Target>,
    /// How long it takes, as 30s, 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = pace)]
    pub(super) over: Span,
    /// The time between two steps, at least 100ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = pace)]
    pub(super) every: Span,
    /// The reason [default: what the shift does]
    #[arg(long, value_name = "TEXT")]
    pub(super) why: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tidegate split preview shop control=80 candidate=20")]
pub(super) struct Preview {
    /// The route whose split it is
    pub(super) route: Name,
    /// A variant and its new weight
    #[arg(required = true, value_name = "NAME=WEIGHT")]
    pub(super) targets: Vec<Target>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tidegate split reset shop --why 'errors at checkout'")]
pub(super) struct Reset {
    /// The route whose split it is
    pub(super) route: Name,
    /// The reason, which `list` and the dashboard show
    #[arg(long, value_name = "TEXT")]
    pub(super) why: Option<String>,
}

/// `name=weight`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: Name,
    pub(super) weight: u64,
}

fn pace(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|e| format!("{e}"))?;
    if span.0 < SHORTEST {
        return Err(format!(
            "{span} is too short: a step takes at least 100ms; write it as 500ms, 1s or 10m"
        ));
    }
    Ok(span)
}

// === impl Args ===

impl Args {
    /// The admin API's address: said, from the environment, or where it is by default.
    pub(super) fn url(&self) -> String {
        let said = self.admin.clone().or_else(|| std::env::var("TIDEGATE_ADMIN").ok());
        said.filter(|url| !url.trim().is_empty()).unwrap_or_else(|| DEFAULT.to_owned())
    }

    /// How to call the command again.
    pub(super) fn call(&self) -> String {
        let admin = self.admin.iter().map(|url| format!(" --admin {url}"));
        let token = self.token_file.iter().map(|file| format!(" --token-file {}", file.display()));
        std::iter::once("tidegate split".to_owned()).chain(admin).chain(token).collect()
    }
}

// === impl Command ===

impl Command {
    /// What is wrong in the arguments taken together.
    pub(super) fn wrong(&self) -> Option<clap::Error> {
        let targets = match self {
            Self::List(_) | Self::Reset(_) => return None,
            Self::Set(args) => &args.targets,
            Self::Shift(args) => &args.targets,
            Self::Preview(args) => &args.targets,
        };
        let twice = targets.iter().enumerate().find(|(i, t)| targets[..*i].iter().any(|u| u.name == t.name));
        let (_, target) = twice?;
        let text = format!("`{}` is named twice; say each variant's weight once\n", target.name);
        Some(clap::Error::raw(ErrorKind::ValueValidation, text))
    }
}

// === impl Target ===

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, weight) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` has no `=`; write a variant and its weight, as candidate=20"))?;
        let name = name.trim().parse::<Name>().map_err(|e| e.to_string())?;
        let weight = weight.trim();
        let digits = !weight.is_empty() && weight.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            let hint = match weight.parse::<f64>() {
                Ok(number) if number < 0.0 => "a weight is 0 or more; 0 takes the variant out",
                Ok(_) => "only the ratio counts: write 0.5 and 0.5 as 1 and 1, or 99.5 and 0.5 as 199 and 1",
                Err(_) if weight.ends_with('%') => "write it without the `%`; only the ratio counts",
                Err(_) => "write it as candidate=20",
            };
            return Err(format!("the weight `{weight}` is not a whole number; {hint}"));
        }
        match weight.parse::<u64>() {
            Ok(weight) if weight <= MAX_WEIGHT => Ok(Self { name, weight }),
            _ => Err(format!(
                "the weight {weight} is above {MAX_WEIGHT}; only the ratio counts: divide all of them"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Whole {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(line: &str) -> Result<Args, clap::Error> {
        let args = Whole::try_parse_from(["split"].into_iter().chain(line.split_whitespace()))?.args;
        args.command.wrong().map_or(Ok(args), Err)
    }

    #[test]
    fn mistakes_are_said_before_anything_is_asked() {
        for (line, expected) in [
            ("set shop candidate", "has no `=`; write a variant and its weight, as candidate=20"),
            ("set shop candidate=", "is not a whole number; write it as candidate=20"),
            ("set shop candidate=0.5", "is not a whole number; only the ratio counts"),
            ("set shop candidate=20%", "is not a whole number; write it without the `%`"),
            ("set shop candidate=-1", "is not a whole number; a weight is 0 or more"),
            ("set shop candidate=+1", "is not a whole number"),
            ("set shop candidate=1000000001", "is above 1000000000; only the ratio counts"),
            ("set shop candidate=99999999999999999999999", "is above 1000000000"),
            ("set shop =1", "is not a name"),
            ("preview shop a=1 b=1 a=2", "`a` is named twice"),
            ("shift shop a=1 --over 10", "is not a duration"),
            ("shift shop a=1 --over 10s --every 1ms", "at least 100ms"),
            ("shift shop a=1 --over 0s", "at least 100ms"),
            ("shift shop a=1", "--over <TIME>"),
            ("set shop", "NAME=WEIGHT"),
            ("list a/b", "is not a name"),
        ] {
            let error = parsed(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn the_address_may_stand_before_or_after() {
        for line in ["--admin http://a:1 list", "list --admin http://a:1"] {
            assert_eq!(parsed(line).unwrap().url(), "http://a:1");
        }
        let args = parsed("shift shop a=1 b=0 --over 10m").unwrap();
        let Command::Shift(shift) = args.command else { panic!("not a shift") };
        assert_eq!((shift.over, shift.every), (Span::secs(600), Span::secs(1)));
        assert_eq!(shift.targets[1], Target { name: "b".parse().unwrap(), weight: 0 });
    }
}
