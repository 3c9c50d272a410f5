//! What is asked of the proxy, and how often.
//!
//! Numbers of requests and not seconds: the shares are the same on every machine. They say which code
//! is laid out for speed, so most of it is what most proxies do most of the time, small requests over
//! connections that stay; the rest is there because code that a training never meets is taken for cold.
//! What is not here (Consul, DNS, gRPC, mirrors, TCP) is no part of what a request costs, or shares its code.

use std::net::SocketAddr;
use std::thread;

use crate::Result;
use crate::asks;
use crate::proxy::Proxy;

/// One kind of load.
struct Load {
    name: &'static str,
    way: Way,
    connections: usize,
    /// Of each connection, or its successors.
    requests: usize,
    run: fn(Target, usize, usize) -> Result<()>,
}

/// How a load gets to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Clear,
    /// HTTP/1.1 over TLS, and HTTP/2.
    Tls,
    Tls2,
}

/// What a load goes to.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) sealed: bool,
}

#[rustfmt::skip]
const LOADS: &[Load] = &[
    Load { name: "small", way: Way::Clear, connections: 16, requests: 4000, run: asks::small },
    Load { name: "browsers", way: Way::Clear, connections: 8, requests: 2000, run: asks::browsers },
    Load { name: "h2c", way: Way::Clear, connections: 4, requests: 4000, run: asks::streams },
    Load { name: "posts", way: Way::Clear, connections: 4, requests: 1000, run: asks::posts },
    Load { name: "close", way: Way::Clear, connections: 8, requests: 400, run: asks::close },
    Load { name: "large", way: Way::Clear, connections: 8, requests: 300, run: asks::large },
    Load { name: "pieces", way: Way::Clear, connections: 4, requests: 500, run: asks::pieces },
    Load { name: "uploads", way: Way::Clear, connections: 4, requests: 40, run: asks::uploads },
    Load { name: "retries", way: Way::Clear, connections: 4, requests: 400, run: asks::retries },
    Load { name: "others", way: Way::Clear, connections: 4, requests: 400, run: asks::others },
    Load { name: "tunnels", way: Way::Clear, connections: 4, requests: 10, run: asks::tunnels },
    Load { name: "scrapes", way: Way::Clear, connections: 1, requests: 20, run: asks::scrapes },
    Load { name: "TLS", way: Way::Tls, connections: 4, requests: 1500, run: asks::small },
    Load { name: "TLS, HTTP/2", way: Way::Tls2, connections: 4, requests: 1600, run: asks::streams },
    Load { name: "TLS, close", way: Way::Tls, connections: 2, requests: 60, run: asks::close },
    Load { name: "TLS, large", way: Way::Tls, connections: 2, requests: 200, run: asks::large },
    Load { name: "TLS behind", way: Way::Tls, connections: 2, requests: 400, run: asks::sealed },
];

/// Reloads between the first loads.
const RELOADS: usize = 6;

/// Runs all of them, one after the other, and tells how many requests that were.
pub(crate) fn run(proxy: &mut Proxy) -> Result<usize> {
    let mut asked = 0;
    for (turn, load) in LOADS.iter().enumerate() {
        if (1..=RELOADS).contains(&turn) {
            proxy.reload(turn)?;
        }
        let Some(address) = load.way.address(proxy) else { continue };
        let target = Target { address, admin: proxy.admin, sealed: load.way != Way::Clear };
        asked += load.run(target).map_err(|error| format!("{}: {error}", load.name))?;
    }
    Ok(asked)
}

// === impl Way ===

impl Way {
    fn address(self, proxy: &Proxy) -> Option<SocketAddr> {
        match self {
            Self::Clear => Some(proxy.http),
            Self::Tls => proxy.sealed.map(|[http1, _]| http1),
            Self::Tls2 => proxy.sealed.map(|[_, http2]| http2),
        }
    }
}

// === impl Load ===

impl Load {
    fn run(&self, target: Target) -> Result<usize> {
        let (run, requests) = (self.run, self.requests);
        let work =
            |index| thread::spawn(move || run(target, index, requests).map_err(|error| error.to_string()));
        let threads: Vec<_> = (0..self.connections).map(work).collect();
        for thread in threads {
            thread.join().map_err(|_| "it panicked")??;
        }
        Ok(self.connections * requests)
    }
}
