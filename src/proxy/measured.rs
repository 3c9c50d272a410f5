//! What the benches may reach of a request's way. For nobody else.

use crate::proxy::http1::head::{Bounds, Progress, Scanner};

/// Whether these bytes are the whole head of a request of HTTP/1, and a valid one.
pub fn is_head(bytes: &[u8]) -> bool {
    let bounds = Bounds { header_bytes: 64 * 1024, headers: 100, target: 8 * 1024, trace: false };
    matches!(Scanner::new(bounds).scan(bytes), Progress::Whole(_))
}
