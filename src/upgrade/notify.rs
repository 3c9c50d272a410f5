//! What systemd is told of this process: `sd_notify(3)`, without its library.
//!
//! Every function here does nothing where no service manager listens (`NOTIFY_SOCKET` is not set).
//! A message that cannot be sent is not sent again and nothing waits for it longer than
//! [`PATIENCE`]: a service manager that hangs must not hang the proxy. The bad side: a lost READY=1
//! of a start ends in systemd's start timeout.
//!
//! Only the main process of the unit is heard (`NotifyAccess=main`), so a process that takes over is
//! silent until the one before it has said `MAINPID=`. Who speaks when is in [`herald`].

pub mod herald;

use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// How long a message may wait for room in systemd's queue.
const PATIENCE: Duration = Duration::from_millis(200);

/// A status line is cut here; systemd takes messages of a few KiB, and people read one line.
const LONGEST: usize = 400;

/// One assignment of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It serves.
    Ready,
    /// It reads its config again.
    Reloading,
    /// It is on its way out.
    Stopping,
    /// One line for people.
    Status(String),
    /// Another process is the main one from now on.
    MainPid(u32),
    /// It is alive.
    Watchdog,
    /// The state it is in may last so much longer.
    Extend(Duration),
}

/// Whether a service manager listens.
pub fn wanted() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// How often it wants to hear that this process is alive, if it does: `WatchdogSec=` of the unit.
pub fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|_| wanted()).filter(|period| !period.is_zero())
}

/// It serves, or serves again after a reload.
pub fn ready(status: &str) {
    send(&[Word::Ready, Word::Status(status.into())]);
}

/// A reload begins.
pub fn reloading() {
    send(&[Word::Reloading]);
}

/// It is on its way out.
pub fn stopping(status: &str) {
    send(&[Word::Stopping, Word::Status(status.into())]);
}

/// One line for people; `systemctl status` shows it.
pub fn status(text: &str) {
    send(&[Word::Status(text.into())]);
}

/// Another process is the main one from now on; this one is heard no more.
///
/// # Errors
///
/// Somebody listens and did not take it in time. Then this process must not end as if it had: to a
/// service manager that would be the end of the service. (A variable that names nobody is none.)
pub fn main_pid(pid: u32) -> io::Result<()> {
    std::env::var_os("NOTIFY_SOCKET").map_or(Ok(()), |socket| tell_main(&socket, pid))
}

fn tell_main(socket: &OsStr, pid: u32) -> io::Result<()> {
    match deliver(socket, &message(&[Word::MainPid(pid)])) {
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Ok(())
        }
        done => done,
    }
}

/// It is alive.
pub fn watchdog() {
    send(&[Word::Watchdog]);
}

/// Sends one message.
pub fn send(words: &[Word]) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = deliver(&socket, &message(words)) {
        // Not louder: whoever set the variable may have gone, and every second has a message.
        debug!(%error, socket = %socket.display(), "systemd cannot be told");
    }
}

fn deliver(socket: &OsStr, message: &str) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(PATIENCE))?;
    // The crate knows no names without a file, which containers' managers use.
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    sender.connect_addr(&address)?;
    sender.send(message.as_bytes()).map(drop)
}

/// A message as it goes over the socket.
fn message(words: &[Word]) -> String {
    let mut text = String::new();
    let mut line = |state: NotifyState<'_>| {
        let _ = writeln!(text, "{state}");
    };
    for word in words {
        match word {
            Word::Ready => line(NotifyState::Ready),
            Word::Reloading => {
                line(NotifyState::Reloading);
                // Since systemd 253 a reload without the time it began is an error.
                if let Ok(now) = NotifyState::monotonic_usec_now() {
                    line(now);
                }
            }
            Word::Stopping => line(NotifyState::Stopping),
            Word::Status(text) => line(NotifyState::Status(&one_line(text))),
            Word::MainPid(pid) => line(NotifyState::MainPid(*pid)),
            Word::Watchdog => line(NotifyState::Watchdog),
            Word::Extend(time) => {
                line(NotifyState::ExtendTimeoutUsec(u32::try_from(time.as_micros()).unwrap_or(u32::MAX)));
            }
        }
    }
    text
}

/// A line feed would begin another assignment, and the text may quote a config file.
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lines_and_text_stays_on_its_own() {
        let words =
            [Word::Ready, Word::Status("bad:\nMAINPID=1".into()), Word::Extend(Duration::from_secs(10))];
        assert_eq!(message(&words), "READY=1\nSTATUS=bad: MAINPID=1\nEXTEND_TIMEOUT_USEC=10000000\n");
        let reloading = message(&[Word::Reloading]);
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(time.trim().parse::<u64>().unwrap() > 0, "{reloading}");
        assert_eq!(one_line(&"é".repeat(500)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn sockets_with_and_without_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("tidegate-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstract_name).unwrap();
        let by_path = UnixDatagram::bind(&path).unwrap();
        for (socket, address) in [(by_path, path.as_os_str()), (by_name, OsStr::new(&format!("@{name}")))] {
            deliver(address, "READY=1\n").unwrap();
            let mut bytes = [0; 64];
            let length = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"READY=1\n");
        }
        assert!(deliver(dir.path().join("nobody").as_os_str(), "READY=1\n").is_err());
    }

    #[test]
    fn who_is_main_is_not_lost_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        assert!(tell_main(path.as_os_str(), 1).is_ok(), "nobody listens");
        let hangs = UnixDatagram::bind(&path).unwrap();
        while deliver(path.as_os_str(), "WATCHDOG=1\n").is_ok() {}
        let why = tell_main(path.as_os_str(), 1).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::WouldBlock);
        drop(hangs);
        assert!(tell_main(path.as_os_str(), 1).is_ok(), "its file is there and it is gone");
    }
}
