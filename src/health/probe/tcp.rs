//! The TCP probe: a connection that opens, and, if asked for, answers.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::{ErrorType, OrErr as _, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::look::Look;
use super::{Connectors, failed, peer, usable};
use crate::cluster::Transport;
use crate::config::live;

/// A probe of one config, for any endpoint.
#[derive(Debug)]
pub struct Tcp {
    check: Arc<live::HealthCheck>,
    tcp: live::TcpCheck,
    way: Transport,
    connectors: Arc<Connectors>,
}

// === impl Tcp ===

impl Tcp {
    /// As `check.tcp` says.
    pub fn new(check: Arc<live::HealthCheck>, way: Transport, connectors: Arc<Connectors>) -> Self {
        Self { tcp: check.tcp.clone().unwrap_or_default(), check, way, connectors }
    }
}

#[async_trait]
impl HealthCheck for Tcp {
    async fn check(&self, target: &Backend) -> Result<()> {
        let peer = peer(target, &self.check, &self.way, None);
        let mut stream = self.connectors.tcp.new_stream(&peer).await?;
        usable(stream.get_ssl_digest().as_deref())?;
        if let Some(text) = &self.tcp.send {
            stream.write_all(text.as_bytes()).await.or_err(ErrorType::WriteError, "while sending")?;
            stream.flush().await.or_err(ErrorType::WriteError, "while sending")?;
        }
        let Some(text) = &self.tcp.expect else { return Ok(()) };
        let mut look = Look::new(text);
        let mut piece = [0; 4096];
        while !look.over() {
            let length = stream.read(&mut piece).await.or_err(ErrorType::ReadError, "while reading")?;
            if look.found(&piece[..length]) {
                return Ok(());
            }
            if length == 0 {
                return Err(failed(format!("the connection was closed before `{text}` came")));
            }
        }
        Err(failed(format!("the first 64 KiB do not hold `{text}`")))
    }

    fn health_threshold(&self, success: bool) -> usize {
        super::threshold(&self.check, success)
    }
}
