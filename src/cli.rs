//! The commands. (Interface; the command line itself is under construction.)

pub mod check;
pub mod schema;
