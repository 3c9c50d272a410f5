//! A split by the client's address: the same rule as for requests.

use super::support::{RawClient, Wire, eventually};
use super::{SOON, cluster, dead, passing};

#[tokio::test]
async fn each_address_has_its_variant_and_the_weights_hold() {
    let (a, b) = (Wire::start("control").await, Wire::start("candidate").await);
    let split = "{ split: { seed: s, variants: [ { name: control, cluster: a, weight: 3 }, \
                 { name: candidate, cluster: b, weight: 1 } ] } }";
    let tidegate = passing(split, &[cluster("a", &[a.addr()], ""), cluster("b", &[b.addr()], "")]).await;
    let ask = async |host: u8| {
        let mut client = RawClient::connect_from(&format!("127.0.0.{host}"), tidegate.addr("bytes")).await;
        client.finish().await;
        String::from_utf8(client.read_to_end().await.unwrap()).unwrap()
    };
    let mut candidates = 0;
    for host in 1..=200 {
        let name = ask(host).await;
        if host % 40 == 0 {
            assert_eq!(ask(host).await, name, "127.0.0.{host}");
        }
        candidates += usize::from(name == "candidate");
    }
    eprintln!("{candidates} of 200 addresses are candidates at a weight of 1 in 4");
    assert!((30..=70).contains(&candidates), "{candidates}");
    let labels = |variant| ["listener=\"bytes\"", variant, "reason=\"key\""];
    let count =
        async |variant| tidegate.metric("tidegate_tcp_split_assignments_total", &labels(variant)).await;
    let (control, candidate) = (count("variant=\"control\"").await, count("variant=\"candidate\"").await);
    assert!(control + candidate == 205.0 && candidate >= candidates as f64, "{control} {candidate}");
    let line = tidegate.logged(|line| line["cluster"] == "b").await;
    assert_eq!(line["variant"], "candidate");

    // Where a variant has nobody, its clients go to the other, and it is counted as that.
    b.stop();
    tidegate.reload(&format!("clusters:\n{}{}", cluster("a", &[a.addr()], ""), dead("b", ""))).await;
    eventually(SOON, async || {
        let cluster = tidegate.admin_json("/v1/clusters/b").await.to_string();
        if cluster.contains("\"down\"") { Ok(()) } else { Err(cluster) }
    })
    .await;
    for host in 1..=40 {
        assert_eq!(ask(host).await, "control");
    }
    let shifted = ["variant=\"control\"", "reason=\"shifted\""];
    assert!(tidegate.metric("tidegate_tcp_split_assignments_total", &shifted).await >= 1.0);
}
