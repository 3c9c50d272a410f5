//! When the keys of session tickets change.
//!
//! A ticket is a session that the client keeps, locked with a key of ours; whoever has the key can
//! read all TLS 1.2 traffic that began with it. So keys must not get old. The library makes them with
//! a context, for as long as it lives, and safe Rust has no call to set them. So each [`ROTATE`] there
//! is a new context, and the one before is kept for clients that come back with its tickets. Which of
//! the two a client needs is in its hello: a ticket begins with the name of its key, 16 random
//! bytes, so that looking for them is enough, without taking the hello apart. What they are is
//! learned by a handshake with ourselves, in memory, when a context is made.
//!
//! A key makes tickets for 12 hours and is accepted for 12 more, as long as those who keep coming
//! back with it; it is in memory only, so a restart forgets it, and processes don't share it: behind a
//! balancer a client resumes where it comes back to the same process. A reload of certificates
//! changes nothing here, unless other authorities are to sign the certificates of clients.

mod own;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use openssl::error::ErrorStack;
use openssl::ssl::SslContext;
use pingora::protocols::Stream;
use tracing::{debug, warn};

use crate::config::boot::Tls;
use crate::tls::set::{Authorities, Set};
use crate::tls::{Terminator, bundle, front};

/// How long a key makes tickets.
pub(crate) const ROTATE: Duration = Duration::from_secs(12 * 3600);

/// The name of a context's ticket keys: what its tickets begin with.
type KeyName = [u8; 16];

/// The contexts of a listener.
pub(crate) struct Fronts {
    authorities: Option<Arc<Authorities>>,
    current: Front,
    previous: Option<Front>,
}

#[derive(Clone)]
struct Front {
    context: SslContext,
    /// None: it could not be learned.
    keys: Option<KeyName>,
}

// === impl Fronts ===

impl Fronts {
    /// The first context, or one that knows no ticket of those before.
    ///
    /// # Errors
    ///
    /// The library refuses a setting.
    pub(crate) fn new(
        config: &Tls,
        authorities: Option<Arc<Authorities>>,
        sets: &Arc<ArcSwap<Set>>,
    ) -> Result<Self, ErrorStack> {
        let current = Front::new(config, authorities.as_deref(), sets)?;
        Ok(Self { authorities, current, previous: None })
    }

    /// With another current context.
    fn rotated(&self, config: &Tls, sets: &Arc<ArcSwap<Set>>) -> Result<Self, ErrorStack> {
        let next = Self::new(config, self.authorities.clone(), sets)?;
        Ok(Self { previous: Some(self.current.clone()), ..next })
    }

    /// What tells the authorities for certificates of clients from others.
    pub(crate) fn authorities(&self) -> Option<&[u8; 32]> {
        self.authorities.as_ref().map(|authorities| &authorities.digest)
    }

    /// The context for a client that says hello so.
    fn choose(&self, hello: &[u8]) -> &SslContext {
        let of_previous =
            |front: &&Front| front.keys.is_some_and(|name| memchr::memmem::find(hello, &name).is_some());
        &self.previous.as_ref().filter(of_previous).unwrap_or(&self.current).context
    }
}

// === impl Front ===

impl Front {
    fn new(
        config: &Tls,
        authorities: Option<&Authorities>,
        sets: &Arc<ArcSwap<Set>>,
    ) -> Result<Self, ErrorStack> {
        let context = front::context(config, authorities, sets.clone())?;
        let keys = own::key_name(&context);
        if keys.is_none() {
            debug!("the name of the ticket keys is not known; clients will not resume after the next change");
        }
        Ok(Self { context, keys })
    }
}

// === impl Terminator ===

impl Terminator {
    /// The context for a client. Reads the hello only where there are two to choose from, and leaves
    /// it.
    pub(super) async fn front(&self, stream: &mut Stream) -> SslContext {
        let fronts = self.fronts.load_full();
        let hello = if fronts.previous.is_some() { hello(stream).await } else { Vec::new() };
        fronts.choose(&hello).clone()
    }

    /// Begins with new keys.
    pub(super) fn rotate(&self) {
        match self.fronts.load().rotated(&self.config, &self.sets) {
            Ok(next) => self.fronts.store(Arc::new(next)),
            Err(error) => {
                let why = bundle::reason(&error);
                warn!(listener = %self.listener, why, "the keys of session tickets stay the old ones");
            }
        }
    }
}

/// The first record of a handshake; what is none is empty.
async fn hello(stream: &mut Stream) -> Vec<u8> {
    let mut record = vec![0; 5];
    if stream.try_peek(&mut record).await.is_err() || record[0] != 0x16 {
        return Vec::new();
    }
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(5 + length, 0);
    // If it never comes whole, the handshake fails by itself.
    let _ = stream.try_peek(&mut record).await;
    record
}

#[cfg(test)]
mod tests;
