//! Which paths there are. One table: the 404 answer lists it, and what is not in it does not exist.

use http::header::ALLOW;
use http::{Method, StatusCode};

use crate::admin::answer::Refusal;

/// One entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Dashboard,
    Script,
    Style,
    Live,
    Ready,
    Metrics,
    Snapshot,
    Routes,
    Clusters,
    Cluster,
    Splits,
    Split,
    ResetSplit,
    PreviewSplit,
    Sources,
    Register,
    Config,
    Explain,
    Drain,
    Undrain,
    DrainCluster,
    UndrainCluster,
    Reload,
}

/// A page and what stands in its placeholders, in order, percent-decoded.
pub(super) struct Found {
    pub(super) page: Page,
    pub(super) names: Vec<String>,
}

/// Path, page, and what it is in a sentence.
const TABLE: [(&str, Page, &str); 23] = [
    ("/", Page::Dashboard, "the dashboard"),
    ("/ui/app.js", Page::Script, "its script"),
    ("/ui/style.css", Page::Style, "its style"),
    ("/live", Page::Live, "200 while the process runs"),
    ("/ready", Page::Ready, "200 when traffic may come, else 503 with what is awaited"),
    ("/metrics", Page::Metrics, "Prometheus text format"),
    ("/v1/snapshot", Page::Snapshot, "the generation that serves, its digest, time and cause"),
    ("/v1/routes", Page::Routes, "the routes"),
    ("/v1/clusters", Page::Clusters, "the clusters with their endpoints"),
    ("/v1/clusters/{name}", Page::Cluster, "one cluster"),
    ("/v1/splits", Page::Splits, "the splits: weights in force, where they come from, who set them and why"),
    (
        "/v1/splits/{route}",
        Page::Split,
        "one split; PUT sets its weights: {weights, why, author, if_epoch, if_generation}",
    ),
    ("/v1/splits/{route}/reset", Page::ResetSplit, "the file's weights again"),
    ("/v1/splits/{route}/preview", Page::PreviewSplit, "which keys would move: {weights}"),
    ("/v1/sources", Page::Sources, "where endpoints come from: age, errors, what is held"),
    ("/v1/register", Page::Register, "the entry of this proxy in Consul; null: it registers nothing"),
    ("/v1/config", Page::Config, "the config that serves, secrets hidden"),
    ("/v1/explain", Page::Explain, "which route a request takes and why: {method, url, headers, ip}"),
    (
        "/v1/clusters/{name}/endpoints/{address}/drain",
        Page::Drain,
        "no new requests to this endpoint: {why, author}",
    ),
    ("/v1/clusters/{name}/endpoints/{address}/undrain", Page::Undrain, "requests to it again"),
    ("/v1/clusters/{name}/drain", Page::DrainCluster, "no new requests to this cluster: {why, author}"),
    ("/v1/clusters/{name}/undrain", Page::UndrainCluster, "requests to it again"),
    ("/v1/reload", Page::Reload, "reads the config file again"),
];

/// The page of a path.
pub(super) fn find(path: &str) -> Option<Found> {
    TABLE.iter().find_map(|(pattern, page, _)| Some(Found { page: *page, names: matches(pattern, path)? }))
}

/// 404, with what there is.
pub(super) fn unknown(path: &str) -> Refusal {
    let paths: Vec<_> = TABLE
        .iter()
        .map(|(path, page, what)| format!("{} {path}: {what}", page.methods().join(", ")))
        .collect();
    let closest = crate::config::problem::closest(path, TABLE.iter().map(|(path, ..)| *path));
    let refusal = Refusal::new(StatusCode::NOT_FOUND, format!("there is no `{path}`"));
    match closest {
        Some(path) => refusal.hint(format!("did you mean `{path}`?")),
        None => refusal.hint("see `paths`"),
    }
    .with("paths", &paths)
}

/// 405, with what is allowed.
pub(super) fn wrong_method(method: &Method, page: Page) -> Refusal {
    let allow = match page.methods() {
        ["GET", "PUT"] => "GET, HEAD, PUT",
        ["POST"] => "POST",
        _ => "GET, HEAD",
    };
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("`{method}` is not a method of this path"))
        .hint(format!("use {allow}"))
        .header(ALLOW, allow)
}

/// The placeholders' values, if the path fits the pattern.
fn matches(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return Some(names),
            (Some(p), Some(segment)) if p.starts_with('{') => names.push(decoded(segment)?),
            (Some(p), Some(segment)) if p == segment => {}
            _ => return None,
        }
    }
}

/// A segment with its `%xx` resolved. None: empty or not UTF-8, so nothing has that name.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        bytes.push(escaped.map_or(*first, |(high, low)| high << 4 | low));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

// === impl Page ===

impl Page {
    /// The methods; GET stands for HEAD too.
    fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Split => &["GET", "PUT"],
            Self::Explain | Self::Drain | Self::Undrain | Self::Reload => &["POST"],
            Self::DrainCluster | Self::UndrainCluster => &["POST"],
            Self::ResetSplit | Self::PreviewSplit => &["POST"],
            _ => &["GET"],
        }
    }

    /// Whether it takes a method.
    pub(super) fn takes(self, method: &Method) -> bool {
        self.methods().contains(&method.as_str())
    }

    /// Whether anybody may ask: load balancers and supervisors have no token, and ask under any
    /// name.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Live | Self::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Option<(Page, Vec<String>)> {
        find(path).map(|f| (f.page, f.names))
    }

    #[test]
    fn placeholders_are_whole_decoded_segments() {
        assert_eq!(found("/v1/clusters/web"), Some((Page::Cluster, vec!["web".into()])));
        let drained = found("/v1/clusters/web/endpoints/%5B::1%5d:80/drain");
        assert_eq!(drained, Some((Page::Drain, vec!["web".into(), "[::1]:80".into()])));
        for path in ["/v1/clusters/", "/v1/clusters/a/b", "/v1", "", "//", "/v1/clusters/%ff", "/Live"] {
            assert_eq!(found(path), None, "{path}");
        }
        assert_eq!(found("/v1/clusters/100%"), Some((Page::Cluster, vec!["100%".into()])));
    }

    #[test]
    fn every_entry_finds_itself() {
        for (path, page, _) in TABLE {
            assert_eq!(find(path).map(|f| f.page), Some(page), "{path}");
        }
    }
}
