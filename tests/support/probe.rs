//! Looking at a running Tidegate from outside: who answered, what the metrics say, what the process
//! costs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::TidegateProcess;

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub rss_kib: u64,
    pub fds: usize,
    pub threads: usize,
}

impl Cost {
    /// Of a live process.
    pub fn of(pid: u32) -> Self {
        let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        let count = |what| std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
        Self { rss_kib: pages * 4, fds: count("fd"), threads: count("task") }
    }
}

/// Status and `x-backend` (empty: none) of a GET. `Err`: no answer.
pub async fn ask(client: &reqwest::Client, url: &str) -> Result<(u16, String), String> {
    let response = client.get(url).send().await.map_err(|e| format!("{e:?}"))?;
    let status = response.status().as_u16();
    let backend =
        response.headers().get("x-backend").map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    response.bytes().await.map_err(|e| format!("{e:?}"))?;
    Ok((status, backend.unwrap_or_default()))
}

/// How many of `n` requests, one after the other, each backend answered. Panics unless all are 200.
pub async fn shares(client: &reqwest::Client, url: &str, n: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..n {
        let (status, backend) = ask(client, url).await.unwrap();
        assert_eq!(status, 200, "{url}");
        *shares.entry(backend).or_default() += 1;
    }
    shares
}

/// The value of a series of `/metrics`, its name written as there: `name{label="value"}`. None:
/// there is no such series.
pub async fn metric(tidegate: &TidegateProcess, series: &str) -> Option<f64> {
    let page = tidegate.admin_get("/metrics").await.unwrap().1;
    let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
}

/// The entry of a cluster in `/v1/sources`; null: there is none.
pub async fn source(tidegate: &TidegateProcess, cluster: &str) -> serde_json::Value {
    let all = tidegate.admin_json("/v1/sources").await;
    all.as_array().unwrap().iter().find(|s| s["cluster"] == cluster).cloned().unwrap_or_default()
}

/// The value below which `share` of the times are; the largest for 1.0.
pub fn quantile(times: &[Duration], share: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// `p50 1.2 ms, p95 3.4 ms, max 5.6 ms`.
pub fn figures(times: &[Duration]) -> String {
    let ms = |share| quantile(times, share).as_secs_f64() * 1e3;
    format!("p50 {:.1} ms, p95 {:.1} ms, max {:.1} ms (n={})", ms(0.5), ms(0.95), ms(1.0), times.len())
}

/// Whether the long tests run in full.
pub fn long() -> bool {
    std::env::var("TIDEGATE_LONG").is_ok_and(|v| v == "1")
}
