//! Proper HTTP clients, without what makes a test lie: no proxy from the environment, no redirects,
//! no hidden retries.

use std::time::Duration;

use reqwest::redirect::Policy;

const DEADLINE: Duration = Duration::from_secs(20);

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .timeout(DEADLINE)
        .connect_timeout(Duration::from_secs(5))
}

/// HTTP/1.1.
pub fn client() -> reqwest::Client {
    builder().http1_only().build().unwrap()
}

/// HTTP/2 in clear, by prior knowledge.
pub fn h2c_client() -> reqwest::Client {
    builder().http2_prior_knowledge().build().unwrap()
}
