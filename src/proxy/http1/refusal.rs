//! Why a request is refused: what the client is told, and what counts it.
//!
//! The client is told the rule it broke, in words; it has seen its own bytes, so this gives nothing
//! away, and it is what somebody needs who writes a client. The counter has few reasons, one for
//! each thing an operator would do about it.

/// One rule that a request broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) kind: Kind,
    pub(crate) why: &'static str,
}

/// What counts a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A line that is none, or holds bytes that it must not.
    Malformed,
    Host,
    Target,
    Method,
    Version,
    /// Where the body ends can't be known for certain.
    Framing,
    /// More header than a listener takes.
    Large,
    /// A body that breaks its own framing.
    Body,
    /// It was not there in time.
    Timeout,
}

// === impl Refusal ===

impl Refusal {
    const fn new(status: u16, kind: Kind, why: &'static str) -> Self {
        Self { status, kind, why }
    }

    const fn malformed(why: &'static str) -> Self {
        Self::new(400, Kind::Malformed, why)
    }

    const fn host(why: &'static str) -> Self {
        Self::new(400, Kind::Host, why)
    }

    const fn target(why: &'static str) -> Self {
        Self::new(400, Kind::Target, why)
    }

    const fn framing(why: &'static str) -> Self {
        Self::new(400, Kind::Framing, why)
    }

    const fn body(why: &'static str) -> Self {
        Self::new(400, Kind::Body, why)
    }
}

pub(crate) const BARE_LF: Refusal = Refusal::malformed("a line ends in LF without CR");
pub(crate) const NO_REQUEST: Refusal = Refusal::malformed("this is not an HTTP request");
pub(crate) const NO_VERSION: Refusal = Refusal::malformed("the request line has no version");
pub(crate) const BAD_VERSION: Refusal = Refusal::malformed("the request line does not end in a version");
pub(crate) const OTHER_VERSION: Refusal =
    Refusal::new(505, Kind::Version, "only HTTP/1.1 and HTTP/1.0 are spoken here");
pub(crate) const BAD_METHOD: Refusal = Refusal::new(400, Kind::Method, "the method is not a token");
pub(crate) const LONG_METHOD: Refusal = Refusal::new(501, Kind::Method, "the method is too long");
pub(crate) const CONNECT: Refusal = Refusal::new(405, Kind::Method, "CONNECT is not served");
pub(crate) const TRACE: Refusal = Refusal::new(405, Kind::Method, "TRACE is not served");
pub(crate) const LONG_TARGET: Refusal = Refusal::new(414, Kind::Large, "the request target is too long");
pub(crate) const BAD_TARGET: Refusal =
    Refusal::target("the request target holds a byte that must be percent-encoded");
pub(crate) const NO_PATH: Refusal = Refusal::target("the request target is not a path");
pub(crate) const STAR: Refusal = Refusal::target("the target * is for OPTIONS alone");
pub(crate) const BAD_AUTHORITY: Refusal = Refusal::host("the host in the request target is not a host");

pub(crate) const LONG_HEADER: Refusal = Refusal::new(431, Kind::Large, "the header is too large");
pub(crate) const MANY_FIELDS: Refusal = Refusal::new(431, Kind::Large, "the header has too many fields");
pub(crate) const FOLDED: Refusal = Refusal::malformed("a field goes on in the next line");
pub(crate) const BAD_NAME: Refusal = Refusal::malformed("a field name is not a token");
pub(crate) const BAD_VALUE: Refusal = Refusal::malformed("a field value holds a control character");

pub(crate) const NO_HOST: Refusal = Refusal::host("host is missing");
pub(crate) const TWO_HOSTS: Refusal = Refusal::host("host is given more than once");
pub(crate) const BAD_HOST: Refusal = Refusal::host("host is not a host");

pub(crate) const BAD_LENGTH: Refusal = Refusal::framing("the content length is not a number");
pub(crate) const TWO_LENGTHS: Refusal = Refusal::framing("the content length is given more than once");
pub(crate) const LENGTH_AND_CODING: Refusal =
    Refusal::framing("content-length and transfer-encoding exclude each other");
pub(crate) const TWO_CODINGS: Refusal = Refusal::framing("transfer-encoding is given more than once");
pub(crate) const NOT_CHUNKED: Refusal = Refusal::framing("the transfer coding is not chunked");
pub(crate) const OTHER_CODING: Refusal =
    Refusal::new(501, Kind::Framing, "no transfer coding but chunked is served");
pub(crate) const OLD_CODING: Refusal = Refusal::framing("HTTP/1.0 has no transfer coding");

pub(crate) const BAD_SIZE: Refusal = Refusal::body("a chunk size is not a hexadecimal number");
pub(crate) const LONG_SIZE: Refusal = Refusal::body("a chunk is too large");
pub(crate) const BAD_EXTENSION: Refusal = Refusal::body("a chunk extension is malformed");
pub(crate) const LONG_EXTENSION: Refusal = Refusal::body("the extensions of a chunk are too long");
pub(crate) const BAD_END: Refusal = Refusal::body("a chunk does not end where it should");
pub(crate) const BAD_TRAILER: Refusal = Refusal::body("a trailer field is malformed");
pub(crate) const LONG_TRAILER: Refusal = Refusal::body("the trailer is too large");

pub(crate) const LATE_HEADER: Refusal = Refusal::new(408, Kind::Timeout, "the header did not arrive in time");
pub(crate) const LATE_BODY: Refusal = Refusal::new(408, Kind::Timeout, "the body did not arrive in time");
pub(crate) const SLOW_BODY: Refusal = Refusal::new(408, Kind::Timeout, "the body arrives too slowly");
