//! The proxy that is trained: started, told to read its config again, and ended in the ordinary way, for
//! a process that is killed writes no profile.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::template::Values;
use crate::tls;

const CONFIG: &str = include_str!("tidegate.yaml");

/// How many routes of each sort there are; of the last one more with each reload.
pub(crate) const ROUTES: usize = 50;
const MORE: usize = 300;

/// A running one. Killed if it is dropped before its end.
pub(crate) struct Proxy {
    child: Child,
    file: PathBuf,
    values: Values,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Tunnels to its TLS listener for HTTP/1.1 and for HTTP/2.
    pub(crate) sealed: Option<[SocketAddr; 2]>,
}

// === impl Proxy ===

impl Proxy {
    /// Starts the binary. `behind`: three good servers and a bad one.
    pub(crate) fn start(binary: &Path, folder: &Path, behind: [SocketAddr; 4]) -> Result<Self> {
        let [http, https, admin] = [free_address()?, free_address()?, free_address()?];
        let tls = tls::certificate(folder)?;
        if !tls {
            eprintln!(
                "train: NO openssl HERE; TLS is left out, and will be no faster than without a profile"
            );
        }
        let mut values = Values::default();
        values.values.insert("folder", folder.display().to_string());
        let addresses = [http, https, admin].into_iter().chain(behind);
        for (name, address) in ["http", "https", "admin", "a", "b", "c", "bad"].into_iter().zip(addresses) {
            values.values.insert(name, address.to_string());
        }
        values.flags.insert("tls", tls);
        for name in ["split", "dealt", "plain"] {
            values.lists.insert(name, (0..ROUTES).collect());
        }
        let file = folder.join("tidegate.yaml");
        write(&file, &mut values, 0)?;
        let mut command = Command::new(binary);
        command.args(["run", "-c"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(folder.join("log"))?);
        let child = command.spawn().map_err(|e| format!("{}: {e}", binary.display()))?;
        let mut proxy = Self { child, file, values, http, admin, sealed: None };
        proxy.wait()?;
        if tls {
            proxy.sealed = Some([tls::tunnel(https, "http/1.1")?, tls::tunnel(https, "h2")?]);
        }
        Ok(proxy)
    }

    /// Until it takes connections.
    fn wait(&mut self) -> Result<()> {
        for _ in 0..500 {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended at once: {status}").into());
            }
            if TcpStream::connect(self.http).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("it does not listen on {}", self.http).into())
    }

    /// Has it read a config in which some weights and a route are new.
    pub(crate) fn reload(&mut self, turn: usize) -> Result<()> {
        write(&self.file, &mut self.values, turn)?;
        self.signal("HUP")
    }

    /// Ends it, and waits for that.
    pub(crate) fn end(mut self) -> Result<()> {
        self.signal("TERM")?;
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() { Ok(()) } else { Err(format!("its end: {status}").into()) };
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err("it does not end when told to".into())
    }

    fn signal(&self, name: &str) -> Result<()> {
        let told = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status()?;
        if told.success() { Ok(()) } else { Err(format!("kill -s {name}: {told}").into()) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(file: &Path, values: &mut Values, turn: usize) -> Result<()> {
    values.values.insert("weight", (90 - turn).to_string());
    values.lists.insert("more", (0..MORE + turn).collect());
    Ok(fs::write(file, values.fill(CONFIG)?)?)
}

/// An address that nobody listens on. Somebody may take it before the proxy does; then the run ends
/// with an error.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
