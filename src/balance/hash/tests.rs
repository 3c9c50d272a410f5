use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines
        .iter()
        .map(|&(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

fn header(name: &str) -> HashKey {
    HashKey::Header(name.into())
}

fn cookie_key(name: &str) -> HashKey {
    HashKey::Cookie(name.into())
}

fn query_key(name: &str) -> HashKey {
    HashKey::Query(name.into())
}

fn hash(value: &str) -> Option<u64> {
    Some(xxh3_64(value.as_bytes()))
}

#[test]
fn the_first_part_that_is_present_wins() {
    let keys = [header("X-User"), cookie_key("sid"), query_key("u"), HashKey::SourceIp];
    let policy = HashPolicy::new(&keys).unwrap();
    let (ip, query) = (Some("192.0.2.1".parse().unwrap()), Some("u=q&u=z"));
    let all = headers(&[("x-user", "h"), ("cookie", "sid=c")]);
    assert_eq!(policy.key(&all, query, ip), hash("h"));
    let no_header = headers(&[("x-user", ""), ("cookie", "sid=c")]);
    assert_eq!(policy.key(&no_header, query, ip), hash("c"), "an empty value is absent");
    assert_eq!(policy.key(&headers(&[]), query, ip), hash("q"));
    assert_eq!(policy.key(&headers(&[]), Some("u&v=1"), ip), Some(xxh3_64(&[192, 0, 2, 1])));
    assert_eq!(policy.key(&headers(&[]), None, None), None);
    assert_eq!(HashPolicy::default().key(&all, query, ip), None);
}

#[test]
fn a_header_counts_by_its_first_value() {
    let policy = HashPolicy::new(&[header("x-user")]).unwrap();
    let mut map = headers(&[("x-user", "first")]);
    map.append("x-user", HeaderValue::from_static("second"));
    assert_eq!(policy.key(&map, None, None), hash("first"));
}

#[test]
fn cookies_are_found_in_any_line_at_any_place() {
    let policy = HashPolicy::new(&[cookie_key("sid")]).unwrap();
    let mut map = headers(&[("cookie", "a=1; xsid=no;sid2=no; SID=no")]);
    assert_eq!(policy.key(&map, None, None), None);
    map.append("cookie", HeaderValue::from_static("junk; b=2;  sid = a=b ; sid=later"));
    assert_eq!(policy.key(&map, None, None), hash("a=b"));
}

#[test]
fn query_names_are_case_sensitive_and_values_are_not_decoded() {
    let policy = HashPolicy::new(&[query_key("u")]).unwrap();
    let none = HeaderMap::new();
    assert_eq!(policy.key(&none, Some("U=1&uu=2&u=a%20b=c&u=3"), None), hash("a%20b=c"));
    assert_eq!(policy.key(&none, Some(""), None), None);
}

#[test]
fn a_mapped_address_is_the_ipv4_one() {
    let policy = HashPolicy::new(&[HashKey::SourceIp]).unwrap();
    let of = |ip: &str| policy.key(&HeaderMap::new(), None, Some(ip.parse().unwrap()));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("2001:db8::1"), of("2001:db8::2"));
}

#[test]
fn impossible_names_are_errors() {
    for key in
        [header("x user"), header(""), cookie_key(""), cookie_key("a=b"), query_key(""), query_key("a&b")]
    {
        assert!(HashPolicy::new(std::slice::from_ref(&key)).is_err(), "{key:?}");
    }
}

proptest! {
    #[test]
    fn no_input_panics(line in prop::collection::vec(any::<u8>(), 0..60), query in "\\PC*") {
        let policy = HashPolicy::new(&[cookie_key("a"), query_key("b")]).unwrap();
        let mut map = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            map.insert("cookie", value);
        }
        policy.key(&map, Some(&query), None);
    }
}

proptest! {
    /// The quick search against the words of the RFC: pairs between semicolons, blanks around their parts.
    #[test]
    fn a_cookie_is_found_where_a_naive_search_finds_it(
        line in "[ a;=b\t]{0,24}", name in "[ab]{1,2}",
    ) {
        let naive = line.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        });
        let found = in_line(line.as_bytes(), name.as_bytes()).map(|value| String::from_utf8(value.to_vec()).unwrap());
        prop_assert_eq!(found, naive, "{:?}", line);
    }
}
