//! Near endpoints before far ones.

use super::support::Tidegate;
use super::{crowd, drain, share};

#[tokio::test]
async fn the_own_zone_serves_while_it_can() {
    let (near, far) = (crowd("near", 5).await, crowd("far", 5).await);
    let list: Vec<_> = [("a", &near), ("b", &far)]
        .into_iter()
        .flat_map(|(zone, all)| {
            all.iter().map(move |b| format!("{{ address: '{}', meta: {{ zone: {zone} }} }}", b.addr()))
        })
        .collect();
    let live = |zone: &str| {
        format!(
            "clusters: {{ web: {{ static: {{ endpoints: [ {} ] }}, load_balancing: {{ locality: {{ zone: {zone} }} }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
            list.join(", ")
        )
    };
    let tidegate = Tidegate::new(&live("a")).start().await;
    let only = async |name: &str| (share(&tidegate, name, 200).await - 1.0).abs() < 1e-9;
    assert!(only("near").await);
    drain(&tidegate, "web", near[0].addr(), "drain").await;
    assert!(only("near").await, "4 of 5 can carry it all");
    drain(&tidegate, "web", near[1].addr(), "drain").await;
    let found = share(&tidegate, "near", 1500).await;
    assert!((found - 0.84).abs() < 0.05, "{found}");
    for backend in &near[2..] {
        drain(&tidegate, "web", backend.addr(), "drain").await;
    }
    assert!(only("far").await);
    for backend in &near {
        drain(&tidegate, "web", backend.addr(), "undrain").await;
    }
    assert!(only("near").await);
    tidegate.reload(&live("b")).await;
    assert!(only("far").await);
    tidegate.reload(&live("elsewhere")).await;
    let found = share(&tidegate, "near", 200).await;
    assert!((found - 0.5).abs() < 0.1, "nobody is near, so all are used: {found}");
}
