//! A file's bytes as text, or why not.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::config::{Location, Problem};

/// A config of 10,000 routes has about 4 MiB. Beyond this, it is some other file.
const MAX_BYTES: u64 = 16 << 20;

/// Reads a file of at most 16 MiB of UTF-8.
pub(crate) fn text(path: &Path) -> Result<String, Box<Problem>> {
    let bytes = bytes(path).map_err(|e| Box::new(unreadable(path, &e)))?;
    if bytes.len() as u64 > MAX_BYTES {
        let what = format!("{} is larger than {} MiB; is it a config file?", path.display(), MAX_BYTES >> 20);
        return Err(Box::new(Problem::new("", what)));
    }
    String::from_utf8(bytes).map_err(|e| Box::new(not_text(path, e.as_bytes(), e.utf8_error().valid_up_to())))
}

/// One byte more than is allowed, at most, so that a device cannot fill the memory.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Problem::new("", format!("there is no file {shown}")),
        io::ErrorKind::IsADirectory => {
            Problem::new("", format!("{shown} is a folder")).hint("name the file inside it")
        }
        io::ErrorKind::PermissionDenied => {
            let problem = Problem::new("", format!("{shown} may not be read"));
            problem.hint("it must be readable for the user that runs the proxy")
        }
        _ => Problem::new("", format!("cannot read {shown}: {error}")),
    }
}

fn not_text(path: &Path, bytes: &[u8], good: usize) -> Problem {
    let before = &bytes[..good.min(bytes.len())];
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    let column = 1 + String::from_utf8_lossy(&before[start..]).chars().count();
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut problem = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Problem::new("", "the file is UTF-16, not UTF-8"),
        _ => Problem::new("", "the file is not UTF-8 from here on"),
    };
    problem = problem.hint("save it as UTF-8");
    problem.at = Some(Location { file: path.to_owned(), line: number(line), column: number(column) });
    problem
}
