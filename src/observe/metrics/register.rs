//! The families of the proxy's own entry in Consul. An alarm for a node that nobody finds is
//! `tidegate_consul_registered == 0`.

use crate::observe::metrics::text::{Kind, Text, labels};

/// What holds at the moment of a scrape.
#[derive(Clone, Copy, Debug)]
pub struct RegisterSample<'a> {
    pub service: &'a str,
    /// Whether the agent last had it as the config says.
    pub registered: bool,
    pub registrations: u64,
    pub errors: u64,
}

// === impl RegisterSample ===

impl RegisterSample<'_> {
    pub(super) fn render(&self, text: &mut Text) {
        let registered = u64::from(self.registered);
        let families = [
            (
                "tidegate_consul_registered",
                "1 if this proxy is registered in Consul, as far as it knows.",
                Kind::Gauge,
                registered,
            ),
            (
                "tidegate_consul_registrations_total",
                "Registrations in Consul: one, and those after the agent had forgotten or had it otherwise.",
                Kind::Counter,
                self.registrations,
            ),
            (
                "tidegate_consul_register_errors_total",
                "Words about this proxy that the Consul agent did not take.",
                Kind::Counter,
                self.errors,
            ),
        ];
        for (name, help, kind, value) in families {
            text.family(name, help, kind);
            text.sample(name, "", &labels([("service", self.service)]), value);
        }
    }
}
