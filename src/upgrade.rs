//! How a process comes to its sockets, and how they go from one process to the next.

pub mod activation;
pub mod gate;
pub mod sockets;
