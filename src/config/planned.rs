//! The keys that the design names and this version does not serve yet.
//!
//! A config written for a later version must not half work here: a `split` that is skipped sends
//! all traffic one way, a `tls` that is skipped serves in clear. So these keys are refused by name,
//! with what to use until then. When one becomes served, its row goes; nothing else here needs a
//! change.

/// A key that is not served yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The mapping it stands in: a config path in which `[]` is any item and `*` any name; the top
    /// is empty.
    pub place: &'static str,
    pub key: &'static str,
    /// What to use instead, or how to go on without.
    pub instead: &'static str,
}

/// Every such key.
pub const PLANNED: &[Planned] = &[
    row("clusters.*", "etcd", OTHER_SOURCE),
    row("clusters.*", "zookeeper", OTHER_SOURCE),
    row("clusters.*", "kubernetes", OTHER_SOURCE),
    row("clusters.*", "xds", OTHER_SOURCE),
    row("", "tracing", "leave it out; `x-request-id` ties log lines together"),
];

const OTHER_SOURCE: &str = "use `consul`, `static` or `dns`";

const fn row(place: &'static str, key: &'static str, instead: &'static str) -> Planned {
    Planned { place, key, instead }
}

/// The row of a key, if it is one of these.
pub fn find(place: &str, key: &str) -> Option<&'static Planned> {
    PLANNED.iter().find(|p| p.place == place && p.key == key)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load::attempt_text;

    /// A config with one key more, at the place of a row.
    fn with(place: &str, key: &str) -> String {
        let at = |here: &str| if here == place { format!(", {key}: {{}}") } else { String::new() };
        let top = if place.is_empty() { format!("{key}: {{}}\n") } else { String::new() };
        format!(
            "{top}listeners: [ {{ name: http, address: \"127.0.0.1:8080\"{} }} ]\n\
             clusters: {{ c: {{ consul: {{ service: c }}, load_balancing: {{ policy: random{} }}{} }} }}\n\
             routes: [ {{ name: r, cluster: c, retry: {{ attempts: 2{} }}{} }} ]\n",
            at("listeners[]"),
            at("clusters.*.load_balancing"),
            at("clusters.*"),
            at("routes[].retry"),
            at("routes[]"),
        )
    }

    #[test]
    fn each_row_is_refused_by_name_and_nothing_else_is_told() {
        for Planned { place, key, instead } in PLANNED {
            let problems = attempt_text(&with(place, key), Path::new("t.yaml"), &|_| None).problems;
            assert_eq!(problems.len(), 1, "{place} {key}: {problems:?}");
            assert_eq!(problems[0].what, format!("`{key}` is not served by this version yet"));
            assert_eq!(problems[0].hint.as_deref(), Some(*instead));
        }
        let fine = attempt_text(&with("nowhere", "x"), Path::new("t.yaml"), &|_| None);
        assert!(fine.finish().is_ok());
    }
}
