//! Terms of accepting: with a small application, and with the real door under load.

use std::net::{Ipv4Addr, TcpStream as Blocking};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::*;
use crate::app::Builder;
use crate::control::ready::Ready;
use crate::observe::access::AccessLog;
use crate::proxy::{Listener, Proxy};
use crate::snapshot::Cell;
use crate::upgrade::sockets::{Claim, Had};

const SOON: Duration = Duration::from_secs(10);

/// Says the number of its term to each byte.
struct Numbers(u8);

#[async_trait]
impl ServerApp for Numbers {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, _: &ShutdownWatch) -> Option<Stream> {
        let mut byte = [0];
        while stream.read_exact(&mut byte).await.is_ok() {
            stream.write_all(&[self.0]).await.ok()?;
            stream.flush().await.ok()?;
        }
        None
    }
}

/// A service that runs, and what steers it.
struct Running {
    gate: Gate,
    sockets: Sockets,
    addresses: Vec<SocketAddr>,
    ready: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
}

fn claims(count: usize) -> Vec<Claim> {
    let free = (0..count).map(|_| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let free: Vec<_> = free.collect();
    free.iter().map(|socket| Claim::listener("web", socket.local_addr().unwrap())).collect()
}

fn run(claims: &[Claim], had: Had, open: bool, ends: Ends) -> Running {
    let sockets = Sockets::bind(claims, had).unwrap();
    let addresses: Vec<_> = claims.iter().map(|claim| claim.address).collect();
    let buffers = L4BufferSettings::new(0, 0);
    let endpoint = |address: &SocketAddr| Endpoint { address: *address, buffers, keepalive: None };
    let endpoints = addresses.iter().map(endpoint).collect();
    let (gate, term) = (Gate::new(open), std::sync::atomic::AtomicU8::new(0));
    let number = move |_| Numbers(term.fetch_add(1, Relaxed) + 1);
    let mut listening = Listening::new("test", endpoints, (gate.clone(), sockets.clone()), number).ends(ends);
    let ((stop, stopped), (told, ready)) = (watch::channel(false), watch::channel(false));
    tokio::spawn(async move {
        let ready = ServiceReadyNotifier::new(told);
        listening.start_service(None, stopped, 1, ready).await;
    });
    Running { gate, sockets, addresses, ready, stop }
}

async fn ask(stream: &mut TcpStream) -> io::Result<u8> {
    stream.write_all(b"?").await?;
    let answer = timeout(Duration::from_millis(300), stream.read_u8()).await;
    answer.map_err(|_| io::ErrorKind::TimedOut)?
}

#[tokio::test]
async fn a_gate_opens_and_shuts_and_opens() {
    let mut running = run(&claims(1), Had::default(), false, Ends::AtStop);
    let (gate, address) = (running.gate.clone(), running.addresses[0]);
    assert!(timeout(Duration::from_millis(100), running.ready.wait_for(|ready| *ready)).await.is_err());
    assert!(TcpStream::connect(address).await.is_err(), "it does not listen before it serves");
    gate.open();
    assert_eq!(gate.reached(State::Accepting).await, State::Accepting);
    timeout(SOON, running.ready.wait_for(|ready| *ready)).await.unwrap().unwrap();
    let mut first = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut first).await.unwrap(), 1);
    for term in 2..5 {
        gate.shut();
        assert_eq!(gate.reached(State::Paused).await, State::Paused);
        let mut waits = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut waits).await.is_err(), "nobody accepts");
        assert_eq!(ask(&mut first).await.unwrap(), 1, "who is in stays in");
        gate.open();
        gate.reached(State::Accepting).await;
        assert_eq!(waits.read_u8().await.unwrap(), term);
    }
    running.stop.send_replace(true);
    assert_eq!(gate.reached(State::Closed).await, State::Closed);
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(ask(&mut first).await.unwrap(), 1);
}

#[tokio::test]
async fn who_waits_in_a_queue_is_served_when_the_socket_closes() {
    for shut in [false, true] {
        let running = run(&claims(2), Had::default(), true, Ends::AtStop);
        running.gate.reached(State::Accepting).await;
        if shut {
            running.gate.shut();
            running.gate.reached(State::Paused).await;
        }
        let [a, b] = running.addresses[..] else { panic!("two") };
        // This thread runs everything, so nobody accepts them before the next await.
        let waiting: Vec<_> = [a, a, b].into_iter().map(|at| Blocking::connect(at).unwrap()).collect();
        running.sockets.release(&[]);
        assert_eq!(running.gate.reached(State::Closed).await, State::Closed);
        for stream in waiting {
            stream.set_nonblocking(true).unwrap();
            assert_eq!(ask(&mut TcpStream::from_std(stream).unwrap()).await.unwrap(), 1);
        }
        assert!(TcpStream::connect(a).await.is_err() && TcpStream::connect(b).await.is_err());
    }
}

#[tokio::test]
async fn the_queue_of_a_socket_that_another_holds_is_left_to_it() {
    let claims = claims(2);
    let elder = run(&claims, Had::default(), true, Ends::AtStop);
    elder.gate.reached(State::Accepting).await;
    let [a, b] = elder.addresses[..] else { panic!("two") };
    let handed = elder.sockets.all().into_iter().map(|(address, fd)| (address, fd.into()));
    // The heir claims the first only, and has not opened its gate.
    let mut handed: Vec<(SocketAddr, std::net::TcpListener)> = handed.collect();
    handed.retain(|(address, _)| *address == a);
    let heir = run(&claims[..1], Had::from_elder(handed, Vec::new()), false, Ends::AtStop);
    elder.gate.shut();
    elder.gate.reached(State::Paused).await;
    let mut waits = [TcpStream::connect(a).await.unwrap(), TcpStream::connect(b).await.unwrap()];
    elder.sockets.release(&[a]);
    assert_eq!(elder.gate.reached(State::Closed).await, State::Closed);
    assert_eq!(ask(&mut waits[1]).await.unwrap(), 1);
    assert!(ask(&mut waits[0]).await.is_err(), "it waits for the heir");
    heir.gate.open();
    assert_eq!(timeout(SOON, waits[0].read_u8()).await.unwrap().unwrap(), 1);
}

/// The process is told to stop before the hand-over is settled.
#[tokio::test]
async fn a_stop_does_nothing_to_a_socket_that_an_heir_may_hold() {
    let elder = run(&claims(1), Had::default(), true, Ends::AtStop);
    elder.gate.reached(State::Accepting).await;
    let address = elder.addresses[0];
    let heir: std::net::TcpListener = elder.sockets.all().remove(0).1.into();
    elder.stop.send_replace(true);
    assert_eq!(elder.gate.reached(State::Closed).await, State::Closed);
    let connected = timeout(SOON, TcpStream::connect(address)).await.unwrap();
    assert!(connected.is_ok() && heir.accept().is_ok());
}

#[tokio::test]
async fn one_that_never_ends_does_not_hear_of_a_stop() {
    let running = run(&claims(1), Had::default(), true, Ends::Never);
    running.gate.reached(State::Accepting).await;
    running.stop.send_replace(true);
    assert!(timeout(Duration::from_millis(200), running.gate.reached(State::Closed)).await.is_err());
    let mut stream = TcpStream::connect(running.addresses[0]).await.unwrap();
    assert_eq!(ask(&mut stream).await.unwrap(), 1);
}

/// More than a task may take from locks before it has to yield.
#[tokio::test]
async fn three_hundred_sockets_are_open_when_it_says_so() {
    let running = run(&claims(300), Had::default(), true, Ends::AtStop);
    timeout(SOON, running.ready.clone().wait_for(|ready| *ready)).await.unwrap().unwrap();
    for address in &running.addresses {
        assert!(Blocking::connect(address).is_ok());
    }
}

/// Requests on a kept connection; a new one after `connection: close`. How many were answered, or
/// what went wrong.
async fn load(address: SocketAddr, end: Instant) -> Result<u32, String> {
    let (mut asked, mut stream) = (0, None::<TcpStream>);
    while Instant::now() < end {
        let mut kept = match stream.take() {
            Some(kept) => kept,
            None => TcpStream::connect(address).await.map_err(|e| format!("connect: {e}"))?,
        };
        kept.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.map_err(|e| format!("write: {e}"))?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nfine") {
            let read = timeout(SOON, kept.read_buf(&mut answer)).await.map_err(|_| "late".to_owned())?;
            if read.map_err(|e| format!("read: {e}"))? == 0 {
                return Err(format!("closed after {asked}: {}", String::from_utf8_lossy(&answer)));
            }
        }
        asked += 1;
        let closes = String::from_utf8_lossy(&answer).to_lowercase().contains("connection: close");
        stream = (!closes).then_some(kept);
        sleep(Duration::from_millis(1)).await;
    }
    Ok(asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_however_often_the_gate_shuts() {
    let claims = claims(1);
    let address = claims[0].address;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.yaml");
    let text = format!(
        "listeners: [ {{ name: web, address: '{address}' }} ]\nroutes: [ {{ name: all, respond: {{ status: 200, body: fine }} }} ]\n"
    );
    std::fs::write(&file, text).unwrap();
    let builder = Builder::file(&file);
    let (config, ..) = builder.load().unwrap();
    let around = builder.surroundings(&config.boot).unwrap();
    let mut snapshot = builder.snapshot().unwrap();
    snapshot.access_log = Arc::new(AccessLog::default());
    let listener = Listener::new(&config.boot, &config.boot.listeners[0], None, &around.metrics);
    let proxy = Proxy::new(Arc::new(Cell::new(snapshot)), Arc::new(Ready::new()), vec![listener]);
    let (gate, sockets) = (Gate::new(true), Sockets::bind(&claims, Had::default()).unwrap());
    let conf = Arc::new(crate::app::server_conf(&config.boot));
    let mut door = crate::app::service::proxy(&config.boot, (gate.clone(), sockets), conf, proxy.clone());
    let (_stop, stopped) = watch::channel(false);
    let ready = ServiceReadyNotifier::new(watch::Sender::new(false));
    tokio::spawn(async move { door.start_service(None, stopped, 1, ready).await });
    gate.reached(State::Accepting).await;
    let end = Instant::now() + Duration::from_secs(4);
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(load(address, end))).collect();
    for _ in 0..4 {
        sleep(Duration::from_millis(400)).await;
        gate.shut();
        gate.reached(State::Paused).await;
        sleep(Duration::from_millis(100)).await;
        gate.open();
        gate.reached(State::Accepting).await;
    }
    for client in clients {
        let answered = client.await.unwrap();
        assert!(answered.clone().is_ok_and(|asked| asked > 10), "{answered:?}");
    }
    assert_eq!(proxy.in_flight(), 0);
}
