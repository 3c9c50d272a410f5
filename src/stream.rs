//! What Pingora asks of a stream beside bytes, for streams of ours that stand around another.
//!
//! Who a connection is, where it comes from and how long it took are asked of the stream, through
//! whatever is around it. Each of ours hands these questions on, all in the same words, so the words
//! are here, once. What a stream does itself (bytes, TLS, closing, peeking) it says itself.

/// Hands on what is known of a connection to the stream inside: `hands_on!(Type, field)`.
macro_rules! hands_on {
    ($type:ty, $inner:tt) => {
        impl ::pingora::protocols::UniqueID for $type {
            fn id(&self) -> ::pingora::protocols::UniqueIDType {
                self.$inner.id()
            }
        }

        impl ::pingora::protocols::GetTimingDigest for $type {
            fn get_timing_digest(&self) -> Vec<Option<::pingora::protocols::TimingDigest>> {
                self.$inner.get_timing_digest()
            }

            fn get_read_pending_time(&self) -> ::std::time::Duration {
                self.$inner.get_read_pending_time()
            }

            fn get_write_pending_time(&self) -> ::std::time::Duration {
                self.$inner.get_write_pending_time()
            }
        }

        impl ::pingora::protocols::GetProxyDigest for $type {
            fn get_proxy_digest(
                &self,
            ) -> Option<::std::sync::Arc<::pingora::protocols::raw_connect::ProxyDigest>> {
                self.$inner.get_proxy_digest()
            }

            fn set_proxy_digest(&mut self, digest: ::pingora::protocols::raw_connect::ProxyDigest) {
                self.$inner.set_proxy_digest(digest);
            }
        }

        impl ::pingora::protocols::GetSocketDigest for $type {
            fn get_socket_digest(&self) -> Option<::std::sync::Arc<::pingora::protocols::SocketDigest>> {
                self.$inner.get_socket_digest()
            }

            fn set_socket_digest(&mut self, digest: ::pingora::protocols::SocketDigest) {
                self.$inner.set_socket_digest(digest);
            }
        }
    };
}

pub(crate) use hands_on;
