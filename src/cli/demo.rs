//! `tidegate demo`: the first success, with nothing to install. Two sample services run inside the
//! process, behind the same proxy and admin API as any other; with `--consul` they are registered
//! in a real agent and found there.

mod consul;
mod sample;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use crate::app::Builder;
use crate::config::load;

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the proxy listens; another port is taken if this one is not free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the admin API listens; another port is taken if this one is not free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// Register the samples in this Consul agent and find them there, as http://127.0.0.1:8500
    #[arg(long, value_name = "URL")]
    consul: Option<String>,
}

/// The addresses that the demo settled on.
struct Places {
    listen: SocketAddr,
    admin: SocketAddr,
    blue: SocketAddr,
    green: SocketAddr,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> ExitCode {
    match start(args) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("tidegate demo: {why}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result<ExitCode, String> {
    let mut taken = Vec::new();
    let mut free = |wanted| free(wanted, &mut taken).map_err(|e| format!("cannot find a free port: {e}"));
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let places = Places {
        listen: free(args.listen)?,
        admin: free(args.admin)?,
        blue: free(loopback(9101))?,
        green: free(loopback(9102))?,
    };
    drop(taken);
    let text = match &args.consul {
        Some(agent) => {
            consul::register(agent, &[("blue", places.blue), ("green", places.green)])?;
            consul::config(agent, &places)
        }
        None => config(&places),
    };
    let (config, _) = load::text_of(&text, Path::new("<demo>"))
        .map_err(|problems| format!("the built-in config has problems: {problems:?}"))?;
    match &args.consul {
        Some(agent) => print!("{}", consul::hints(agent, &places)),
        None => print!("{}", hints(&places)),
    }
    let samples = [("blue", places.blue), ("green", places.green)];
    let builder = samples.into_iter().fold(Builder::new(config), |builder, (name, address)| {
        builder.service(sample::service(name, address))
    });
    Ok(builder.run())
}

/// The wanted address, or one beside it that nobody has. Held in `taken`, so that the next call
/// gets another.
fn free(wanted: SocketAddr, taken: &mut Vec<TcpListener>) -> std::io::Result<SocketAddr> {
    let listener =
        TcpListener::bind(wanted).or_else(|_| TcpListener::bind(SocketAddr::new(wanted.ip(), 0)))?;
    let address = listener.local_addr()?;
    taken.push(listener);
    Ok(address)
}

fn config(places: &Places) -> String {
    let Places { listen, admin, blue, green } = places;
    format!(
        r#"
admin: {{ address: "{admin}" }}
listeners: [ {{ name: http, address: "{listen}" }} ]
access_log: {{ path: none }}
clusters:
  blue: {{ static: {{ endpoints: [ {{ address: "{blue}" }} ] }} }}
  green: {{ static: {{ endpoints: [ {{ address: "{green}" }} ] }} }}
routes:
  - {{ name: beta, match: {{ headers: [ {{ name: x-beta, exact: "1" }} ] }}, cluster: green }}
  - {{ name: blue, match: {{ path: {{ prefix: /blue }} }}, cluster: blue, rewrite: {{ prefix: / }} }}
  - {{ name: green, match: {{ path: {{ prefix: /green }} }}, cluster: green, rewrite: {{ prefix: / }} }}
  - {{ name: moved, match: {{ path: {{ prefix: /old }} }}, redirect: {{ to: "/blue{{query}}", status: 308 }} }}
  - name: shop
    split:
      key: [ {{ header: x-user }}, {{ cookie: {{ name: tg_id, mint: 30d }} }} ]
      variants:
        - {{ name: blue, cluster: blue, weight: 90 }}
        - {{ name: green, cluster: green, weight: 10 }}
      tell_client: true
"#
    )
}

fn hints(places: &Places) -> String {
    let Places { listen, admin, blue, green } = places;
    format!(
        "\
Tidegate demo: two sample services, blue ({blue}) and green ({green}), behind one proxy.

  proxy      http://{listen}/
  dashboard  http://{admin}/

Try, in another terminal:

  curl -i http://{listen}/                     nine new clients of ten get `blue`, the rest `green`
  for i in $(seq 20); do curl -s http://{listen}/; done | sort | uniq -c
  curl -H 'x-user: ann' http://{listen}/       a user always gets the same
  tidegate split --admin http://{admin} set shop blue=1 green=1
                                               half and half, at once; /v1/splits shows it
  tidegate split --admin http://{admin} shift shop blue=0 green=1 --over 30s
                                               everybody moves to `green`, little by little
  curl -H 'x-beta: 1' http://{listen}/         always `green`: a route by header
  curl http://{listen}/blue/hello              a route by path, its prefix rewritten
  curl -i http://{listen}/old                  a redirect
  curl http://{admin}/v1/snapshot              what serves now
  curl -X POST http://{admin}/v1/clusters/blue/endpoints/{blue}/drain
                                               now everything goes to `green`; /undrain takes it back
  tidegate explain --admin http://{admin} GET http://{listen}/ -H 'x-user: ann'
                                               which variant, and why

Ctrl-C stops it. Next: conf/tidegate.yaml, and `tidegate check -c` on your own file.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_configs_are_valid() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let places = Places { listen: at(1), admin: at(2), blue: at(3), green: at(4) };
        for text in [config(&places), consul::config("http://127.0.0.1:8500", &places)] {
            let (config, _) = load::text_of(&text, Path::new("<demo>")).unwrap();
            assert!(Builder::new(config).problems().is_empty());
        }
    }
}
