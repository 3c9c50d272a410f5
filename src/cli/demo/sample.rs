//! A sample service: says its name and what it was asked.

use std::net::SocketAddr;

use async_trait::async_trait;
use http::Response;
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use pingora::services::listening::Service;

/// The application of a sample.
#[derive(Debug)]
pub(super) struct Sample {
    name: &'static str,
}

/// A sample service on an address of its own.
pub(super) fn service(name: &'static str, address: SocketAddr) -> Service<Sample> {
    let mut service = Service::new(format!("sample {name}"), Sample { name });
    service.threads = Some(1);
    service.add_tcp(&address.to_string());
    service
}

#[async_trait]
impl ServeHttp for Sample {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let path = session.req_header().uri.path();
        let body = if path == "/" { format!("{}\n", self.name) } else { format!("{} {path}\n", self.name) };
        let length = body.len();
        let mut response = Response::new(body.into_bytes());
        let headers = response.headers_mut();
        headers
            .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(http::header::CONTENT_LENGTH, length.into());
        headers.insert("x-sample", http::HeaderValue::from_static(self.name));
        response
    }
}
