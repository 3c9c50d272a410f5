//! Old processes that die at each step. The test is the old process; the new one is real.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;
use tidegate::upgrade::channel::Channel;
use tidegate::upgrade::message::{Asked, Peer, Told};

use super::SOON;
use super::support::{Load, eventually, ports, until};

/// A real heir, and the elder's end of the channel.
struct Heir {
    dir: TempDir,
    child: Child,
    channel: Option<Channel>,
    /// The listener and the admin API.
    sockets: Vec<(SocketAddr, TcpListener)>,
}

impl Heir {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sockets: Vec<_> = (0..2)
            .map(|_| {
                let address = ports::free_addr();
                (address, TcpListener::bind(address).unwrap())
            })
            .collect();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let text = format!(
            "server: {{ threads: 2, grace_period: 5s, pid_file: {}, upgrade_socket: {} }}\nadmin: {{ address: '{}' }}\nlisteners: [ {{ name: http, address: '{}' }} ]\nroutes: [ {{ name: all, respond: {{ status: 200, body: heir }} }} ]\n",
            path("pid"),
            path("sock"),
            sockets[1].0,
            sockets[0].0
        );
        std::fs::write(path("c.yaml"), text).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["run", "-c", &path("c.yaml")])
            .env("TIDEGATE_HEIR", "1")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let channel = Some(Channel::new(ours, 1 << 20, false).unwrap());
        Self { dir, child, channel, sockets }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// Plays the elder for so many of its words.
    async fn play(&mut self, words: usize) {
        let pid_file = self.path("pid");
        let channel = self.channel.as_mut().unwrap();
        let Ok(Asked::Hello(hello)) = channel.receive().await else { panic!("no hello") };
        assert_eq!(hello, Peer { pid: self.child.id(), ..Peer::ours() });
        if words >= 1 {
            let Peer { protocol, version, pid } = Peer::ours();
            let heritage = Box::default();
            channel.send(&Told::Welcome { protocol, version, pid, heritage }).await.unwrap();
            let Ok(Asked::Ready { claims }) = channel.receive().await else { panic!("not ready") };
            let claimed: Vec<_> = claims.iter().map(|claim| claim.address).collect();
            assert_eq!(claimed, self.sockets.iter().map(|(address, _)| *address).collect::<Vec<_>>());
        }
        if words >= 2 {
            let held = self.sockets.iter().map(|(address, _)| *address).collect();
            let descriptors: Vec<OwnedFd> =
                self.sockets.iter().map(|(_, socket)| socket.try_clone().unwrap().into()).collect();
            channel.send_descriptors(&descriptors).await.unwrap();
            let sockets = Told::Sockets { heritage: Box::default(), held, lent: Vec::new() };
            channel.send(&sockets).await.unwrap();
        }
        if words >= 3 {
            assert_eq!(channel.receive::<Asked>().await.unwrap(), Asked::Serving {});
            assert!(!pid_file.exists(), "it is not main yet");
        }
        if words >= 4 {
            channel.send(&Told::Settled {}).await.unwrap();
        }
    }

    async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually(SOON, async || child.try_wait().unwrap().ok_or("it still runs")).await
    }

    async fn is_main(&self) {
        let own = self.child.id().to_string();
        let says = || std::fs::read_to_string(self.path("pid")).unwrap_or_default();
        until(SOON, "it is main", || says().trim() == own && self.path("sock").exists()).await;
        let load = Load::new(self.sockets[0].0);
        load.run_for(std::time::Duration::from_millis(100)).await.assert_clean();
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the heir\n{}", self.log());
        }
    }
}

#[tokio::test]
async fn before_it_gave_the_sockets_the_heir_ends() {
    for words in 0..2 {
        let mut heir = Heir::new();
        heir.play(words).await;
        heir.channel = None;
        assert_eq!(heir.ended().await.code(), Some(1));
        assert!(heir.log().contains("it closed the channel"), "{}", heir.log());
        assert!(!heir.path("pid").exists() && !heir.path("sock").exists());
    }
}

#[tokio::test]
async fn after_that_the_heir_is_main() {
    for words in 2..5 {
        let mut heir = Heir::new();
        heir.play(words).await;
        heir.channel = None;
        heir.is_main().await;
    }
}

#[tokio::test]
async fn an_elder_of_another_protocol_is_refused() {
    let mut heir = Heir::new();
    heir.play(0).await;
    let welcome = Told::Welcome { protocol: 9, version: "9.0".into(), pid: 1, heritage: Box::default() };
    heir.channel.as_mut().unwrap().send(&welcome).await.unwrap();
    assert_eq!(heir.ended().await.code(), Some(1));
    assert!(heir.log().contains("(9.0) speaks version 9"), "{}", heir.log());
}

#[tokio::test]
async fn who_only_says_that_it_is_an_heir_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["run", "-c", "/nowhere"])
        .env("TIDEGATE_HEIR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("TIDEGATE_HEIR is set, and stdin is no channel"), "{said}");
}
