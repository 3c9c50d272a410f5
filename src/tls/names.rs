//! Which certificates are for a name: exact names first, then wildcards, then the first of all.
//!
//! A wildcard stands for one label (RFC 6125 6.4.3): `*.example.com` is for `a.example.com`, and not
//! for `example.com` or `a.b.example.com`. A name may have several certificates, one for each kind
//! of key; of two with the same kind the one that comes first in the config wins, as there can be
//! only one answer. A client that asks for a name that nobody has gets the default and may then
//! refuse it by itself: a handshake that fails without a certificate to look at helps nobody.

use std::collections::HashMap;

/// The certificates of each name, by index.
#[derive(Debug, Default)]
pub(crate) struct Names {
    exact: HashMap<Box<str>, Vec<usize>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Vec<usize>>,
    /// The first certificate, and those of other kinds for the same names.
    default: Vec<usize>,
}

/// What is to be known of a certificate here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// In lower case.
    pub(crate) names: &'a [Box<str>],
    /// The kind of its key.
    pub(crate) kind: i32,
}

// === impl Names ===

impl Names {
    pub(crate) fn new(entries: &[Entry<'_>]) -> Self {
        let mut all = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            for name in entry.names {
                let (map, key) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut all.wildcard, parent),
                    None => (&mut all.exact, &**name),
                };
                add(map.entry(key.into()).or_default(), index, entries);
            }
            if entry.names == entries[0].names {
                add(&mut all.default, index, entries);
            }
        }
        all
    }

    /// The certificates for what a client asks for.
    pub(crate) fn find(&self, name: Option<&str>) -> &[usize] {
        let Some(name) = name else { return &self.default };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let exact = self.exact.get(&*name);
        let found = exact.or_else(|| self.wildcard.get(name.split_once('.')?.1));
        found.unwrap_or(&self.default)
    }
}

/// Adds a certificate unless one of its kind is there.
fn add(list: &mut Vec<usize>, index: usize, entries: &[Entry<'_>]) {
    if list.iter().all(|other| entries[*other].kind != entries[index].kind) {
        list.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_then_wildcard_of_one_label_then_the_first() {
        let names = |list: &[&str]| list.iter().map(|n| Box::from(*n)).collect::<Vec<Box<str>>>();
        let lists = [
            names(&["a.test", "www.a.test"]),
            names(&["*.b.test", "b.test"]),
            names(&["x.b.test"]),
            names(&["a.test", "www.a.test"]),
            names(&["a.test"]),
        ];
        let kinds = [1, 1, 1, 2, 1];
        let entries: Vec<_> = lists.iter().zip(kinds).map(|(names, kind)| Entry { names, kind }).collect();
        let all = Names::new(&entries);
        for (asked, found) in [
            (None, &[0, 3][..]),
            (Some("a.test"), &[0, 3]),
            (Some("WWW.A.test."), &[0, 3]),
            (Some("b.test"), &[1]),
            (Some("y.b.test"), &[1]),
            (Some("x.b.test"), &[2]),
            (Some("y.x.b.test"), &[0, 3]),
            (Some("*.b.test"), &[1]),
            (Some("nowhere"), &[0, 3]),
            (Some(""), &[0, 3]),
            (Some("."), &[0, 3]),
        ] {
            assert_eq!(all.find(asked), found, "{asked:?}");
        }
    }
}
