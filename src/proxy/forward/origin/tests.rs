use std::net::Ipv4Addr;

use http::HeaderName;
use proptest::prelude::*;

use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    let mut map = HeaderMap::new();
    for (name, value) in lines.iter().map(pair) {
        map.append(name, value);
    }
    map
}

/// 10.0.0.0/8 is trusted.
fn trusts(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10)
}

fn client(lines: &[(&'static str, &str)]) -> String {
    Origin::find(&headers(lines), "10.0.0.1".parse().unwrap(), trusts).unwrap().client.to_string()
}

#[test]
fn a_stranger_is_not_asked() {
    let lines = headers(&[("x-forwarded-for", "10.0.0.7"), ("forwarded", "for=10.0.0.7")]);
    assert_eq!(Origin::find(&lines, "192.0.2.1".parse().unwrap(), trusts), None);
}

#[test]
fn the_client_is_the_last_that_is_not_trusted() {
    for (line, found) in [
        ("192.0.2.7", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7, 10.0.0.2,10.1.2.3", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7:4711, 10.0.0.2:80", "192.0.2.7"),
        ("[2001:db8::1]:99, 10.0.0.2", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
        // What cannot be read ends the way.
        ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
        ("6.6.6.6, , 10.0.0.2", "10.0.0.2"),
        ("6.6.6.6,", "10.0.0.1"),
        ("", "10.0.0.1"),
    ] {
        assert_eq!(client(&[("x-forwarded-for", line)]), found, "{line}");
    }
    assert_eq!(client(&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.7")]), "192.0.2.7");
    assert_eq!(client(&[]), "10.0.0.1");
}

#[test]
fn forwarded_is_read_where_the_other_is_missing() {
    for (line, found) in [
        ("for=6.6.6.6, for=192.0.2.7;proto=https", "192.0.2.7"),
        ("for=192.0.2.7, for=\"10.0.0.2:80\";by=_x", "192.0.2.7"),
        ("for=\"[2001:db8::1]\"", "2001:db8::1"),
        ("for=6.6.6.6, for=_hidden, for=10.0.0.2", "10.0.0.2"),
        // A quote that is never closed is no way to hide what is after it.
        ("for=6.6.6.6;host=\"x, for=192.0.2.7", "192.0.2.7"),
        ("for=\"192.0.2.7", "10.0.0.1"),
        ("by=10.0.0.2", "10.0.0.1"),
    ] {
        assert_eq!(client(&[("forwarded", line)]), found, "{line}");
    }
    let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "192.0.2.7")];
    assert_eq!(client(&both), "192.0.2.7");
}

#[test]
fn scheme_and_host_are_those_of_the_proxy_next_to_us() {
    let find =
        |lines: &[_]| Origin::find(&headers(lines), "10.0.0.1".parse().unwrap(), trusts).unwrap().https;
    assert_eq!(find(&[("x-forwarded-proto", "https")]), Some(true));
    assert_eq!(find(&[("x-forwarded-proto", "https, http")]), Some(false));
    assert_eq!(find(&[("x-forwarded-proto", "gopher")]), None);
    assert_eq!(find(&[("forwarded", "for=192.0.2.7;proto=https, for=10.0.0.2;proto=http")]), Some(true));
    let asked = |lines: &[_]| host(&headers(lines)).map(|host| host.to_str().unwrap().to_owned());
    assert_eq!(asked(&[("x-forwarded-host", "a, b:81")]).as_deref(), Some("b:81"));
    assert_eq!(asked(&[("x-forwarded-host", "b/@")]), None);
    assert_eq!(asked(&[("forwarded", "host=\"c:81\"")]).as_deref(), Some("c:81"));
}

proptest! {
    /// Trusted proxies add whom they were asked by. Whatever a client sends, the client is itself.
    #[test]
    fn nobody_chooses_an_address(
        sent in "[ -~]{0,80}",
        lines in 0..3_usize,
        own in any::<Ipv4Addr>().prop_filter("a stranger", |ip| ip.octets()[0] != 10),
        hops in prop::collection::vec(any::<[u8; 3]>(), 0..4),
        rfc in any::<bool>(),
        apart in any::<bool>(),
    ) {
        let name = if rfc { "forwarded" } else { "x-forwarded-for" };
        let mut map = HeaderMap::new();
        for _ in 0..lines {
            map.append(name, HeaderValue::from_str(&sent).unwrap());
        }
        if rfc {
            // It sends the other one too, and is known to take it out.
            map.append("x-real-ip", HeaderValue::from_static("6.6.6.6"));
        } else {
            map.append("forwarded", HeaderValue::from_static("for=6.6.6.6"));
        }
        let mut from = IpAddr::V4(own);
        for hop in hops {
            add(&mut map, name, from, rfc, apart);
            from = Ipv4Addr::new(10, hop[0], hop[1], hop[2]).into();
        }
        let found = Origin::find(&map, from, trusts).map_or(from, |origin| origin.client);
        prop_assert_eq!(found, IpAddr::V4(own));
    }
}

/// A proxy adds an entry, to the last line or as a line of its own.
fn add(map: &mut HeaderMap, name: &'static str, from: IpAddr, rfc: bool, apart: bool) {
    let entry = if rfc { rfc7239::write(Some(from), "http", Some("h:1")) } else { from.to_string() };
    let before: Vec<_> = map.get_all(name).iter().cloned().collect();
    if apart || before.is_empty() {
        map.append(name, HeaderValue::from_str(&entry).unwrap());
        return;
    }
    map.remove(name);
    let (last, others) = before.split_last().unwrap();
    for line in others {
        map.append(name, line.clone());
    }
    let joined = format!("{}, {entry}", last.to_str().unwrap());
    map.append(name, HeaderValue::from_str(&joined).unwrap());
}
