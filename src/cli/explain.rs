//! `tidegate explain`: what would happen to a request, from a file or from a running process.
//!
//! Both answers come from `snapshot::explain`. From a file, only static clusters have members; the
//! others say so.

mod split;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use crate::admin::explain::{Ask, Values};
use crate::app::Builder;
use crate::cli::admin::{self, Admin};
use crate::config::Problem;

/// The command's arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tidegate explain -c tidegate.yaml GET http://shop.example.com/checkout -H 'x-beta: 1'\n  tidegate explain --admin http://127.0.0.1:9901 GET /checkout -H 'host: shop.example.com'"
)]
#[group(skip)]
pub(super) struct Args {
    /// Decide by this config file
    #[arg(short, long, value_name = "FILE", required_unless_present = "admin", conflicts_with = "admin")]
    config: Option<PathBuf>,
    /// Ask the admin API of a running process, as http://127.0.0.1:9901
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// A file with the admin API's token
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
    /// GET, POST, ...
    method: String,
    /// http://host/path?query, or /path with a host header
    url: String,
    /// A request header; may be given again
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The client's address, for policies that hash it
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> ExitCode {
    let answer = match ask(args) {
        Ok(ask) => match (&args.config, &args.admin) {
            (Some(file), _) => from_file(file.clone(), &ask),
            (None, Some(admin)) => from_admin(admin, args.token_file.as_deref(), &ask),
            (None, None) => Err("say where to look: -c FILE or --admin URL".into()),
        },
        Err(why) => Err(why),
    };
    match answer {
        Ok(answer) if args.json => println!("{answer:#}"),
        Ok(answer) => {
            print!("{}", tell(&answer));
            let none = answer["cluster"]["endpoints"].as_array().is_some_and(Vec::is_empty);
            if none && args.config.is_some() {
                println!(
                    "  a file alone has no endpoints of consul and dns clusters; a running process has: --admin"
                );
            }
        }
        Err(why) => {
            eprintln!("tidegate explain: {why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn ask(args: &Args) -> Result<Ask, String> {
    let mut headers = std::collections::BTreeMap::<String, Values>::new();
    for header in &args.headers {
        let (name, value) =
            header.split_once(':').ok_or_else(|| format!("`{header}` is not `name: value`"))?;
        let value = value.trim().to_owned();
        let values = match headers.remove(name.trim()) {
            None => Values::One(value),
            Some(Values::One(first)) => Values::Many(vec![first, value]),
            Some(Values::Many(mut values)) => {
                values.push(value);
                Values::Many(values)
            }
        };
        headers.insert(name.trim().to_owned(), values);
    }
    Ok(Ask { method: args.method.clone(), url: args.url.clone(), headers, ip: args.ip })
}

fn from_file(file: PathBuf, ask: &Ask) -> Result<Value, String> {
    let probe = ask.parse().map_err(|problems| lines(&problems))?;
    let snapshot = Builder::file(file).snapshot().map_err(|problems| lines(&problems))?;
    serde_json::to_value(snapshot.explain(&probe.view(), probe.ip)).map_err(|e| e.to_string())
}

fn from_admin(admin: &str, token_file: Option<&Path>, ask: &Ask) -> Result<Value, String> {
    let asked = Admin::new(admin, token_file)
        .and_then(|admin| admin::block_on(async { admin.post("/v1/explain", ask).await }));
    asked.map_err(|failure| failure.to_string())
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The answer in words: the outcome, then the routes that were nearer, then the endpoints.
fn tell(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut out = match &answer["route"] {
        Value::Null => format!("no route: {}\n", text(&answer["outcome"])),
        route => format!("route {}: {}\n", text(route), text(&answer["outcome"])),
    };
    for candidate in answer["candidates"].as_array().into_iter().flatten() {
        let name = text(&candidate["route"]);
        out += &match &candidate["lost"] {
            Value::Null => format!("  + {name}: all conditions hold\n"),
            why => format!("  - {name}: {}\n", text(why)),
        };
    }
    out += &split::tell(&answer["split"]);
    out += &failover(&answer["failover"]);
    let cluster = &answer["cluster"];
    if cluster.is_null() {
        return out;
    }
    out += &format!("cluster {} ({})", text(&cluster["name"]), text(&cluster["policy"]));
    if let Some(hash) = cluster["hash"].as_str() {
        out += &format!(", hash {hash}");
    }
    if cluster["panic"] == true {
        out += ", panic: under half are available, so all are used";
    }
    out += "\n";
    let pick = &cluster["pick"];
    for endpoint in cluster["endpoints"].as_array().into_iter().flatten() {
        let mark = match &endpoint["address"] == pick {
            true if cluster["certain"] == true => "+",
            true => "?",
            false => " ",
        };
        let (address, weight) = (text(&endpoint["address"]), &endpoint["weight"]);
        let (state, busy) = (text(&endpoint["state"]), &endpoint["in_flight"]);
        out += &format!("  {mark} {address}  weight {weight}  {state}  in flight {busy}\n");
    }
    out
}

/// Who stands in for whom, and why.
fn failover(told: &Value) -> String {
    let Some(why) = told["why"].as_str() else { return String::new() };
    let mut out = format!("failover: {why}\n");
    for place in told["places"].as_array().into_iter().flatten() {
        let percent = |key: &str| 100.0 * place[key].as_f64().unwrap_or(0.0);
        let name = place["cluster"].as_str().unwrap_or_default();
        out += &format!("    {name}  score {:.0} %  share {:.1} %\n", percent("score"), percent("share"));
    }
    out
}
