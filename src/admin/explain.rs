//! The body of `POST /v1/explain`: a request that is to be decided but not sent.
//!
//! What comes in is text; [`Ask::parse`] makes the same types of it that traffic has, or says every
//! part that is not valid.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::{Deserialize, Serialize};

use crate::config::Problem;
use crate::proxy::authority::normal;
use crate::route::RequestView;

/// The request as JSON:
/// `{"method": "GET", "url": "http://shop.example.com/a", "headers": {"x-beta": "1"}, "ip": "192.0.2.7"}`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    #[serde(default = "get")]
    pub method: String,
    /// Absolute, or a path with its query; then the `host` header names the host.
    pub url: String,
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// The client's address.
    #[serde(default)]
    pub ip: Option<IpAddr>,
}

/// One value of a header or several.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Values {
    One(String),
    Many(Vec<String>),
}

/// The request, parsed.
#[derive(Clone, Debug)]
pub struct Probe {
    pub method: Method,
    /// Path and query; `/` if the URL had none.
    pub uri: Uri,
    /// As sent: lower-cased, without port. Empty if nothing named it.
    pub host: String,
    /// With `host`.
    pub headers: HeaderMap,
    pub ip: Option<IpAddr>,
}

// === impl Ask ===

impl Ask {
    /// # Errors
    ///
    /// Every part that could not stand in a request.
    pub fn parse(&self) -> Result<Probe, Vec<Problem>> {
        let mut problems = Vec::new();
        let method = Method::from_bytes(self.method.as_bytes()).unwrap_or_else(|_| {
            problems.push(Problem::new("method", format!("`{}` is not a method", self.method)));
            Method::GET
        });
        let uri = self.url.parse::<Uri>().unwrap_or_else(|e| {
            problems.push(
                Problem::new("url", format!("`{}` is not a URL: {e}", self.url))
                    .hint("write http://host/path?query, or /path with a host header"),
            );
            Uri::default()
        });
        let mut headers = self.headers(&mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let host =
            settle_host(&uri, &mut headers).map_err(|what| vec![Problem::new("headers.host", what)])?;
        let target = uri.path_and_query().filter(|t| !t.as_str().is_empty()).cloned();
        let uri = target.map_or_else(|| Uri::from_static("/"), Uri::from);
        Ok(Probe { method, uri, host, headers, ip: self.ip })
    }

    fn headers(&self, problems: &mut Vec<Problem>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.headers {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Many(values) => values,
            };
            for value in values {
                match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                    (Ok(name), Ok(value)) => drop(headers.append(name, value)),
                    _ => problems.push(Problem::new(
                        format!("headers.{name}"),
                        format!("`{name}: {value}` is not a header"),
                    )),
                }
            }
        }
        headers
    }
}

/// The host as it is routed on, from the URL or the header. Makes the header say it too.
fn settle_host(uri: &Uri, headers: &mut HeaderMap) -> Result<String, &'static str> {
    if let Some(host) = uri.authority().and_then(|a| HeaderValue::try_from(a.as_str()).ok()) {
        if headers.get(HOST).is_some_and(|sent| *sent != host) {
            return Err("the host header is not the URL's, so the request would be answered 400");
        }
        headers.insert(HOST, host);
    }
    match headers.get(HOST).map(|value| value.to_str().ok().and_then(normal)) {
        None => Ok(String::new()),
        Some(Some(host)) => Ok(host.into_owned()),
        Some(None) => Err("the host is not a host, so the request would be answered 400"),
    }
}

// === impl Probe ===

impl Probe {
    /// What routing sees of it.
    pub fn view(&self) -> RequestView<'_> {
        RequestView {
            host: &self.host,
            path: self.uri.path(),
            query: self.uri.query(),
            method: &self.method,
            headers: &self.headers,
        }
    }
}

fn get() -> String {
    "GET".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(json: &str) -> Result<Probe, Vec<Problem>> {
        serde_json::from_str::<Ask>(json).unwrap().parse()
    }

    #[test]
    fn the_host_comes_from_the_url_or_the_header() {
        let probe = ask(r#"{"url": "http://Shop.Example.com.:8080/a?b=1"}"#).unwrap();
        assert_eq!((probe.host.as_str(), probe.uri.to_string().as_str()), ("shop.example.com", "/a?b=1"));
        assert_eq!(probe.method, Method::GET);
        let probe = ask(r#"{"url": "/a", "headers": {"Host": "[::1]:80", "x": ["1", "2"]}}"#).unwrap();
        assert_eq!((probe.host.as_str(), probe.headers.get_all("x").iter().count()), ("[::1]", 2));
    }

    #[test]
    fn what_traffic_refuses_is_refused() {
        for json in [
            r#"{"url": "http://x", "headers": {"host": "y"}}"#,
            r#"{"url": "/", "headers": {"host": "a,b"}}"#,
        ] {
            let problems = ask(json).unwrap_err();
            assert_eq!(problems[0].path, "headers.host", "{problems:?}");
        }
    }

    #[test]
    fn every_bad_part_is_named() {
        let problems = ask(r#"{"method": "G T", "url": "ht tp", "headers": {"a b": "1", "c": "\n"}}"#);
        let paths: Vec<_> = problems.unwrap_err().into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["method", "url", "headers.a b", "headers.c"]);
    }
}
