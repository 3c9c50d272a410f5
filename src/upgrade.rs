//! What a process and its surroundings tell each other: systemd, and the process that follows.

pub mod notify;
pub mod watchdog;
