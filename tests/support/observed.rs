//! What a running process says of its requests: the lines of its access log, the values of its
//! metrics.

use std::time::Duration;

use serde_json::Value;

use super::TidegateProcess;
use super::wait::eventually;

impl TidegateProcess {
    /// The lines of the access log so far (it goes to stdout unless the test's config says
    /// otherwise).
    pub fn access_log(&self) -> Vec<Value> {
        let text = self.stdout();
        // A line that is still being written is not one yet.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let lines = text[..whole].lines().filter(|line| line.starts_with('{'));
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// Waits for a line of the access log that `fits`. Panics after 5 s.
    pub async fn logged(&self, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(Duration::from_secs(5), async || {
            let lines = self.access_log();
            lines.iter().find(|line| fits(line)).cloned().ok_or_else(|| format!("{lines:#?}"))
        })
        .await
    }

    /// The sum of a metric's series whose labels hold each of `labels`, as `route="shop"`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (status, text) = self.admin_get("/metrics").await.unwrap();
        assert_eq!(status, 200, "{text}");
        let series = text.lines().filter_map(|line| line.rsplit_once(' ')).filter(|(series, _)| {
            let (found, of) = series.split_once('{').unwrap_or((series, ""));
            found == name && labels.iter().all(|label| of.contains(label))
        });
        series.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }
}
