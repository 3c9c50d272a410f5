//! Answers that Pingora takes and that must not go on (RFC 9110, 9112).
//!
//! Its parser refuses broken status lines and fields, content lengths that differ, and more than 256
//! fields; line breaks that fold a value become spaces, so no answer can be split in two. What it does
//! with the rest is to read it one way and to pass it on to a client that may read it another way.
//! That is refused here: 502.
//!
//! What can't be seen here: `content-length` beside `transfer-encoding`. Pingora drops the length when
//! it reads the header, as RFC 9112 6.3 allows; such an answer passes, in chunks.

use http::{HeaderValue, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

/// The largest header that goes on, in bytes. It is what Chromium takes.
const LARGEST: usize = 256 * 1024;

/// Refuses an answer that is not valid, and says once what it says twice.
pub(super) fn check(response: &mut ResponseHeader) -> Result<()> {
    if response.status.as_u16() > 599 {
        return refuse("a status that no one knows");
    }
    let size = |(name, value): (&http::HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    if response.headers.iter().map(size).sum::<usize>() > LARGEST {
        return refuse("its header is too large");
    }
    frame(response)
}

/// Only one reading of where the body ends.
fn frame(response: &mut ResponseHeader) -> Result<()> {
    let mut codings = response.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        if !chunked || response.version < Version::HTTP_11 {
            return refuse("a transfer coding other than chunked");
        }
    }
    let mut lengths = response.headers.get_all(header::CONTENT_LENGTH).iter();
    let first = lengths.next().map(HeaderValue::as_bytes);
    if first.is_some_and(|first| first.contains(&b',')) || lengths.next().is_some() {
        // They are equal, or Pingora would have refused them.
        let one = first.and_then(|first| first.split(|b| *b == b',').next()).unwrap_or_default();
        let one = HeaderValue::from_bytes(one.trim_ascii());
        let Ok(one) = one else { return refuse("its content length") };
        response.insert_header(header::CONTENT_LENGTH, one)?;
    }
    if response.status == StatusCode::NO_CONTENT {
        response.remove_header(&header::TRANSFER_ENCODING);
        response.remove_header(&header::CONTENT_LENGTH);
    }
    Ok(())
}

fn refuse(why: &'static str) -> Result<()> {
    Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(status: u16, lines: &[(&'static str, &str)]) -> Option<ResponseHeader> {
        let mut response = ResponseHeader::build(status, None).unwrap();
        response.set_version(Version::HTTP_11);
        for (name, value) in lines {
            response.append_header(*name, *value).unwrap();
        }
        check(&mut response).ok().map(|()| response)
    }

    #[test]
    fn two_readings_are_refused() {
        for coding in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", ""] {
            assert!(checked(200, &[("transfer-encoding", coding)]).is_none(), "{coding}");
        }
        assert!(
            checked(200, &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]).is_none()
        );
        assert!(checked(200, &[("transfer-encoding", "Chunked")]).is_some());
        assert!(checked(600, &[]).is_none() && checked(599, &[]).is_some());
        assert!(checked(200, &[("x", &"y".repeat(LARGEST))]).is_none());
    }

    #[test]
    fn a_length_is_said_once() {
        for lines in [&[("content-length", "5, 5")][..], &[("content-length", "5"), ("content-length", "5")]]
        {
            let response = checked(200, lines).unwrap();
            let lengths: Vec<_> = response.headers.get_all("content-length").iter().collect();
            assert_eq!(lengths, ["5"]);
        }
        assert!(checked(204, &[("content-length", "5")]).unwrap().headers.is_empty());
    }
}
