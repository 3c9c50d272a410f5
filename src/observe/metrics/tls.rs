//! The families of TLS listeners: handshakes, certificates, their reloads.
//!
//! When a certificate is over is a fact and not an event, so it is a gauge with the time itself: an
//! alert is then `tidegate_tls_certificate_expiry_timestamp_seconds - time() < 7 * 86400`, without a
//! clock on our side.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use crate::observe::metrics::Metrics;
use crate::observe::metrics::series::{Counter, Family, Lock};
use crate::observe::metrics::text::{Kind, Text, labels};

/// What the handshakes of one listener add to.
#[derive(Clone, Debug)]
pub struct TlsMetrics {
    pub ok: Counter,
    /// Those of `ok` that went on with an earlier session.
    pub resumed: Counter,
    /// Not over in time.
    pub timeout: Counter,
    /// The client speaks none of our protocols.
    pub no_alpn: Counter,
    /// It has no certificate, or one that is not valid.
    pub client_cert: Counter,
    /// It spoke HTTP without TLS.
    pub plain_http: Counter,
    /// It and we have no version, cipher or group in common.
    pub unsupported: Counter,
    /// It ended the handshake by an alert: mostly, it does not trust our certificate.
    pub refused: Counter,
    /// Anything else: gone away, or not TLS.
    pub other: Counter,
    pub reload_success: Counter,
    pub reload_failure: Counter,
}

/// The families.
pub(super) struct Tls {
    handshakes: Family,
    resumed: Family,
    reloads: Family,
    /// When the certificates of each listener are over.
    expiries: Lock<BTreeMap<String, Vec<(String, i64)>>>,
}

// === impl Tls ===

impl Default for Tls {
    fn default() -> Self {
        Self {
            handshakes: Family::new(
                "tidegate_tls_handshakes_total",
                "TLS handshakes with clients by result.",
                &["listener", "result"],
            ),
            resumed: Family::new(
                "tidegate_tls_resumed_total",
                "TLS handshakes with clients that went on with an earlier session.",
                &["listener"],
            ),
            reloads: Family::new(
                "tidegate_tls_certificate_reloads_total",
                "Changes of a listener's certificate files by result; after a failure the old ones serve on.",
                &["listener", "result"],
            ),
            expiries: Lock::default(),
        }
    }
}

impl Tls {
    pub(super) fn render(&self, text: &mut Text) {
        const NAME: &str = "tidegate_tls_certificate_expiry_timestamp_seconds";
        for family in [&self.handshakes, &self.resumed, &self.reloads] {
            family.render(text);
        }
        text.family(NAME, "When a certificate that is served is over, in seconds since 1970.", Kind::Gauge);
        for (listener, certificates) in &*self.expiries.lock().unwrap_or_else(PoisonError::into_inner) {
            for (name, expires) in certificates {
                text.sample(NAME, "", &labels([("listener", &**listener), ("certificate", name)]), expires);
            }
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// The counters of a TLS listener.
    pub fn tls(&self, listener: &str) -> TlsMetrics {
        let of = |result| self.tls.handshakes.counter(&[listener, result]);
        TlsMetrics {
            ok: of("ok"),
            resumed: self.tls.resumed.counter(&[listener]),
            timeout: of("timeout"),
            no_alpn: of("no_alpn"),
            client_cert: of("client_cert"),
            plain_http: of("plain_http"),
            unsupported: of("unsupported"),
            refused: of("refused"),
            other: of("other"),
            reload_success: self.tls.reloads.counter(&[listener, "success"]),
            reload_failure: self.tls.reloads.counter(&[listener, "failure"]),
        }
    }

    /// Says which certificates a listener serves, each with a name and when it is over.
    pub fn tls_certificates(&self, listener: &str, certificates: Vec<(String, i64)>) {
        let mut all = self.tls.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(listener.to_owned(), certificates);
    }
}
