//! How a process comes to its sockets, how they go from one process to the next, and what systemd is
//! told of it.

pub mod activation;
pub mod gate;
pub mod notify;
pub mod sockets;
pub mod watchdog;
