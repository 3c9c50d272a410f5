//! What names a request in the logs of both sides: `x-request-id` and `traceparent`.
//!
//! Made once a request, so that all its tries and its copy have the same. A client's id goes into
//! every log on the way, so it is only kept if it is one word of visible ASCII and not long; two are
//! none.

use http::HeaderValue;
use pingora::http::RequestHeader;
use uuid::Uuid;

use crate::proxy::accept::REQUEST_ID;
use crate::proxy::forward::trace;
use crate::snapshot::Forwarding;

/// The longest id that a client may choose. UUIDs have 36 bytes, trace ids 32; some put both in.
const LONGEST: usize = 128;

const TRACEPARENT: &str = "traceparent";

/// Gives the request its names.
pub(crate) fn name(request: &mut RequestHeader, forwarding: &Forwarding) {
    if !(forwarding.keeps_id && has_id(request)) {
        let mut buffer = Uuid::encode_buffer();
        let id = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        // A UUID is a valid header value, so neither step fails.
        if let Ok(value) = HeaderValue::from_str(id) {
            let _ = request.insert_header(REQUEST_ID.as_str(), value);
        }
    }
    if forwarding.traces && !is_traced(request) {
        // What belongs to another trace, or to none (Trace Context 4.3).
        request.remove_header("tracestate");
        let made = trace::make(rand::random(), rand::random());
        if let Ok(value) = HeaderValue::from_str(&made) {
            let _ = request.insert_header(TRACEPARENT, value);
        }
    }
}

fn has_id(request: &RequestHeader) -> bool {
    let mut ids = request.headers.get_all(&REQUEST_ID).iter();
    let fits = |id: &[u8]| (1..=LONGEST).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
    ids.next().is_some_and(|id| fits(id.as_bytes())) && ids.next().is_none()
}

fn is_traced(request: &RequestHeader) -> bool {
    let mut parents = request.headers.get_all(TRACEPARENT).iter();
    parents.next().is_some_and(|parent| trace::is_valid(parent.as_bytes())) && parents.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::live;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn named(lines: &[(&'static str, &str)], forwarding: serde_json::Value) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in lines {
            request.append_header(*name, *value).unwrap();
        }
        let config: live::Forwarding = serde_json::from_value(forwarding).unwrap();
        name(&mut request, &Forwarding::from(&config));
        request
    }

    fn id(lines: &[(&'static str, &str)], forwarding: serde_json::Value) -> String {
        named(lines, forwarding).headers[&REQUEST_ID].to_str().unwrap().to_owned()
    }

    #[test]
    fn an_id_is_kept_if_it_is_one() {
        let keep = || serde_json::json!({});
        assert_eq!(id(&[("x-request-id", "mine-1")], keep()), "mine-1");
        for lines in [
            &[][..],
            &[("x-request-id", "")],
            &[("x-request-id", "two words")],
            &[("x-request-id", "a"), ("x-request-id", "b")],
            &[("x-request-id", &"x".repeat(129))],
        ] {
            assert!(Uuid::parse_str(&id(lines, keep())).is_ok(), "{lines:?}");
        }
        let replaced = id(&[("x-request-id", "mine-1")], serde_json::json!({"request_id": "replace"}));
        assert!(Uuid::parse_str(&replaced).is_ok());
    }

    #[test]
    fn a_trace_goes_on_or_begins() {
        let make = || serde_json::json!({"traceparent": "make"});
        let goes_on = named(&[("traceparent", PARENT), ("tracestate", "a=1")], make());
        assert_eq!(
            (&goes_on.headers["traceparent"], &goes_on.headers["tracestate"]),
            (&PARENT.parse().unwrap(), &"a=1".parse().unwrap())
        );
        for lines in [
            &[("tracestate", "a=1")][..],
            &[("traceparent", "nonsense"), ("tracestate", "a=1")],
            &[("traceparent", PARENT), ("traceparent", PARENT), ("tracestate", "a=1")],
        ] {
            let made = named(lines, make());
            let parent = made.headers["traceparent"].as_bytes();
            assert!(trace::is_valid(parent) && parent.ends_with(b"-01"), "{lines:?}");
            assert!(!made.headers.contains_key("tracestate"));
            assert_eq!(made.headers.get_all("traceparent").iter().count(), 1);
        }
        let passed = named(&[("traceparent", "nonsense")], serde_json::json!({}));
        assert_eq!(passed.headers["traceparent"], "nonsense");
        assert!(!named(&[], serde_json::json!({})).headers.contains_key("traceparent"));
    }
}
