//! Why a response is not simply the endpoint's own: Envoy's response flags, the ones that apply
//! here.
//!
//! Source of the letters: Envoy's access log documentation, `%RESPONSE_FLAGS%`.

use serde::Serialize;

/// One flag. The order is that of [`Flag::ALL`], which metrics index by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Flag {
    /// No route matched: 404.
    NR,
    /// No healthy upstream: the cluster has no usable endpoint: 503.
    UH,
    /// The connection to the endpoint failed: 503.
    UF,
    /// The endpoint did not answer in time: 504.
    UT,
    /// The endpoint closed or reset the connection before or in the answer: 502.
    UC,
    /// The endpoint's answer is not valid HTTP: 502.
    UPE,
    /// The client went away.
    DC,
    /// The request itself is not valid: 400.
    DPE,
    /// All variants of a split have weight 0: 503.
    DR,
    /// A limit of the circuit breaker is reached: 503.
    UO,
}

// === impl Flag ===

impl Flag {
    /// All flags, in order.
    pub const ALL: [Self; 10] = [
        Self::NR,
        Self::UH,
        Self::UF,
        Self::UT,
        Self::UC,
        Self::UPE,
        Self::DC,
        Self::DPE,
        Self::DR,
        Self::UO,
    ];

    /// The letters, as in logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NR => "NR",
            Self::UH => "UH",
            Self::UF => "UF",
            Self::UT => "UT",
            Self::UC => "UC",
            Self::UPE => "UPE",
            Self::DC => "DC",
            Self::DPE => "DPE",
            Self::DR => "DR",
            Self::UO => "UO",
        }
    }
}
