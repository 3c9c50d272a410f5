//! Names that a client may not use towards an endpoint: by them it could pretend to be a proxy.
//!
//! Many servers hand headers to the application as variables, in which `-` is written `_` (CGI, WSGI,
//! Rack, PHP; some do so with every byte that is no letter and no digit). There `X_Forwarded_For` is
//! `X-Forwarded-For`. So a name counts as alike if it differs only in such bytes, and look-alikes of
//! all that is set, removed or relied upon here are taken out: they have no honest use. Other names
//! with underscores pass.

/// What becomes of a header that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Passes,
    /// From a proxy in front that is trusted; taken out else.
    Trusted,
    /// Taken out, whoever sends it.
    Never,
}

/// Names of which Tidegate sets each that begins so.
const FAMILIES: [&str; 2] = ["x-forwarded-", "x-tidegate-"];

/// Set or relied upon here or by Pingora, and may be imitated. (A name without `-` can't.)
const OWN: [&str; 9] = [
    "x-request-id",
    "x-real-ip",
    "content-length",
    "transfer-encoding",
    "proxy-connection",
    "proxy-authorization",
    "keep-alive",
    "x-forwarded",
    "http2-settings",
];

/// Say who a client is by its certificate. [`secure`](crate::proxy::secure) has taken out what the
/// client said under these names and put in what was verified, before the request was routed.
const VERIFIED: [&str; 3] =
    ["x-forwarded-client-cert", "x-tidegate-client-spiffe-id", "x-tidegate-client-subject"];

/// Whether a look at two letters tells that a header passes, by its lower-case name. `edits`: the
/// operator edits headers, whose look-alikes go too.
pub(crate) fn is_harmless(name: &str, edits: bool) -> bool {
    // The first and the third of all names above; a look-alike differs in what is no letter only.
    let [first, _, third, ..] = name.as_bytes() else { return !edits };
    let known = match first {
        b'x' => matches!(third, b'f' | b't' | b'r'),
        b'f' => *third == b'r',
        b'c' => *third == b'n',
        b't' => *third == b'a',
        b'p' => *third == b'o',
        b'k' => *third == b'e',
        b'h' => *third == b't',
        _ => false,
    };
    !edits && !known
}

/// What becomes of a header, by its lower-case name.
pub(crate) fn fate(name: &str) -> Fate {
    if is_plain(name) {
        return plain(name);
    }
    let alike = FAMILIES.iter().any(|family| begins_alike(name, family));
    if alike || OWN.iter().any(|own| are_alike(name.as_bytes(), own.as_bytes())) {
        return Fate::Never;
    }
    Fate::Passes
}

/// Whether a name consists of letters, digits and `-`, as all names of standards do.
pub(crate) fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether two names are one to a server that tells only letters and digits apart.
pub(crate) fn are_alike(a: &[u8], b: &[u8]) -> bool {
    let folded = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| folded(*a) == folded(*b))
}

fn begins_alike(name: &str, family: &str) -> bool {
    name.as_bytes().get(..family.len()).is_some_and(|begin| are_alike(begin, family.as_bytes()))
}

fn plain(name: &str) -> Fate {
    match name.as_bytes().first() {
        Some(b'f') if name == "forwarded" => Fate::Trusted,
        Some(b'x') if VERIFIED.contains(&name) => Fate::Passes,
        Some(b'x') if name == "x-real-ip" || name.starts_with("x-tidegate-") => Fate::Never,
        Some(b'x') if name.starts_with("x-forwarded-") => Fate::Trusted,
        _ => Fate::Passes,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_pretends_goes_and_the_rest_stays() {
        for name in ["x-forwarded-for", "x-forwarded-port", "x-forwarded-prefix", "forwarded"] {
            assert_eq!(fate(name), Fate::Trusted, "{name}");
        }
        for name in [
            "x_forwarded_for",
            "x-forwarded_for",
            "x_forwarded-proto",
            "x.forwarded.host",
            "x_forwarded",
            "x-real-ip",
            "x_real_ip",
            "x_request_id",
            "x-request_id",
            "x_tidegate_variant",
            "x-tidegate-attempts",
            "x-tidegate-whatever",
            "x_tidegate_client_subject",
            "x_forwarded_client_cert",
            "content_length",
            "transfer_encoding",
            "proxy_connection",
        ] {
            assert_eq!(fate(name), Fate::Never, "{name}");
        }
        for name in
            ["x-request-id", "x-user", "x_user", "forwarded_", "accept", "x-forward", "_", "traceparent"]
        {
            assert_eq!(fate(name), Fate::Passes, "{name}");
        }
    }

    /// By the tables themselves, so that what is added to them is added to the two letters.
    #[test]
    fn what_does_not_pass_is_not_harmless() {
        let families = FAMILIES.map(|family| format!("{family}any"));
        let names = OWN.iter().chain(&VERIFIED).copied().chain(families.iter().map(String::as_str));
        for own in names.chain(["forwarded"]) {
            for mark in "-!#$%&'*+.^_`|~".chars() {
                let name = own.replace('-', &mark.to_string());
                assert!(!is_harmless(&name, false), "{name}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_harmless_passes(name in "[a-z!#$%&'*+.^_`|~-]{0,3}[a-z0-9_.-]{0,12}") {
            prop_assert!(!is_harmless(&name, false) || fate(&name) == Fate::Passes);
            prop_assert!(!is_harmless(&name, true));
        }

        /// Whatever stands for `-`, a name that is alike does not pass.
        #[test]
        fn no_spelling_gets_through(own in prop::sample::select(&[
            "x-forwarded-for", "x-request-id", "x-tidegate-variant", "x-forwarded-client-cert",
        ][..]), marks in prop::collection::vec("[!#$%&'*+.^_`|~-]", 4)) {
            let mut marks = marks.iter();
            let name: String = own.chars().map(|c| match c {
                '-' => marks.next().unwrap().chars().next().unwrap(),
                c => c,
            }).collect();
            prop_assert!(name == own || fate(&name) == Fate::Never, "{}", name);
        }
    }
}
