use super::*;

#[test]
fn spans_read_and_print() {
    for (text, millis) in
        [("250ms", 250), ("5s", 5_000), ("10m", 600_000), ("1m30s", 90_000), ("0", 0), ("0s", 0)]
    {
        assert_eq!(text.parse::<Span>().unwrap().0.as_millis(), millis, "{text}");
    }
    for text in ["", "5", "s", "5 s", "-1s", "1.5s", "99999999999999999999d", "18446744073709551615d", "5sec"]
    {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
    assert_eq!(Span::secs(90).to_string(), "90s");
    assert_eq!(Span::secs(120).to_string(), "2m");
}

#[test]
fn sizes_read() {
    assert_eq!("64KiB".parse::<Size>().unwrap().0, 65_536);
    assert!("64KB".parse::<Size>().is_err());
    assert!("18446744073709551615GiB".parse::<Size>().is_err());
}

#[test]
fn hosts_read() {
    assert_eq!("Shop.Example.com.".parse(), Ok(HostPattern::Exact("shop.example.com".into())));
    assert_eq!("*.example.com".parse(), Ok(HostPattern::Suffix(".example.com".into())));
    assert_eq!("[::1]".parse(), Ok(HostPattern::Exact("[::1]".into())));
    for text in ["", "*", "a.*.b", "host:80", "a..b", "*.", "[::1", "a b", "http://x"] {
        assert!(text.parse::<HostPattern>().is_err(), "{text}");
    }
}

#[test]
fn secrets_do_not_show() {
    let secret = Secret::new("hush");
    assert_eq!(format!("{secret:?}"), "<secret>");
    assert_eq!(serde_json::to_string(&secret).unwrap(), "\"<secret>\"");
}
