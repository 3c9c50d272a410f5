//! `tidegate schema`: the JSON Schema of the config file, from which editors complete.

use std::io::{self, Write as _};

use crate::config;

/// Prints the schema on stdout.
///
/// # Errors
///
/// When stdout cannot be written. A reader that closes early, as `head` does, is no error.
pub fn run() -> io::Result<()> {
    let text = format!("{:#}\n", config::schema::schema());
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
