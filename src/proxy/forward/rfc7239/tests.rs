use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> Option<Node> {
    Some(Node::Address(text.parse().unwrap()))
}

fn one(line: &str) -> Option<Element<'_>> {
    split_last(line).1
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    for (line, client) in [
        ("for=\"_gazonk\"", Some(Node::Hidden)),
        ("For=\"[2001:db8:cafe::17]:4711\"", ip("2001:db8:cafe::17")),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", ip("192.0.2.60")),
        ("for=192.0.2.43, for=198.51.100.17", ip("198.51.100.17")),
        ("for=\"192.0.2.43:47011\"", ip("192.0.2.43")),
        ("for=unknown", Some(Node::Hidden)),
        ("for=\"_x:_port\"", Some(Node::Hidden)),
        ("for=\"[::ffff:192.0.2.1]\"", ip("192.0.2.1")),
        ("proto=https", None),
    ] {
        assert_eq!(one(line).map(|e| e.client), Some(client), "{line}");
    }
    let element = one("for=192.0.2.1;proto=https;host=\"a\\\"b, for=6.6.6.6;x=\\\"\"").unwrap();
    assert_eq!(element.proto.as_deref(), Some("https"));
    assert_eq!(element.host.as_deref(), Some("a\"b, for=6.6.6.6;x=\""));
    assert_eq!(element.client, ip("192.0.2.1"));
}

#[test]
fn what_is_no_element_is_none() {
    for line in [
        "",
        ";",
        "for",
        "for=",
        "for=2001:db8::1",
        "for=[2001:db8::1]",
        "for=1.2.3",
        "for=1.2.3.4:80",
        "for=\"1.2.3.4",
        "for=\"a\"b\"",
        "for=1.2.3.4;for=1.2.3.4",
        "for=1.2.3.4 ;; proto=http",
        "fo r=1.2.3.4",
        "for=_",
        "for=\"[::1\"",
        "for=\"1.2.3.4:999999\"",
        "for=\"1.2.3.4\\\"",
    ] {
        assert_eq!(one(line), None, "{line}");
    }
}

#[test]
fn addresses_come_with_and_without_ports() {
    for (text, address_is) in [
        ("192.0.2.1", Some("192.0.2.1")),
        (" 192.0.2.1:80\t", Some("192.0.2.1")),
        ("2001:db8::1", Some("2001:db8::1")),
        ("[2001:db8::1]", Some("2001:db8::1")),
        ("[2001:db8::1]:443", Some("2001:db8::1")),
        ("::ffff:192.0.2.1", Some("192.0.2.1")),
        ("unknown", None),
        ("", None),
        ("192.0.2.1 6.6.6.6", None),
        ("\"192.0.2.1\"", None),
        ("fe80::1%eth0", None),
    ] {
        assert_eq!(address(text), address_is.map(|ip| ip.parse().unwrap()), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(line in ".*") {
        let mut rest = Some(line.as_str());
        while let Some(text) = rest {
            let before = text.len();
            rest = split_last(text).0;
            prop_assert!(rest.is_none_or(|rest| rest.len() < before));
        }
        address(&line);
    }

    /// Whatever a stranger put in front, the last element is ours.
    #[test]
    fn nothing_in_front_changes_the_last_element(
        front in ".{0,60}", ip in any::<IpAddr>(), host in "[ -~]{0,20}", https in any::<bool>(),
    ) {
        let proto = if https { "https" } else { "http" };
        let own = write(Some(ip), proto, Some(&host));
        let line = format!("{front}, {own}");
        let (rest, element) = split_last(&line);
        prop_assert_eq!(rest, Some(front.as_str()));
        let element = element.unwrap();
        prop_assert_eq!(element.client, Some(Node::Address(ip.to_canonical())));
        prop_assert_eq!(element.proto.as_deref(), Some(proto));
        prop_assert_eq!(element.host.as_deref().unwrap_or_default(), host);
    }

    #[test]
    fn made_of_its_own_alphabet_nothing_panics(line in "[for=\"\\\\,;:_\\[\\]0-9a. ]{0,60}") {
        let mut rest = Some(line.as_str());
        while let Some(text) = rest {
            rest = split_last(text).0;
        }
    }
}
