//! Which socket is asked, and why that one.
//!
//! A config with problems is refused here, before anything is asked: the new process would refuse
//! it as well, some seconds later and in the log. Who means another config than the running
//! process's names the socket.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::config::boot::Server;
use crate::config::load;

use super::trouble::Trouble;

/// The socket of a running process.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) path: PathBuf,
    /// Where the path is from.
    from: String,
}

// === impl Target ===

impl Target {
    pub(super) fn new(config: Option<&Path>, socket: Option<&Path>) -> Result<Self, Trouble> {
        match (config, socket) {
            (_, Some(path)) => Ok(Self { path: path.to_owned(), from: "from --socket".to_owned() }),
            (None, None) => {
                let path = Server::default().upgrade_socket;
                Ok(Self { path, from: "the default; -c FILE or --socket PATH says another".to_owned() })
            }
            (Some(file), None) => {
                let config = load::attempt(file).finish().map_err(|problems| refused(file, &problems))?.0;
                let from = format!("`server.upgrade_socket` of {}", file.display());
                Ok(Self { path: config.boot.server.upgrade_socket, from })
            }
        }
    }

    /// Why nobody can be asked.
    pub(super) fn unreachable(&self, error: &io::Error) -> Trouble {
        let path = self.path.display();
        match error.kind() {
            ErrorKind::NotFound => Trouble::new(format!("there is no socket {path} ({})", self.from))
                .hint("is tidegate running? It makes the socket when it serves"),
            ErrorKind::ConnectionRefused => {
                Trouble::new(format!("nobody listens on {path} ({}): who made it is gone", self.from))
                    .hint("start tidegate; a start replaces what is left there")
            }
            ErrorKind::PermissionDenied => Trouble::new(format!("permission denied: {path} ({})", self.from))
                .hint("run it as root, or as the user that the service runs as: sudo tidegate upgrade"),
            _ => Trouble::new(format!("cannot connect to {path} ({}): {error}", self.from)),
        }
    }
}

fn refused(file: &Path, problems: &[crate::config::Problem]) -> Trouble {
    let shown = problems.first().map(ToString::to_string).unwrap_or_default();
    let more = match problems.len() {
        0 | 1 => String::new(),
        all => format!("; and {} more", all - 1),
    };
    Trouble::new(format!("the config has problems, so a new process would not start: {shown}{more}"))
        .now("nothing was asked; whoever runs serves on")
        .hint(format!(
            "`tidegate check -c {}` shows all; `--socket PATH` asks a process that runs another config",
            file.display()
        ))
}
