use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

fn compile(to: &str, status: u16) -> Result<Redirect, Vec<Problem>> {
    Redirect::compile(&live::Redirect { to: to.into(), status }, "r")
}

fn location(to: &str, path: &str, query: Option<&str>) -> String {
    let target = Target { scheme: "http", host: "a.org", port: Some(81), path, query };
    compile(to, 302).unwrap().location(&target).to_str().unwrap().to_owned()
}

#[test]
fn placeholders_are_filled() {
    for (to, path, query, want) in [
        ("https://new.org{path}", "/a%20b", Some("q"), "https://new.org/a%20b"),
        ("https://new.org{path}{query}", "/a", Some("q=1&r"), "https://new.org/a?q=1&r"),
        ("https://new.org{path}{query}", "/a", None, "https://new.org/a"),
        ("{scheme}://{host}:8443/x{path}", "/a", None, "http://a.org:8443/x/a"),
        ("{scheme}://{host}{port}/x{path}", "/a", None, "http://a.org:81/x/a"),
        ("/login", "/a", None, "/login"),
        ("/go{query}", "/a", Some(""), "/go?"),
    ] {
        assert_eq!(location(to, path, query), want);
    }
}

#[test]
fn requests_cannot_turn_it_elsewhere() {
    for (to, path, query, want) in [
        ("{path}", "//evil.org/x", None, "/evil.org/x"),
        ("/{path}", "/evil.org", None, "/evil.org"),
        ("{path}/x", "/", None, "/x"),
        ("{path}", "/\\evil.org", None, "/%5Cevil.org"),
        ("https://new.org{path}", "@evil.org", None, "https://new.org/@evil.org"),
        ("https://new.org{path}", "", None, "https://new.org/"),
        ("https://new.org{path}", "//x", None, "https://new.org//x"),
        ("/a{query}", "/", Some("x\r\nset-cookie: a#b"), "/a?x%0D%0Aset-cookie:%20a%23b"),
        ("/a{path}", "/é", None, "/a/%C3%A9"),
    ] {
        assert_eq!(location(to, path, query), want);
    }
    let target = Target { scheme: "x", host: "evil.org/?@#", port: None, path: "/", query: None };
    let redirect = compile("{scheme}://{host}/", 301).unwrap();
    assert_eq!(redirect.location(&target), "http://evil.org%2F%3F%40%23/");
}

#[test]
fn an_answer_has_no_body() {
    let target = Target { scheme: "http", host: "a.org", port: Some(81), path: "/", query: None };
    let answer = compile("/x", 308).unwrap().answer(&target);
    assert_eq!((answer.head.status.as_u16(), answer.body.len()), (308, 0));
    assert_eq!(
        (&answer.head.headers["location"], &answer.head.headers["content-length"]),
        (&"/x".parse().unwrap(), &"0".parse().unwrap())
    );
}

#[test]
fn what_is_no_redirect_is_refused() {
    for (to, status, want) in [
        (
            "/x",
            200,
            "r.status: 200 is not a redirect; use 301, 302, 303, 307 or 308; 307 and 308 keep the method",
        ),
        ("/{pth}", 302, "r.to: unknown placeholder `{pth}`; did you mean `path`?"),
        (
            "/{}",
            302,
            "r.to: unknown placeholder `{}`; there are {scheme}, {host}, {port}, {path} and {query}",
        ),
        (
            "new.org{path}",
            302,
            "r.to: `new.org{path}` is neither a URL nor a path; begin it with https://, {scheme}://{host} or /",
        ),
        (
            "//new.org",
            302,
            "r.to: `//new.org` is neither a URL nor a path; begin it with https://, {scheme}://{host} or /",
        ),
        ("/a b", 302, "r.to: `/a b` holds what may not stand in a URL; percent-encode it: a space is `%20`"),
    ] {
        let texts: Vec<_> = compile(to, status).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(texts, [want]);
    }
    assert!(compile("/{path", 302).is_err() && compile("/path}", 302).is_err());
    assert_eq!(compile("x", 99).unwrap_err().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(12), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn a_location_is_printable_and_stays_where_it_was_meant(path in ".{0,12}", query in ".{0,12}", host in ".{0,12}") {
        let target = Target { scheme: "https", host: &host, port: None, path: &path, query: Some(&query) };
        for to in ["{path}{query}", "https://new.org{path}{query}", "{scheme}://{host}{path}", "/x{path}", "/{path}", "{path}{path}", "/{query}{path}"] {
            let location = compile(to, 302).unwrap().location(&target);
            let text = location.to_str().unwrap();
            prop_assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{}", text);
            prop_assert!(!text.starts_with("//") && !text.starts_with("/\\"), "{}", text);
            prop_assert!(!to.contains("new.org") || text.starts_with("https://new.org/"), "{}", text);
        }
    }
}
