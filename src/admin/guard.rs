//! Who may ask.
//!
//! Three doors, each for one attack:
//! - The token, where one is configured: whoever has none is nobody.
//! - The `Host`, where none is: a page on `evil.example` whose name is made to point at 127.0.0.1
//!   is same-origin with us in the browser's eyes. It cannot change the Host it sends, which is a
//!   name; we are asked for by address or as localhost. With a token this door is open: the page
//!   does not have it.
//! - The origin, for changes: a page elsewhere can post to us without reading the answer. Browsers
//!   say so in `Sec-Fetch-Site` and `Origin`; tools send neither. A body must be
//!   `application/json`, which a plain form cannot send.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING};
use http::header::{HeaderName, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};

use crate::admin::answer::Refusal;
use crate::admin::token::{Token, Verdict};

/// Lets the request pass, or says why not.
pub(super) fn check(headers: &HeaderMap, method: &Method, token: Option<&Token>) -> Result<(), Refusal> {
    match token {
        Some(token) => authorised(headers, token)?,
        None => asked_by_address(headers)?,
    }
    if method != Method::GET {
        not_from_elsewhere(headers)?;
        json_or_nothing(headers)?;
    }
    Ok(())
}

fn authorised(headers: &HeaderMap, token: &Token) -> Result<(), Refusal> {
    match token.check(headers.get(AUTHORIZATION)) {
        Verdict::Good => Ok(()),
        Verdict::Bad => Err(Refusal::new(StatusCode::UNAUTHORIZED, "this needs the admin token")
            .hint("send `Authorization: Bearer <token>`; a browser may give it as the password of any user")
            .header(
                WWW_AUTHENTICATE,
                "Basic realm=\"tidegate admin: token as password\", charset=\"UTF-8\"",
            )),
        Verdict::Unreadable(why) => {
            tracing::error!(error = %why, "admin.token_file cannot be used; the admin API is closed");
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the admin token cannot be read")
                .hint("see the log; the file is `admin.token_file` and must hold one non-empty line"))
        }
    }
}

fn asked_by_address(headers: &HeaderMap) -> Result<(), Refusal> {
    // HTTP/1.0 tools may send no Host; browsers always do.
    let Some(host) = headers.get(HOST) else { return Ok(()) };
    let name = host.to_str().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => name,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost") {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::FORBIDDEN, format!("the admin API is not asked for as `{name}`"))
        .hint("use the IP address or localhost, or configure `admin.token_file`"))
}

fn not_from_elsewhere(headers: &HeaderMap) -> Result<(), Refusal> {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let site = headers.get(SITE).map(|v| v.as_bytes());
    let foreign_site = site.is_some_and(|site| site != b"same-origin" && site != b"none");
    let host = headers.get(HOST).and_then(|h| h.to_str().ok());
    let foreign_origin = headers.get(ORIGIN).is_some_and(|origin| {
        let own = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, authority)| authority);
        own.is_none() || own != host
    });
    if foreign_site || foreign_origin {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "another site may not make changes here")
            .hint("use the dashboard of this address, or a tool that is not a browser"));
    }
    Ok(())
}

fn json_or_nothing(headers: &HeaderMap) -> Result<(), Refusal> {
    let length = headers.get(CONTENT_LENGTH).map(|v| v.as_bytes());
    let empty = length.is_none_or(|length| length == b"0") && !headers.contains_key(TRANSFER_ENCODING);
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if empty || kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON")
        .hint("send `Content-Type: application/json`"))
}
