//! The seventeen outcomes of a call, and what stands for them in HTTP.
//!
//! Three maps, which are not each other's inverse:
//!
//! | map | for | source |
//! |---|---|---|
//! | [`Code::of_answer`] | an answer without a `grpc-status`, as of a server that is none of gRPC | gRPC's "HTTP to gRPC Status Code Mapping" |
//! | [`Code::of_refusal`] | an answer of our own | the same, but we know more: 504 is the deadline, 413 a limit |
//! | [`Code::http`] | passive detection, which counts 5xx | Envoy's, but for UNIMPLEMENTED |
//!
//! UNIMPLEMENTED is 501 at Envoy, and so a failure of the endpoint. Here it is not: whoever calls a
//! method that does not exist could have every endpoint ejected with it.

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    Ok = 0,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

/// The numbers as they are written, in their order.
pub const NUMBERS: [&str; 17] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];

// === impl Code ===

impl Code {
    /// All of them, by their number.
    pub const ALL: [Self; NUMBERS.len()] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// What a `grpc-status` says. What is no such number is UNKNOWN, as clients take it.
    pub fn parse(value: &[u8]) -> Self {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<usize>().ok());
        number.and_then(|number| Self::ALL.get(number).copied()).unwrap_or(Self::Unknown)
    }

    /// As it is written.
    pub fn number(self) -> &'static str {
        NUMBERS[self as usize]
    }

    /// The outcome of an answer that names none. Of a 200 it is UNKNOWN, as clients take it.
    pub fn of_answer(status: u16) -> Self {
        match status {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// What a caller is told for an answer that Tidegate itself makes.
    pub fn of_refusal(status: u16) -> Self {
        match status {
            405 | 501 => Self::Unimplemented,
            408 | 504 => Self::DeadlineExceeded,
            413 | 414 | 431 => Self::ResourceExhausted,
            499 => Self::Cancelled,
            500 => Self::Internal,
            other => Self::of_answer(other),
        }
    }

    /// The HTTP status that stands for it where endpoints are judged.
    pub fn http(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound | Self::Unimplemented => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::ResourceExhausted => 429,
            Self::Cancelled => 499,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_their_numbers() {
        for (index, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, index);
            assert_eq!(Code::parse(code.number().as_bytes()), code);
        }
        for odd in ["", "17", "-1", "x", "1.5", "99999999999999999999"] {
            assert_eq!(Code::parse(odd.as_bytes()), Code::Unknown, "{odd}");
        }
    }

    #[test]
    fn what_http_says_becomes_a_code() {
        for (status, refusal, answer) in [
            (400, 13, 13),
            (401, 16, 16),
            (403, 7, 7),
            (404, 12, 12),
            (405, 12, 2),
            (408, 4, 2),
            (413, 8, 2),
            (429, 14, 14),
            (431, 8, 2),
            (500, 13, 2),
            (502, 14, 14),
            (503, 14, 14),
            (504, 4, 14),
            (418, 2, 2),
            (200, 2, 2),
        ] {
            assert_eq!(Code::of_refusal(status) as u8, refusal, "{status}");
            assert_eq!(Code::of_answer(status) as u8, answer, "{status}");
        }
    }

    #[test]
    fn endpoints_fail_by_five_codes() {
        let failures: Vec<_> = Code::ALL.into_iter().filter(|code| code.http() >= 500).collect();
        let expected =
            [Code::Unknown, Code::DeadlineExceeded, Code::Internal, Code::Unavailable, Code::DataLoss];
        assert_eq!(failures, expected);
    }
}
