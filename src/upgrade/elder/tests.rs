use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::upgrade::{FREEZE, HELLO, PROBATION, SERVING};

const PATIENCE: Duration = Duration::from_secs(60);

/// Notes what is done to it.
#[derive(Clone)]
struct Fake {
    did: mpsc::UnboundedSender<String>,
    /// The disk hangs.
    hangs: Arc<AtomicBool>,
}

impl Fake {
    fn note(&self, what: impl Into<String>) {
        let _ = self.did.send(what.into());
    }
}

#[async_trait]
impl Estate for Fake {
    async fn bequeath(&self, last: bool) -> Result<Heritage, String> {
        self.note(format!("bequeath {last}"));
        if last && self.hangs.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(Heritage::default())
    }

    fn thaw(&self) {
        self.note("thaw");
    }

    fn sockets(&self, claims: &[Claim]) -> Offer {
        self.note(format!("sockets {}", claims.len()));
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        Offer { held: vec![(socket.local_addr().unwrap(), socket.into())], lent: Vec::new() }
    }

    fn unshare(&self) {
        self.note("unshare");
    }

    fn shut(&self) {
        self.note("shut");
    }

    fn open(&self) {
        self.note("open");
    }

    fn main(&self, pid: u32) -> Result<(), String> {
        self.note(if pid == std::process::id() { "main: own" } else { "main: heir" });
        if self.hangs.load(Relaxed) { Err("systemd hangs".into()) } else { Ok(()) }
    }

    fn release(&self, claims: &[Claim]) {
        self.note(format!("release, but {}", claims.len()));
    }

    fn failed(&self) {
        self.note("failed");
    }
}

/// An elder, and an heir whose words the test says itself. The process behind it only sleeps.
struct Scene {
    asks: mpsc::Sender<Ask>,
    ending: watch::Sender<Ending>,
    progress: Progress,
    hangs: Arc<AtomicBool>,
    did: mpsc::UnboundedReceiver<String>,
    sleeper: std::process::Child,
    channel: Channel,
    elder: JoinHandle<()>,
}

impl Scene {
    async fn new() -> Self {
        let (did, notes) = mpsc::unbounded_channel();
        let hangs = Arc::new(AtomicBool::new(false));
        let (asks, asked) = mpsc::channel(4);
        let (ending, ends) = watch::channel(Ending::No);
        let progress = Progress::new();
        let elder = Elder {
            estate: Fake { did, hangs: hangs.clone() },
            program: Err("there is none".into()),
            progress: progress.clone(),
            patience: PATIENCE,
            asks: asked,
            ending: ends,
        };
        let elder = tokio::spawn(elder.run());
        let sleeper = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ask = Ask::Heir {
            process: Process::other(sleeper.id()).unwrap(),
            channel: Box::new(Channel::new(ours, MAX_ASKED, false).unwrap()),
            hello: Peer { pid: sleeper.id(), ..Peer::ours() },
        };
        asks.send(ask).await.unwrap();
        let channel = Channel::new(theirs, 1 << 20, true).unwrap();
        Self { asks, ending, progress, hangs, did: notes, sleeper, channel, elder }
    }

    /// Walks so many steps: welcome, sockets, serving, settled.
    async fn walk(&mut self, steps: usize) {
        if steps >= 1 {
            assert!(matches!(self.channel.receive().await.unwrap(), Told::Welcome { .. }));
        }
        if steps >= 2 {
            let address = "127.0.0.1:80".parse().unwrap();
            let claims = vec![Claim { name: "listener `http`".into(), address }];
            self.channel.send(&Asked::Ready { claims }).await.unwrap();
            let Told::Sockets { held, .. } = self.channel.receive().await.unwrap() else { panic!() };
            let came = self.channel.take_descriptors().pop().unwrap();
            assert_eq!(TcpListener::from(came).local_addr().unwrap(), held[0]);
        }
        if steps >= 3 {
            self.channel.send(&Asked::Serving {}).await.unwrap();
            self.done("shut").await;
        }
        if steps >= 4 {
            assert!(matches!(self.channel.receive().await.unwrap(), Told::Settled {}));
        }
    }

    /// All that is done until this.
    async fn done(&mut self, what: &str) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(did) = self.did.recv().await {
            all.push(did);
            if all.last().is_some_and(|last| last == what) {
                break;
            }
        }
        all
    }

    fn dead(&mut self) -> bool {
        matches!(self.sleeper.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.sleeper.kill();
        let _ = self.sleeper.wait();
        self.elder.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn it_settles_after_the_probation() {
    let mut scene = Scene::new().await;
    let mut reports = scene.progress.listen();
    scene.walk(3).await;
    let served = Instant::now();
    scene.walk_settled().await;
    assert_eq!(served.elapsed().as_secs(), PROBATION.as_secs());
    assert_eq!(scene.done("release, but 1").await, ["main: heir", "release, but 1"]);
    let mut steps = Vec::new();
    while let Ok(report) = reports.try_recv() {
        assert_eq!(report.heir_pid, Some(scene.sleeper.id()));
        steps.push(report.step);
    }
    let expected = [Step::Hello, Step::Ready, Step::Sockets, Step::Serving, Step::Settled];
    assert_eq!(steps[steps.len() - 5..], expected);
    assert!(!scene.dead(), "an heir that is main is let live");
    // And whoever asks now is told who serves.
    let (reply, answer) = oneshot::channel();
    scene.asks.send(Ask::Spawn { by: "test", reply }).await.unwrap();
    let why = answer.await.unwrap().unwrap_err();
    assert!(why.starts_with(&format!("process {} has taken over", scene.sleeper.id())), "{why}");
}

impl Scene {
    async fn walk_settled(&mut self) {
        assert!(matches!(self.channel.receive().await.unwrap(), Told::Settled {}));
    }

    /// What was undone, once it has failed.
    async fn undone(&mut self) -> Vec<String> {
        let mut done = self.done("failed").await;
        let undoing = ["main: own", "open", "unshare", "thaw", "failed"];
        done.retain(|what| undoing.contains(&what.as_str()));
        done
    }
}

const UNDONE: [&[&str]; 4] =
    [&["failed"], &["failed"], &["unshare", "thaw", "failed"], &["open", "unshare", "thaw", "failed"]];

#[tokio::test(start_paused = true)]
async fn an_heir_that_is_late_is_killed_and_all_is_as_before() {
    for (steps, limit) in [(1, PATIENCE), (2, SERVING)] {
        let mut scene = Scene::new().await;
        scene.walk(steps).await;
        let begin = Instant::now();
        assert_eq!(scene.undone().await, UNDONE[steps]);
        let took = begin.elapsed();
        assert!(took >= limit && took < limit + Duration::from_secs(2), "{steps}: {took:?}");
        assert!(scene.dead());
    }
}

#[tokio::test]
async fn an_heir_that_dies_or_leaves_gives_all_back() {
    for (steps, expected) in UNDONE.iter().enumerate().take(4).skip(1) {
        for kill in [true, false] {
            let mut scene = Scene::new().await;
            let mut reports = scene.progress.listen();
            scene.walk(steps).await;
            if kill {
                scene.sleeper.kill().unwrap();
            } else {
                scene.channel = Channel::new(UnixStream::pair().unwrap().0, 1, false).unwrap();
            }
            assert_eq!(scene.undone().await, *expected, "after {steps}");
            assert!(scene.dead());
            let why = loop {
                let report = reports.recv().await.unwrap();
                if report.step == Step::Failed {
                    break report.why.unwrap();
                }
            };
            assert!(why.starts_with(if kill { "it is gone" } else { "it closed the channel" }), "{why}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_ends_it() {
    let mut scene = Scene::new().await;
    scene.hangs.store(true, Relaxed);
    scene.walk(1).await;
    let begin = Instant::now();
    scene.channel.send(&Asked::Ready { claims: Vec::new() }).await.unwrap();
    assert_eq!(scene.undone().await, UNDONE[2]);
    assert!(begin.elapsed() >= FREEZE && begin.elapsed() < FREEZE + HELLO);
}

#[tokio::test(start_paused = true)]
async fn a_service_manager_that_hears_nothing_ends_it() {
    let mut scene = Scene::new().await;
    scene.walk(3).await;
    scene.hangs.store(true, Relaxed);
    assert_eq!(scene.undone().await, ["main: own", "open", "unshare", "thaw", "failed"]);
    assert!(scene.dead());
}

#[tokio::test(start_paused = true)]
async fn a_stop_amid_it_goes_to_the_heir_too() {
    for steps in 1..4 {
        let mut scene = Scene::new().await;
        scene.walk(steps).await;
        scene.ending.send_replace(Ending::Drain);
        while !scene.dead() {
            sleep(Duration::from_millis(1)).await;
        }
        let (reply, answer) = oneshot::channel();
        scene.asks.send(Ask::Spawn { by: "test", reply }).await.unwrap();
        assert_eq!(answer.await.unwrap().unwrap_err(), "this process is stopping");
    }
}

#[tokio::test(start_paused = true)]
async fn another_meanwhile_is_refused_and_changes_nothing() {
    let mut scene = Scene::new().await;
    scene.walk(2).await;
    let (reply, answer) = oneshot::channel();
    scene.asks.send(Ask::Spawn { by: "test", reply }).await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap_err(), "an upgrade is under way");
    scene.channel.send(&Asked::Serving {}).await.unwrap();
    scene.walk_settled().await;
}

#[tokio::test]
async fn what_cannot_be_started_is_said_and_can_be_tried_again() {
    let mut scene = Scene::new().await;
    scene.sleeper.kill().unwrap();
    scene.undone().await;
    for _ in 0..2 {
        let (reply, answer) = oneshot::channel();
        scene.asks.send(Ask::Spawn { by: "test", reply }).await.unwrap();
        assert_eq!(answer.await.unwrap().unwrap_err(), "there is none");
        assert_eq!(scene.undone().await, ["failed"]);
    }
}
