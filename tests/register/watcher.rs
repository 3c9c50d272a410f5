//! A blocking query that writes down each of its returns.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;

use super::support::{Agent, eventually, http};

/// IDs with the worst status of their checks, sorted.
pub(crate) type Set = Vec<(String, String)>;

pub(crate) struct Watcher {
    returns: Arc<Mutex<Vec<Set>>>,
    task: JoinHandle<()>,
}

impl Watcher {
    pub(crate) fn start(agent: &Agent, service: &str) -> Self {
        let url = format!("http://{}/v1/health/service/{service}", agent.address());
        let returns = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(watch(url, returns.clone()));
        Self { returns, task }
    }

    /// How often the query returned.
    pub(crate) fn count(&self) -> usize {
        self.returns.lock().unwrap().len()
    }

    pub(crate) fn all(&self) -> Vec<Set> {
        self.returns.lock().unwrap().clone()
    }

    /// Waits until the last return fits.
    pub(crate) async fn until(&self, deadline: Duration, fits: impl Fn(&[(String, String)]) -> bool) {
        eventually(deadline, async || {
            let all = self.all();
            if all.last().is_some_and(|last| fits(last)) { Ok(()) } else { Err(format!("{all:?}")) }
        })
        .await;
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(url: String, returns: Arc<Mutex<Vec<Set>>>) {
    let client = http::client();
    let mut index = 0;
    loop {
        let asked = client.get(format!("{url}?index={index}&wait=60s")).timeout(Duration::from_secs(80));
        let Ok(answer) = asked.send().await else {
            index = 0;
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let found = answer.headers().get("x-consul-index").and_then(|v| v.to_str().ok()?.parse().ok());
        let (Some(found), Ok(body)) = (found, answer.json::<Value>().await) else {
            index = 0;
            continue;
        };
        // An agent without data starts to count anew.
        if found < index {
            index = 0;
            continue;
        }
        if found > index {
            returns.lock().unwrap().push(set(&body));
        }
        index = found;
    }
}

fn set(body: &Value) -> Set {
    let rank = |status: &str| ["passing", "warning", "critical"].iter().position(|s| *s == status);
    let mut set: Set = body
        .as_array()
        .into_iter()
        .flatten()
        .map(|instance| {
            let checks = instance["Checks"].as_array().into_iter().flatten();
            let worst = checks.filter_map(|check| check["Status"].as_str()).max_by_key(|s| rank(s));
            (instance["Service"]["ID"].as_str().unwrap().to_owned(), worst.unwrap_or("passing").to_owned())
        })
        .collect();
    set.sort();
    set
}
