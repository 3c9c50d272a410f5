use std::sync::{Mutex, PoisonError};

use openssl::ssl::{Ssl, SslMethod, SslRef, SslSession, SslSessionCacheMode, SslVersion};

use super::*;
use crate::tls::set::Loaded;
use crate::tls::testing::{certificate, config, ecdsa, write};

/// One client, which keeps the last session that it was given.
struct Client {
    context: SslContext,
    #[expect(clippy::disallowed_types, reason = "a test")]
    session: Arc<Mutex<Option<SslSession>>>,
}

impl Client {
    fn new() -> Self {
        let session = Arc::default();
        let kept: Arc<Mutex<Option<SslSession>>> = Arc::clone(&session);
        let mut context = SslContext::builder(SslMethod::tls_client()).unwrap();
        context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        context.set_new_session_callback(move |_, session| {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        });
        Self { context: context.build(), session }
    }

    /// Shakes hands; whether it was a session of before that went on.
    #[expect(unsafe_code, reason = "the library's way to resume a session")]
    fn resumes(&self, fronts: &Fronts, version: SslVersion) -> bool {
        unimplemented!()
    }
}
