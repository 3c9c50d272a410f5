use super::*;
use crate::config::live;
use crate::consul::client::Answer;
use crate::consul::{Pause, Settings};

fn folder() -> Folder {
    let file = live::Consul { address: Some("127.0.0.1:1".into()), ..Default::default() };
    let client = Client::new(&Settings::resolve(&file, &|_| None).unwrap()).unwrap();
    Folder::new(client, Prefix::parse("/tidegate/splits/").unwrap())
}

fn found(body: &str) -> Found {
    let (took, lag) = (Duration::ZERO, Duration::ZERO);
    let answer = Answer { index: 1, known_leader: true, lag, took, body: body.into() };
    Found { answer, absent: false }
}

#[test]
fn a_prefix_may_have_slashes_at_its_ends_and_nothing_odd_within() {
    for text in ["a/b", "/a/b", "a/b/", "//a/b//"] {
        let prefix = Prefix::parse(text).unwrap();
        assert_eq!((prefix.as_str(), prefix.key("shop")), ("a/b", "a/b/shop".to_owned()));
    }
    assert_eq!(Prefix::parse("ü b").unwrap().path("x"), ["kv", "ü b", "x"]);
    for text in ["", "/", "a//b", "a/../b", ".", "a\nb", &"x".repeat(513)] {
        let error = Prefix::parse(text).unwrap_err();
        assert_eq!(error.kind(), "config", "{text}");
    }
}

#[test]
fn a_list_is_read_whole_or_not_at_all() {
    let entries = |body: &str| folder().entries(&found(body));
    let good = r#"{"Key": "tidegate/splits/shop", "Value": "eyJ9", "ModifyIndex": 7, "Flags": 0}"#;
    let empty = r#"{"Key": "tidegate/splits/", "Value": null, "ModifyIndex": 6}"#;
    let list = entries(&format!("[{good}, {empty}]")).unwrap();
    assert_eq!(list[0], Entry { name: "shop".into(), value: b"{\"}".into(), modify_index: 7 });
    assert_eq!(list[1], Entry { name: String::new(), value: Vec::new(), modify_index: 6 });
    assert_eq!(entries("[]").unwrap(), []);
    for (bad, kind) in [
        ("null", "not_json"),
        ("", "truncated"),
        (&good[..20], "not_json"),
        (&format!("[{good}"), "truncated"),
        (&format!("[{good}, {{}}]"), "not_json"),
        (&format!("[{}]", good.replace("eyJ9", "e!")), "not_json"),
        (&format!("[{}]", good.replace("splits/", "splits-old/")), "not_json"),
        (&format!("[{}]", good.replace('7', "-7")), "not_json"),
    ] {
        assert_eq!(entries(bad).unwrap_err().kind(), kind, "{bad}");
    }
}

#[tokio::test]
async fn what_is_no_key_is_not_asked_for() {
    for name in ["", ".", ".."] {
        let error = folder().put(name, Vec::new(), 0).await.unwrap_err();
        assert_eq!((error.kind(), uncertain(&error)), ("config", false), "{name}");
        assert!(matches!(error.pause(), Pause::AtLeast(_)));
    }
    let error = folder().put("shop", Vec::new(), 0).await.unwrap_err();
    assert_eq!((error.kind(), uncertain(&error)), ("refused", false));
}

#[test]
fn a_write_without_an_answer_may_have_happened() {
    for error in [
        Error::Timeout(String::new()),
        Error::Reset(String::new()),
        Error::Truncated(String::new()),
        Error::status(500, "rpc error", None),
        Error::NotJson(String::new()),
    ] {
        assert!(uncertain(&error), "{error}");
    }
    for code in [400, 403, 404, 413, 429] {
        assert!(!uncertain(&Error::status(code, "", None)));
    }
}
