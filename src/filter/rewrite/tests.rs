use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

fn prefix(path: Option<PathMatch>, to: &str) -> Rewrite {
    let rewrite = live::Rewrite { prefix: Some(to.into()), regex: None, to: None };
    Rewrite::compile(&rewrite, path.as_ref(), "r").unwrap()
}

fn regex(regex: &str, to: &str) -> Result<Rewrite, Vec<Problem>> {
    let rewrite = live::Rewrite { prefix: None, regex: Some(regex.into()), to: Some(to.into()) };
    Rewrite::compile(&rewrite, None, "r")
}

#[test]
fn prefixes_neither_double_nor_lose_slashes() {
    for (matched, to, path, want) in [
        ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz", "/foo", "/xyz"),
        ("/foo", "/xyz", "/foo/", "/xyz/"),
        ("/foo", "/xyz/", "/foo", "/xyz/"),
        ("/foo", "/xyz/", "/foo/", "/xyz/"),
        ("/foo", "", "/foo/bar", "/bar"),
        ("/foo", "/", "/foo/bar", "/bar"),
        ("/foo", "", "/foo", "/"),
        ("/foo", "", "/foo/", "/"),
        ("/foo", "/", "/foo", "/"),
        ("/foo", "/", "/foo/", "/"),
        ("/foo", "/xyz", "/foo//bar", "/xyz//bar"),
        ("/foo", "/xyz", "/foo/%2F", "/xyz/%2F"),
        ("/", "/v2", "/a", "/v2/a"),
        ("/", "/v2/", "/a", "/v2/a"),
        ("/", "/v2", "/", "/v2/"),
        ("/", "/", "/a", "/a"),
        ("/foo", "/xyz", "/foobar", "/foobar"),
        ("/", "/v2", "*", "*"),
    ] {
        let rewrite = prefix(Some(PathMatch::Prefix(matched.into())), to);
        assert_eq!(rewrite.path(path), want, "{matched} -> {to}: {path}");
    }
    assert_eq!(prefix(None, "/v2").path("/a"), "/v2/a");
    assert_eq!(prefix(Some(PathMatch::Exact("/a".into())), "/b/c").path("/a"), "/b/c");
    assert_eq!(prefix(Some(PathMatch::Exact("/a".into())), "").path("/a"), "/");
}

#[test]
fn regexes_replace_the_first_match_once() {
    for (source, to, path, want) in [
        ("^/a/(.*)", "/b/$1", "/a/x/y", "/b/x/y"),
        ("^/a/(.*)", "$1", "/a/x", "/x"),
        ("^/a/(.*)", "$1", "/a/", "/"),
        ("a", "b", "/a/a", "/b/a"),
        ("/(?<user>[^/]+)/(?<rest>.*)", "/${rest}/$1a/${user}", "/u/r", "/r/ua/u"),
        ("(x)?/a", "/$1b", "/a", "/b"),
        ("/a", "/$$1", "/a", "/$1"),
        (".*", "", "/a", "/"),
        ("nope", "/x", "/a", "/a"),
        ("^/a(.)", "/$1", "/aé", "/é"),
    ] {
        assert_eq!(regex(source, to).unwrap().path(path), want, "{source} -> {to}: {path}");
    }
}

#[test]
fn what_cannot_be_rewritten_is_refused() {
    let texts = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    for (source, to, want) in [
        (
            "/a",
            "/$1",
            "r.to: the regex has no group `1`; the regex has no groups; put (...) around what is to be kept",
        ),
        ("/(a)", "/$2", "r.to: the regex has no group `2`; the regex has the groups 1 to 1"),
        ("/(?<user>a)", "/${usr}", "r.to: the regex has no group `usr`; did you mean `user`?"),
        ("/a", "/$x", "r.to: `/$x` has a `$` that names no group; write $1 or ${name}, and $$ for a dollar"),
        (
            "/a",
            "/${x",
            "r.to: `/${x` has a `$` that names no group; write $1 or ${name}, and $$ for a dollar",
        ),
        (
            "/a",
            "/b?x=1",
            "r.to: `/b?x=1` holds a query or fragment; only the path is rewritten; the query stays as it is",
        ),
        (
            "/a",
            "/b c",
            "r.to: `/b c` holds what may not stand in a path; percent-encode it: a space is `%20`",
        ),
        (
            "/a",
            "/b\r\n",
            "r.to: `/b\r\n` holds what may not stand in a path; percent-encode it: a space is `%20`",
        ),
    ] {
        assert_eq!(texts(regex(source, to).unwrap_err()), [want]);
    }
    let both = regex("(", "?").unwrap_err();
    assert_eq!(both.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), ["r.regex", "r.to"]);

    let compile = |prefix: Option<&str>, regex: Option<&str>, path: Option<PathMatch>| {
        let rewrite =
            live::Rewrite { prefix: prefix.map(Into::into), regex: regex.map(Into::into), to: None };
        texts(Rewrite::compile(&rewrite, path.as_ref(), "r").unwrap_err()).concat()
    };
    assert!(compile(None, None, None).starts_with("r: a rewrite needs either"));
    assert!(compile(None, Some("/a"), None).starts_with("r: a rewrite needs either"));
    assert!(compile(Some("/a"), Some("/a"), None).starts_with("r: a rewrite needs either"));
    assert!(compile(Some("v2"), None, None).ends_with("write `/v2`"));
    let by_regex = Some(PathMatch::Regex("/a".into()));
    assert!(compile(Some("/v2"), None, by_regex).contains("matches no prefix"));
}

#[test]
fn requests_keep_their_query_and_authority() {
    let rewrite = prefix(Some(PathMatch::Prefix("/a".into())), "/b");
    for (target, want) in [
        (&b"/a/x?q=/a&r"[..], "/b/x?q=/a&r"),
        (b"/a", "/b"),
        (b"/a?", "/b?"),
        (b"/other?x", "/other?x"),
        (b"*", "*"),
        (b"http://host/a/x?q", "/b/x?q"),
        (b"/a/\xff?q=\xfe", "/b/%FF?q=%FE"),
        ("/a/é".as_bytes(), "/b/é"),
    ] {
        let mut request = RequestHeader::build("GET", target, None).unwrap();
        rewrite.request(&mut request).unwrap();
        assert_eq!(String::from_utf8_lossy(request.raw_path()), want);
    }
    let mut request = RequestHeader::build("GET", b"/", None).unwrap();
    request.set_uri("https://host:1/a/x?q".parse().unwrap());
    rewrite.request(&mut request).unwrap();
    assert_eq!(request.uri.to_string(), "https://host:1/b/x?q");
}

#[test]
fn a_target_that_grows_too_long_is_told() {
    let rewrite = prefix(None, "/0123456789");
    let mut request =
        RequestHeader::build("GET", format!("/{}", "a".repeat(65_530)).as_bytes(), None).unwrap();
    assert_eq!(rewrite.request(&mut request), Err(TooLong));
    assert!(request.raw_path().starts_with(b"/aa"), "as it was");
}

fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(11), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_path_always_starts_with_a_slash(
        path in "/[a/b.%2é]{0,8}", matched in "/[ab/]{0,3}", to in "(/[ab/]{0,3})?",
        source in prop::sample::select(vec!["^/", "/a", "(.)", "^(.*)$", "/([ab]*)/?(.*)", "a*"]),
        template in prop::sample::select(vec!["", "$0", "x", "${0}x$0", "/", "$$"]),
    ) {
        for rewrite in [prefix(Some(PathMatch::Prefix(matched)), &to), regex(source, template).unwrap()] {
            let new = rewrite.path(&path);
            prop_assert!(new.starts_with('/'), "{path} -> {new}");
            let mut request = RequestHeader::build("GET", format!("{path}?q").as_bytes(), None).unwrap();
            rewrite.request(&mut request).unwrap();
            prop_assert_eq!(request.uri.to_string(), format!("{new}?q"));
        }
    }

    #[test]
    fn a_prefix_comes_back_by_the_opposite_rewrite(rest in "(/[ab]{1,3}){0,3}/?") {
        let there = prefix(Some(PathMatch::Prefix("/from".into())), "/to/x");
        let back = prefix(Some(PathMatch::Prefix("/to/x".into())), "/from");
        let path = format!("/from{rest}");
        prop_assert_eq!(back.path(&there.path(&path)).into_owned(), path);
    }
}
