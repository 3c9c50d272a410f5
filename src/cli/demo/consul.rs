//! The demo against a real Consul agent: the samples are registered there, as two instances of `web`, and found there.

use std::net::SocketAddr;

use serde_json::json;

use super::Places;

/// Registers the samples, with a tag each.
pub(super) fn register(agent: &str, samples: &[(&str, SocketAddr)]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| e.to_string())?.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().map_err(|e| e.to_string())?;
        for (name, address) in samples {
            let service = json!({
                "Name": "web", "ID": format!("web-{name}"), "Tags": [name],
                "Address": address.ip().to_string(), "Port": address.port(),
            });
            let url = format!("{}/v1/agent/service/register", agent.trim_end_matches('/'));
            let answer = client.put(url).json(&service).send().await;
            let answer = answer.map_err(|e| format!("no Consul agent answers at {agent}: {e}"))?;
            if !answer.status().is_success() {
                let (status, why) = (answer.status(), answer.text().await.unwrap_or_default());
                return Err(format!("the agent refuses to register web-{name}: {status} {why}"));
            }
        }
        Ok(())
    })
}

pub(super) fn config(agent: &str, places: &Places) -> String {
    let Places { listen, admin, .. } = places;
    format!(
        r#"
admin: {{ address: "{admin}" }}
listeners: [ {{ name: http, address: "{listen}" }} ]
access_log: {{ path: none }}
consul: {{ address: "{agent}", empty_hold: 5s }}
clusters:
  web: {{ consul: {{ service: web }} }}
  blue: {{ consul: {{ service: web, tags: [ blue ] }} }}
  green: {{ consul: {{ service: web, tags: [ green ] }} }}
routes:
  - {{ name: beta, match: {{ headers: [ {{ name: x-beta, exact: "1" }} ] }}, cluster: green }}
  - {{ name: blue, match: {{ path: {{ prefix: /blue }} }}, cluster: blue, rewrite: {{ prefix: / }} }}
  - {{ name: everything-else, cluster: web }}
"#
    )
}

pub(super) fn hints(agent: &str, places: &Places) -> String {
    let Places { listen, admin, blue, green } = places;
    let (ip, port) = (green.ip(), green.port());
    format!(
        "\
Tidegate demo with Consul at {agent}: service `web` has two instances, web-blue ({blue}) and web-green ({green}).

  proxy      http://{listen}/
  dashboard  http://{admin}/
  consul     {agent}/ui

Try, in another terminal:

  for i in $(seq 20); do curl -s http://{listen}/; done | sort | uniq -c
  curl {agent}/v1/health/service/web?pretty             what Consul says
  curl http://{admin}/v1/clusters/web                   what Tidegate made of it
  curl -X PUT {agent}/v1/agent/service/deregister/web-green
                                                        at once, every answer is `blue`
  curl -X PUT {agent}/v1/agent/service/register \\
       -d '{{\"Name\":\"web\",\"ID\":\"web-green\",\"Tags\":[\"green\"],\"Address\":\"{ip}\",\"Port\":{port}}}'
                                                        and `green` is back
  curl -X PUT '{agent}/v1/agent/service/maintenance/web-blue?enable=true'
                                                        taken out for maintenance
  curl http://{admin}/v1/sources                        the age and errors of what Consul said

Ctrl-C stops it.
"
    )
}
