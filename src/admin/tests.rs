//! The admin application over a real socket, with a world that is made up.

mod fake;
mod requests;
