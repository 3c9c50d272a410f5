//! What passes, byte by byte, and what the endpoint then gets; and that of whatever is sent the
//! endpoint gets the valid requests and nothing else. What is refused is `malformed.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "hygiene/fuzz.rs"]
mod fuzz;
#[path = "hygiene/passed.rs"]
mod passed;
#[path = "hygiene/recorder.rs"]
mod recorder;
#[path = "hygiene/reference.rs"]
mod reference;
