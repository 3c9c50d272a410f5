use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::observe::Flag;
use crate::observe::metrics::{
    ClusterSample, EndpointSample, EndpointState, Metrics, Os, RatioSample, Scrape, SourceSample,
    SplitSample, VariantSample,
};

fn page(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render(&Scrape::default())).unwrap()
}

fn has(page: &str, line: &str) {
    assert!(page.lines().any(|l| l == line), "no `{line}` in:\n{page}");
}

#[test]
fn a_request_is_counted_in_its_series() {
    let metrics = Metrics::new().unwrap();
    let route = metrics.route(&["http", "https"], "shop", "web", "v1");
    route.record(1, 200, 0.003, Some(0.002), None);
    route.record(0, 503, 70.0, None, Some(Flag::UH));
    route.record(0, 42, f64::NAN, None, None);
    route.record(9, 200, -1.0, None, None);
    let page = page(&metrics);
    let of = |listener, class| {
        format!(
            r#"tidegate_http_requests_total{{listener="{listener}",route="shop",cluster="web",variant="v1",code_class="{class}"}}"#
        )
    };
    has(&page, &format!("{} 1", of("https", "2xx")));
    has(&page, &format!("{} 0", of("http", "2xx")));
    has(&page, &format!("{} 1", of("http", "5xx")));
    has(&page, &format!("{} 1", of("http", "other")));
    let labels = r#"route="shop",cluster="web",variant="v1""#;
    has(&page, &format!(r#"tidegate_http_request_duration_seconds_bucket{{{labels},le="0.0025"}} 2"#));
    has(&page, &format!(r#"tidegate_http_request_duration_seconds_bucket{{{labels},le="0.005"}} 3"#));
    has(&page, &format!(r#"tidegate_http_request_duration_seconds_bucket{{{labels},le="60"}} 3"#));
    has(&page, &format!(r#"tidegate_http_request_duration_seconds_bucket{{{labels},le="+Inf"}} 4"#));
    has(&page, &format!("tidegate_http_request_duration_seconds_sum{{{labels}}} 70.003"));
    has(&page, &format!("tidegate_http_upstream_ttfb_seconds_count{{{labels}}} 1"));
    has(&page, r#"tidegate_http_response_flags_total{route="shop",flag="UH"} 1"#);
}

#[test]
fn label_values_that_run_together_stay_apart() {
    let metrics = Metrics::new().unwrap();
    let a = metrics.route(&["http"], "ab", "c", "");
    let b = metrics.route(&["http"], "a", "bc", "");
    a.record(0, 200, 0.0, None, None);
    b.record(0, 200, 0.0, None, None);
    let page = page(&metrics);
    for (route, cluster) in [("ab", "c"), ("a", "bc")] {
        has(
            &page,
            &format!(
                r#"tidegate_http_requests_total{{listener="http",route="{route}",cluster="{cluster}",variant="",code_class="2xx"}} 1"#
            ),
        );
    }
}

#[test]
fn series_go_with_their_last_handle_and_stay_over_a_reload() {
    let metrics = Metrics::new().unwrap();
    let old = (metrics.route(&["http"], "shop", "web", ""), metrics.cluster("web"));
    old.0.record(0, 200, 0.0, None, Some(Flag::UF));
    old.1.retry_success.inc();
    let new = (metrics.route(&["http"], "shop", "web", ""), metrics.cluster("web"));
    drop(old);
    let kept = page(&metrics);
    has(&kept, r#"tidegate_http_response_flags_total{route="shop",flag="UF"} 1"#);
    has(&kept, r#"tidegate_retries_total{cluster="web",result="success"} 1"#);
    drop(new);
    assert!(!page(&metrics).contains("shop") && !page(&metrics).contains("web"));

    let size = page(&metrics).len();
    for generation in 0..500 {
        let name = format!("route-{generation}");
        let _handles = (metrics.route(&["http"], &name, &name, "v"), metrics.cluster(&name));
    }
    assert_eq!(page(&metrics).matches("route-").count(), 0);
    assert!(page(&metrics).len() < size + 200);
}

#[test]
fn reloads_and_generation_are_told() {
    let metrics = Metrics::new().unwrap();
    has(&page(&metrics), "tidegate_config_last_reload_success 1");
    metrics.reloaded(false);
    metrics.set_generation(41);
    let page = page(&metrics);
    has(&page, "tidegate_config_last_reload_success 0");
    has(&page, r#"tidegate_config_reloads_total{result="failure"} 1"#);
    has(&page, r#"tidegate_config_reloads_total{result="success"} 0"#);
    has(&page, "tidegate_config_generation 41");
    assert!(
        page.contains("tidegate_build_info{version=\"") && page.contains("process_resident_memory_bytes")
    );
}

fn full_page() -> Vec<u8> {
    let metrics = Metrics::new().unwrap();
    let (a, b) = (metrics.route(&["http"], "shop", "web", "v1"), metrics.cluster("web"));
    a.record(0, 200, 0.01, Some(0.005), Some(Flag::UC));
    b.panic.inc();
    let assigned = metrics.split("shop", "control", ["key", "random", "override", "shifted"]);
    assigned[1].inc();
    let mirror = metrics.mirror("shop", "shadow");
    mirror.answered(200, 0.01);
    metrics.in_flight("http").inc();
    metrics.invalid("http", "host").inc();
    metrics.access_log_dropped().inc();
    let endpoint =
        |port, state| EndpointSample { address: ([127, 0, 0, 1], port).into(), state, in_flight: 3 };
    let endpoints = vec![endpoint(1, EndpointState::Available), endpoint(2, EndpointState::Draining)];
    metrics.render(&Scrape {
        os: Some(&Os::read()),
        clusters: &[
            ClusterSample { name: "web", endpoints },
            ClusterSample { name: "none", endpoints: vec![] },
        ],
        sources: &[
            SourceSample { source: "consul", cluster: "web", age: Some(0.25), updates: 2, errors: 1 },
            SourceSample { source: "dns", cluster: "none", age: None, updates: 0, errors: 7 },
        ],
        register: Some(super::RegisterSample {
            service: "edge",
            registered: true,
            registrations: 2,
            errors: 1,
        }),
        splits: &[
            SplitSample {
                route: "shop",
                origin: "overlay",
                epoch: 3,
                problem: true,
                variants: vec![
                    VariantSample { name: "control", weight: 999_999, units: Some(4095) },
                    VariantSample { name: "candidate", weight: 1, units: Some(1) },
                ],
                ratio: Some(RatioSample { chi_square: 240.25, p_value: 1e-54 }),
            },
            SplitSample {
                route: "quiet",
                origin: "file",
                epoch: 0,
                problem: false,
                variants: vec![VariantSample { name: "blue", weight: 0, units: None }],
                ratio: None,
            },
        ],
    })
}

#[test]
fn endpoints_and_sources_are_what_the_scrape_brings() {
    let page = String::from_utf8(full_page()).unwrap();
    has(&page, r#"tidegate_cluster_endpoints{cluster="web",state="draining"} 1"#);
    has(&page, r#"tidegate_cluster_endpoints{cluster="none",state="available"} 0"#);
    has(&page, r#"tidegate_endpoint_up{cluster="web",endpoint="127.0.0.1:1"} 1"#);
    has(&page, r#"tidegate_endpoint_up{cluster="web",endpoint="127.0.0.1:2"} 0"#);
    has(&page, r#"tidegate_endpoint_requests_in_flight{cluster="web",endpoint="127.0.0.1:1"} 3"#);
    has(&page, r#"tidegate_discovery_age_seconds{source="consul",cluster="web"} 0.25"#);
    has(&page, r#"tidegate_discovery_errors_total{source="dns",cluster="none"} 7"#);
    assert!(!page.contains(r#"discovery_age_seconds{source="dns""#), "never heard: no age");
}

#[test]
fn splits_are_what_the_scrape_brings() {
    let page = String::from_utf8(full_page()).unwrap();
    has(&page, r#"tidegate_split_assignments_total{route="shop",variant="control",reason="key"} 0"#);
    has(&page, r#"tidegate_split_assignments_total{route="shop",variant="control",reason="random"} 1"#);
    has(&page, r#"tidegate_split_weight{route="shop",variant="control"} 999999"#);
    has(&page, r#"tidegate_split_weight{route="quiet",variant="blue"} 0"#);
    has(&page, r#"tidegate_split_epoch{route="shop",origin="overlay"} 3"#);
    has(&page, r#"tidegate_consul_registered{service="edge"} 1"#);
    has(&page, r#"tidegate_consul_registrations_total{service="edge"} 2"#);
    has(&page, r#"tidegate_consul_register_errors_total{service="edge"} 1"#);
    has(&page, r#"tidegate_split_problems{route="shop"} 1"#);
    has(&page, r#"tidegate_split_problems{route="quiet"} 0"#);
    has(&page, r#"tidegate_split_sample_ratio_p_value{route="shop"} 1e-54"#);
    has(&page, r#"tidegate_split_sample_ratio_chi_square{route="shop"} 240.25"#);
    has(&page, r#"tidegate_split_sample_units{route="shop",variant="candidate"} 1"#);
    let says = |family: &str, route: &str| page.contains(&format!("{family}{{route=\"{route}\""));
    assert!(!says("tidegate_split_sample_ratio_p_value", "quiet"), "too few: no figure");
    assert!(!says("tidegate_split_sample_units", "quiet"));
}

#[test]
fn assignments_go_with_their_split() {
    let metrics = Metrics::new().unwrap();
    let held = metrics.split("shop", "control", ["key", "random", "override", "shifted"]);
    held[0].inc_by(2);
    let again = metrics.split("shop", "control", ["key", "random", "override", "shifted"]);
    assert_eq!(again[0].get(), 2, "the same series");
    drop((held, again));
    metrics.sweep();
    assert!(!page(&metrics).contains("tidegate_split_assignments_total{"));
}

/// Debian's `prometheus` package brings promtool; without it the check is left to `make test`,
/// which installs it.
#[test]
fn promtool_has_nothing_to_say() {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("promtool is not installed; skipped");
        return;
    };
    child.stdin.take().unwrap().write_all(&full_page()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
