//! A body that nobody needs, of a request that has been answered.
//!
//! To let go of the stream is to reset it, with NO_ERROR (RFC 9113 8.1). That is allowed, but many
//! clients take any reset for a failure, and curl throws the answer away: an upload to a route that
//! redirects would see no redirect. So what still comes is read and thrown away for as long as
//! HTTP/1 does that.
//!
//! The bad side: a stream that is answered so counts as open for as much longer.

use h2::RecvStream;
use tokio::time::timeout;

use crate::proxy::linger::LINGER;

/// Reads on, in the background.
pub(super) fn drain(mut body: RecvStream) {
    // Without a runtime the process is ending.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(timeout(LINGER, async move {
        while let Some(Ok(data)) = body.data().await {
            // More than was received can't be given back, so this does not fail.
            let _ = body.flow_control().release_capacity(data.len());
        }
    }));
}
