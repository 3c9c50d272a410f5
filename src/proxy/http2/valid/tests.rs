use http::{HeaderName, HeaderValue, Request};

use super::*;

const MOST: Most = Most { header_bytes: 4096, headers: 10, target: 100, trace: false };

/// A request as `h2` makes it: scheme and authority stand in the URI or nowhere.
fn request(method: &str, authority: Option<&str>, path: &str, fields: &[(&str, &str)]) -> RequestHeader {
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = Some(path.parse().unwrap());
    uri.authority = authority.map(|text| text.parse().unwrap());
    uri.scheme = authority.map(|_| http::uri::Scheme::HTTP);
    let mut request = Request::builder().method(method).version(http::Version::HTTP_2);
    for (name, value) in fields {
        let (name, value) = (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.as_bytes());
        request = request.header(name, HeaderValue::from_bytes(value).unwrap());
    }
    request.uri(http::Uri::from_parts(uri).unwrap()).body(()).unwrap().into_parts().0.into()
}

fn judged(request: &RequestHeader, ended: bool) -> Option<(Reason, u16)> {
    check(request, ended, &MOST).err().map(|fault| (fault.reason, fault.status))
}

#[test]
fn targets_and_methods() {
    let long = format!("/{}", "a".repeat(100));
    for (method, path, fault) in [
        ("GET", "/", None),
        ("GET", "/a?b=%20", None),
        ("OPTIONS", "*", None),
        ("PROPFIND", "/", None),
        ("GET", "/a\"b", Some((Reason::Target, 400))),
        ("GET", "*", Some((Reason::Target, 400))),
        ("GET", "/\u{e4}", Some((Reason::Target, 400))),
        ("GET", long.as_str(), Some((Reason::Large, 414))),
        ("TRACE", "/", Some((Reason::Method, 405))),
        ("CONNECT", "/", Some((Reason::Method, 405))),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "/", Some((Reason::Method, 501))),
    ] {
        assert_eq!(judged(&request(method, Some("h"), path, &[]), true), fault, "{method} {path}");
    }
    let trace = Most { trace: true, ..MOST };
    assert!(check(&request("TRACE", Some("h"), "/", &[]), true, &trace).is_ok());
}

#[test]
fn authority_and_host_are_one() {
    let bad = Some((Reason::Host, 400));
    for (authority, hosts, fault) in [
        (Some("a.b"), &[][..], None),
        (None, &["a.b"], None),
        (Some("a.b"), &["A.b"], None),
        (Some("a.b"), &["a.c"], bad),
        (Some("a.b"), &["a.b:80"], bad),
        (Some("a.b"), &["a.b", "a.b"], bad),
        (None, &[], bad),
        (Some("u@a.b"), &[], bad),
        (Some("a.b"), &[""], bad),
    ] {
        let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        let request = request("GET", authority, "/", &fields);
        assert_eq!(judged(&request, true), fault, "{authority:?} {hosts:?}");
    }
}

#[test]
fn fields_are_counted_and_lengths_fit() {
    let bad = Some((Reason::Malformed, 400));
    let size = Some((Reason::Large, 431));
    let large = "v".repeat(4096);
    for (fields, ended, fault) in [
        (&[("x", "y"); 10][..], true, None),
        (&[("x", "y"); 11], true, size),
        (&[("x", large.as_str())], true, size),
        (&[("x", " y")], true, bad),
        (&[("x", "y\t")], true, bad),
        (&[("content-length", "3")], false, None),
        (&[("content-length", "0")], true, None),
        (&[("content-length", "3")], true, bad),
        (&[("content-length", "3"), ("content-length", "3")], false, bad),
        (&[("content-length", "3, 3")], false, bad),
        (&[("content-length", "+3")], false, bad),
        (&[("content-length", "")], false, bad),
        (&[("content-length", "99999999999999999999")], false, bad),
    ] {
        assert_eq!(judged(&request("POST", Some("h"), "/", fields), ended), fault, "{fields:?}");
    }
}

#[test]
fn the_authority_becomes_the_host() {
    for (authority, host) in [(Some("a.b:8"), None), (Some("a.b"), Some("A.B")), (None, Some("a.b"))] {
        let fields: Vec<_> = host.iter().map(|host| ("host", *host)).collect();
        let mut request = request("GET", authority, "/a?b", &fields);
        settle(&mut request);
        let hosts: Vec<_> = request.headers.get_all("host").iter().collect();
        assert_eq!(hosts, [authority.or(host).unwrap()]);
        assert_eq!((request.uri.authority(), request.raw_path()), (None, &b"/a?b"[..]));
    }
}
