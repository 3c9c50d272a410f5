//! gRPC as far as a proxy that passes it on has to know it: which requests are calls, what a status
//! means, how long a call may take.
//!
//! gRPC is HTTP/2 with three habits. The outcome of a call is not the HTTP status, which is 200, but
//! `grpc-status` in the trailers; a call that fails at once has it among the headers instead, which
//! ends the answer ("trailers-only"). The deadline travels along, as `grpc-timeout`. And nobody reads
//! an error page: what a proxy has to say must be said as a status too.

pub mod code;
pub mod timeout;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName};

pub use self::code::Code;

/// The outcome of a call.
pub static STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Words on the outcome, percent-encoded.
pub static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How long a call may take.
pub static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

const GRPC: &[u8] = b"application/grpc";
const GRPC_WEB: &[u8] = b"application/grpc-web";

/// The dialect of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Over HTTP/2, with trailers.
    Grpc,
    /// As browsers speak it: the trailers are the end of the body.
    Web,
}

// === impl Dialect ===

impl Dialect {
    /// What a request is by its content type. None: it is no call, or one in gRPC-Web's text form,
    /// whose base64 is not translated here.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.as_bytes();
        let is = |name: &[u8]| {
            kind.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
                && matches!(kind.get(name.len()), None | Some(b'+' | b';' | b' '))
        };
        if is(GRPC) { Some(Self::Grpc) } else { is(GRPC_WEB).then_some(Self::Web) }
    }

    /// The content type of an answer that has no message in it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc",
            Self::Web => "application/grpc-web+proto",
        }
    }
}

/// Text as the value of [`MESSAGE`]: what is not printable ASCII, and `%` itself, as `%` and two
/// digits.
pub fn encode_message(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_call_is_told_by_its_content_type() {
        for (kind, dialect) in [
            ("application/grpc", Some(Dialect::Grpc)),
            ("application/grpc+proto", Some(Dialect::Grpc)),
            ("Application/gRPC; charset=x", Some(Dialect::Grpc)),
            ("application/grpc-web", Some(Dialect::Web)),
            ("application/grpc-web+json", Some(Dialect::Web)),
            ("application/grpc-web-text", None),
            ("application/grpc-web-text+proto", None),
            ("application/grpcx", None),
            ("application/json", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(Dialect::of(&headers), dialect, "{kind}");
        }
        assert_eq!(Dialect::of(&HeaderMap::new()), None);
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(encode_message("no healthy upstream"), "no healthy upstream");
        assert_eq!(encode_message("100 % ü\n"), "100 %25 %C3%BC%0A");
    }
}
