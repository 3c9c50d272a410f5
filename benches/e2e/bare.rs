//! The floor: the least code that makes Pingora proxy, and the least work for each request.
//!
//! Two endpoints in turn, HTTP/1.1 and h2c in clear as Tidegate's listeners, connections kept. No
//! route, no metrics, no log, no timeout, no header edit. The compression module that Pingora adds by
//! default is left out: a floor should be as low as anyone can have it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::modules::http::HttpModules;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

/// Two endpoints in turn.
struct Bare {
    endpoints: Vec<SocketAddr>,
    turn: AtomicUsize,
}

/// Serves on the first address; the others are the endpoints.
pub(crate) fn serve(addresses: &[SocketAddr], threads: usize) -> crate::Result<()> {
    let (listen, endpoints) = addresses.split_first().ok_or("an address and endpoints are needed")?;
    let conf = ServerConf { threads, upstream_keepalive_pool_size: 1024, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let proxy = Bare { endpoints: endpoints.to_vec(), turn: AtomicUsize::new(0) };
    let mut service = http_proxy_service(&Arc::clone(&server.configuration), proxy);
    if let Some(app) = service.app_logic_mut() {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        app.server_options = Some(options);
    }
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run(RunArgs::default());
    Ok(())
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        let turn = self.turn.fetch_add(1, Relaxed);
        let endpoint = self.endpoints[turn % self.endpoints.len()];
        Ok(Box::new(HttpPeer::new(endpoint, false, String::new())))
    }
}
