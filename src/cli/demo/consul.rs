//! The demo against a real Consul agent: the samples are registered there, as two instances of a
//! service of their own, so that a demo against an agent in use adds nothing to anybody's service.

use std::net::SocketAddr;

use serde_json::json;

use super::Places;

/// The samples' service.
const SERVICE: &str = "tidegate-demo";

/// Registers the samples, with a tag each.
pub(super) fn register(agent: &str, samples: &[(&str, SocketAddr)]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| e.to_string())?.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().map_err(|e| e.to_string())?;
        for (name, address) in samples {
            let service = json!({
                "Name": SERVICE, "ID": format!("{SERVICE}-{name}"), "Tags": [name],
                "Address": address.ip().to_string(), "Port": address.port(),
            });
            let url = format!("{}/v1/agent/service/register", agent.trim_end_matches('/'));
            let answer = client.put(url).json(&service).send().await;
            let answer = answer.map_err(|e| format!("no Consul agent answers at {agent}: {e}"))?;
            if !answer.status().is_success() {
                let (status, why) = (answer.status(), answer.text().await.unwrap_or_default());
                return Err(format!("the agent refuses to register {SERVICE}-{name}: {status} {why}"));
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
splits: {{ consul_kv: tidegate-demo/splits }}
clusters:
  blue: {{ consul: {{ service: {SERVICE}, tags: [ blue ] }} }}
  green: {{ consul: {{ service: {SERVICE}, tags: [ green ] }} }}
routes:
  - {{ name: beta, match: {{ headers: [ {{ name: x-beta, exact: "1" }} ] }}, cluster: green }}
  - {{ name: blue, match: {{ path: {{ prefix: /blue }} }}, cluster: blue, rewrite: {{ prefix: / }} }}
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

pub(super) fn hints(agent: &str, places: &Places) -> String {
    let Places { listen, admin, blue, green } = places;
    let (ip, port) = (green.ip(), green.port());
    format!(
        "\
Tidegate demo with Consul at {agent}: service `{SERVICE}` has two instances, {SERVICE}-blue ({blue}) and {SERVICE}-green ({green}).

  proxy      http://{listen}/
  dashboard  http://{admin}/
  consul     {agent}/ui

Try, in another terminal:

  for i in $(seq 20); do curl -s http://{listen}/; done | sort | uniq -c
  tidegate split --admin http://{admin} set shop blue=1 green=1
                                                        half and half, for every Tidegate on this Consul
  curl {agent}/v1/kv/tidegate-demo/splits/shop?raw      where that is written
  curl {agent}/v1/health/service/{SERVICE}?pretty           what Consul says
  curl http://{admin}/v1/clusters                       what Tidegate made of it
  curl -X PUT {agent}/v1/agent/service/deregister/{SERVICE}-green
                                                        in 5 s (empty_hold), every answer is `blue`
  curl -X PUT {agent}/v1/agent/service/register \\
       -d '{{\"Name\":\"{SERVICE}\",\"ID\":\"{SERVICE}-green\",\"Tags\":[\"green\"],\"Address\":\"{ip}\",\"Port\":{port}}}'
                                                        and `green` is back
  curl -X PUT '{agent}/v1/agent/service/maintenance/{SERVICE}-blue?enable=true'
                                                        taken out for maintenance
  curl http://{admin}/v1/sources                        the age and errors of what Consul said

Ctrl-C stops it.
"
    )
}
