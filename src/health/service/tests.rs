//! The service over a fake probe, with paused time and a real roster, compiler and cell.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use pingora_load_balancing::health_check::HealthCheck;
use tokio::time::{advance, sleep};

use super::testing::{Compiler, cluster};
use super::*;
use crate::endpoint::Endpoint;

/// What a fake endpoint does with a probe.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Pass,
    Fail,
    Hang,
    Panic,
    Take(Duration),
}

#[expect(clippy::disallowed_types, reason = "a test")]
#[derive(Default)]
struct World {
    does: std::sync::Mutex<HashMap<u16, Does>>,
    asked: std::sync::Mutex<Vec<(Instant, u16)>>,
    at_once: AtomicUsize,
    most: AtomicUsize,
}

/// Counts the probes in flight, also those that are dropped.
struct Flying<'a>(&'a AtomicUsize);

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

struct Fake(Arc<World>);

#[async_trait]
impl HealthCheck for Fake {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        let world = &self.0;
        let port = target.addr.as_inet().unwrap().port();
        world.asked.lock().unwrap().push((Instant::now(), port));
        world.most.fetch_max(world.at_once.fetch_add(1, SeqCst) + 1, SeqCst);
        let _flying = Flying(&world.at_once);
        let does = world.does.lock().unwrap().get(&port).copied().unwrap_or(Does::Pass);
        match does {
            Does::Pass => Ok(()),
            Does::Fail => Err(probe::failed("told to")),
            Does::Hang => std::future::pending().await,
            Does::Panic => panic!("told to"),
            Does::Take(span) => {
                sleep(span).await;
                Ok(())
            }
        }
    }

    fn health_threshold(&self, _: bool) -> usize {
        1
    }
}

struct Bed {
    world: Arc<World>,
    compiler: Compiler,
    cell: Arc<Cell>,
    board: Arc<Board>,
    started: Arc<AtomicBool>,
    _stop: watch::Sender<bool>,
}

impl Bed {
    fn new() -> Self {
        let compiler = Compiler::new();
        let metrics = compiler.around.metrics.clone();
        let (cell, board) = (Arc::new(Cell::new(compiler.empty())), Arc::new(Board::default()));
        let (world, started) = (Arc::<World>::default(), Arc::<AtomicBool>::default());
        let (stop, stopped) = watch::channel(false);
        let fake = world.clone();
        let service =
            Service::with(cell.clone(), metrics, board.clone(), fastrand::Rng::with_seed(7), move |_, _| {
                Arc::new(Fake(fake.clone()))
            });
        let telling = started.clone();
        tokio::spawn(service.run(move || telling.store(true, SeqCst), stopped));
        Self { world, compiler, cell, board, started, _stop: stop }
    }

    /// Publishes these clusters: each a name, the ports of its endpoints, and the rest of its keys.
    fn publish(&mut self, clusters: &[(&str, &[u16], &str)]) {
        let text: String = clusters.iter().map(|(name, ports, more)| cluster(name, ports, more)).collect();
        self.publish_text(&text);
    }

    fn publish_text(&mut self, text: &str) {
        let next = self.compiler.next(text, &self.cell.load());
        self.cell.publish(next);
    }

    fn does(&self, port: u16, does: Does) {
        self.world.does.lock().unwrap().insert(port, does);
    }

    /// How often each probe of this port came, as the spans between them.
    fn spans(&self, port: u16) -> Vec<Duration> {
        let asked = self.world.asked.lock().unwrap();
        let times: Vec<_> = asked.iter().filter(|(_, p)| *p == port).map(|(at, _)| *at).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    fn asked(&self, port: u16) -> usize {
        self.world.asked.lock().unwrap().iter().filter(|(_, p)| *p == port).count()
    }

    fn endpoint(&self, cluster: &str, port: u16) -> Endpoint {
        let address = SocketAddr::from(([10, 0, 0, 1], port));
        let snapshot = self.cell.load();
        let endpoints = &snapshot.cluster(cluster).unwrap().endpoints;
        endpoints.iter().find(|e| e.member.address == address).unwrap().clone()
    }

    fn checked(&self, cluster: &str, port: u16) -> Checked {
        self.endpoint(cluster, port).state.checked()
    }

    fn why(&self, cluster: &str, port: u16) -> Option<String> {
        let address = SocketAddr::from(([10, 0, 0, 1], port));
        self.board.find(cluster, address)?.why.map(|why| why.to_string())
    }

    fn counted(&self, cluster: &str) -> [u64; 3] {
        let metrics = self.compiler.around.metrics.health_checks(cluster);
        [metrics.success.get(), metrics.failure.get(), metrics.timeout.get()]
    }
}

/// Lets a span pass, in steps, with everybody's turn in each.
async fn pass(span: Duration) {
    let step = Duration::from_millis(10);
    settle().await;
    for _ in 0..span.as_millis() / step.as_millis() {
        advance(step).await;
        settle().await;
    }
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);
const CHECK: &str = "health_check: { http: {}, interval: 10s, unhealthy_interval: 1s, timeout: 500ms }";

#[tokio::test(start_paused = true)]
async fn the_first_probe_comes_at_once_and_the_next_with_jitter() {
    let mut bed = Bed::new();
    bed.does(2, Does::Fail);
    bed.publish(&[("web", &[1, 2], CHECK)]);
    pass(20 * MS).await;
    assert_eq!((bed.checked("web", 1), bed.checked("web", 2)), (Checked::Up, Checked::Down));
    assert_eq!((bed.why("web", 1), bed.why("web", 2)), (None, Some("told to".into())));
    pass(100 * SEC).await;
    for (port, span) in [(1, 10 * SEC), (2, SEC)] {
        let spans = bed.spans(port);
        let within = |s: &Duration| *s >= span.mul_f64(0.9) - 20 * MS && *s <= span.mul_f64(1.1) + 20 * MS;
        assert!(spans.iter().all(within), "{port}: {spans:?}");
        let distinct: HashSet<_> = spans.iter().collect();
        assert!(spans.len() >= 9 && distinct.len() > 5, "no jitter: {spans:?}");
    }
    assert!(bed.counted("web")[1] >= 90);
}

#[tokio::test(start_paused = true)]
async fn thresholds_decide_and_the_reason_is_kept() {
    let mut bed = Bed::new();
    bed.publish(&[("web", &[1], CHECK)]);
    pass(20 * MS).await;
    bed.does(1, Does::Fail);
    pass(23 * SEC).await;
    assert_eq!(bed.checked("web", 1), Checked::Up, "two of three");
    assert_eq!(bed.why("web", 1).as_deref(), Some("told to (2 of 3)"));
    pass(11 * SEC).await;
    assert_eq!(bed.checked("web", 1), Checked::Down);
    bed.does(1, Does::Pass);
    pass(1200 * MS).await;
    assert_eq!(bed.checked("web", 1), Checked::Down, "one of two, {:?}", bed.why("web", 1));
    assert_eq!(bed.why("web", 1).as_deref(), Some("passes again (1 of 2)"));
    pass(1100 * MS).await;
    assert_eq!((bed.checked("web", 1), bed.why("web", 1)), (Checked::Up, None));
}

#[tokio::test(start_paused = true)]
async fn the_timeout_bounds_a_probe_and_a_panic_is_a_failure() {
    let mut bed = Bed::new();
    bed.does(1, Does::Hang);
    bed.does(2, Does::Panic);
    bed.does(3, Does::Take(400 * MS));
    bed.publish(&[("web", &[1, 2, 3], CHECK)]);
    pass(300 * MS).await;
    assert_eq!(bed.checked("web", 1), Checked::Unknown);
    pass(400 * MS).await;
    assert_eq!((bed.checked("web", 1), bed.checked("web", 3)), (Checked::Down, Checked::Up));
    assert_eq!(bed.why("web", 1).as_deref(), Some("no answer within 500ms"));
    assert_eq!(bed.checked("web", 2), Checked::Down);
    assert_eq!(bed.counted("web"), [1, 1, 1]);
    pass(3 * SEC).await;
    assert!(bed.asked(2) > 2, "it is asked again");
    assert_eq!(
        bed.world.at_once.load(SeqCst),
        bed.asked(1) - usize::try_from(bed.counted("web")[2]).unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn clusters_that_ask_the_same_share_probes() {
    let mut bed = Bed::new();
    let other = "health_check: { http: { path: /other }, interval: 10s }";
    bed.does(2, Does::Fail);
    bed.publish(&[("a", &[1, 2], CHECK), ("b", &[1, 2], CHECK), ("c", &[1], other)]);
    pass(20 * MS).await;
    assert_eq!((bed.asked(1), bed.asked(2)), (2, 1), "`c` asks something else");
    for cluster in ["a", "b"] {
        assert_eq!((bed.checked(cluster, 1), bed.checked(cluster, 2)), (Checked::Up, Checked::Down));
        assert_eq!(bed.counted(cluster), [1, 1, 0]);
        assert_eq!(bed.why(cluster, 2).as_deref(), Some("told to"));
    }
    // One that comes later knows at once what the others know.
    bed.publish(&[("a", &[1, 2], CHECK), ("b", &[1, 2], CHECK), ("d", &[1, 2], CHECK)]);
    settle().await;
    assert_eq!((bed.checked("d", 1), bed.checked("d", 2)), (Checked::Up, Checked::Down));
    assert_eq!(bed.why("d", 2).as_deref(), Some("told to"));
    assert_eq!((bed.asked(1), bed.asked(2)), (2, 1));
    // And one that leaves takes nothing with it.
    bed.publish(&[("d", &[1, 2], CHECK)]);
    pass(12 * SEC).await;
    assert_eq!(bed.asked(1), 3);
    assert!(bed.spans(2).iter().all(|span| *span < 1200 * MS));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_endpoints_take_their_turns() {
    let mut bed = Bed::new();
    let ports: Vec<u16> = (1..=10_000).collect();
    for port in &ports {
        bed.does(*port, Does::Take(20 * MS));
    }
    bed.publish(&[("web", &ports, "health_check: { tcp: {}, interval: 60s, timeout: 50ms }")]);
    // 10,000 probes of 20 ms, 128 at once: 1.6 s. None of them fails for having waited.
    pass(4 * SEC).await;
    assert_eq!(bed.world.most.load(SeqCst), AT_ONCE);
    assert_eq!(bed.counted("web"), [10_000, 0, 0]);
    let up = bed.cell.load().clusters[0].endpoints.iter().filter(|e| e.available()).count();
    assert_eq!(up, 10_000);
}

#[tokio::test(start_paused = true)]
async fn hundreds_that_hang_hold_up_nobody_who_serves() {
    let mut bed = Bed::new();
    let ports: Vec<u16> = (1..=1000).collect();
    for port in &ports[10..] {
        bed.does(*port, Does::Hang);
    }
    let check = "health_check: { tcp: {}, interval: 1s, timeout: 500ms, unhealthy_threshold: 1 }";
    bed.publish(&[("web", &ports, check)]);
    // 990 that hang for 500 ms: 4 s until each was asked once.
    pass(10 * SEC).await;
    let before = bed.spans(1).len();
    pass(20 * SEC).await;
    for port in 1..=10 {
        let spans = &bed.spans(port)[before..];
        assert!(spans.iter().all(|span| *span < 1200 * MS), "{port}: {spans:?}");
    }
    assert_eq!(bed.checked("web", 11), Checked::Down);
    let hanging = bed.spans(500);
    assert!(hanging.iter().all(|span| *span < 10 * SEC), "asked again and again: {hanging:?}");
    assert!(bed.world.most.load(SeqCst) <= AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_is_not_asked_and_who_comes_back_is_what_it_was() {
    let mut bed = Bed::new();
    bed.does(1, Does::Fail);
    bed.does(3, Does::Hang);
    bed.publish(&[("web", &[1, 2, 3], CHECK)]);
    pass(20 * MS).await;
    bed.publish(&[("web", &[2], CHECK)]);
    pass(5 * SEC).await;
    assert_eq!((bed.asked(1), bed.asked(3)), (1, 1));
    assert_eq!(bed.world.at_once.load(SeqCst), 0, "the probe on its way was dropped");
    bed.does(1, Does::Pass);
    bed.publish(&[("web", &[1, 2], CHECK)]);
    assert_eq!(bed.checked("web", 1), Checked::Down, "kept");
    pass(20 * MS).await;
    assert_eq!(bed.asked(1), 2, "asked at once");
    assert_eq!(bed.checked("web", 1), Checked::Down, "one pass of two");
    pass(1200 * MS).await;
    assert_eq!(bed.checked("web", 1), Checked::Up);
}

#[tokio::test(start_paused = true)]
async fn reloads_change_nothing_but_what_is_asked() {
    let mut bed = Bed::new();
    bed.does(1, Does::Fail);
    bed.publish(&[("web", &[1, 2], CHECK)]);
    pass(20 * MS).await;
    let since = bed.board.find("web", ([10, 0, 0, 1], 1).into()).unwrap().since;
    // Another policy: nobody is asked for it.
    bed.publish(&[("web", &[1, 2], &format!("load_balancing: {{ policy: random }}\n    {CHECK}"))]);
    pass(500 * MS).await;
    assert_eq!((bed.asked(1), bed.asked(2)), (1, 1));
    // Another check: asked at once; what was known holds until it says otherwise.
    bed.does(1, Does::Take(300 * MS));
    bed.publish(&[("web", &[1, 2], "health_check: { tcp: {}, healthy_threshold: 1 }")]);
    pass(50 * MS).await;
    assert_eq!((bed.asked(1), bed.asked(2)), (2, 2));
    assert_eq!((bed.checked("web", 1), bed.checked("web", 2)), (Checked::Down, Checked::Up));
    assert_eq!(bed.board.find("web", ([10, 0, 0, 1], 1).into()).unwrap().since, since);
    pass(SEC).await;
    assert_eq!(bed.checked("web", 1), Checked::Up);
    // No check: nothing is known, and everybody is used.
    bed.publish(&[("web", &[1, 2], "connect_timeout: 1s")]);
    pass(50 * MS).await;
    assert_eq!((bed.checked("web", 1), bed.checked("web", 2)), (Checked::Unknown, Checked::Unknown));
    assert!(bed.endpoint("web", 1).available() && bed.why("web", 1).is_none());
    let asked = bed.asked(1);
    pass(10 * SEC).await;
    assert_eq!(bed.asked(1), asked);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_weight_breaks_no_row() {
    let mut bed = Bed::new();
    let text = |weight: u32| {
        format!(
            "  web:\n    static: {{ endpoints: [ {{ address: '10.0.0.1:1', weight: {weight} }} ] }}\n    {CHECK}\n"
        )
    };
    bed.publish_text(&text(1));
    pass(20 * MS).await;
    bed.does(1, Does::Fail);
    for weight in 2..36 {
        bed.publish_text(&text(weight));
        pass(SEC).await;
    }
    assert_eq!(bed.endpoint("web", 1).member.weight, 35);
    assert_eq!(bed.checked("web", 1), Checked::Down, "three failures in a row");
    // Up: each 10 s until the third failure, then each second; not once per publish.
    assert!(bed.asked(1) < 20, "{}", bed.asked(1));
    bed.publish_text(&text(99));
    pass(100 * MS).await;
    assert_eq!(bed.checked("web", 1), Checked::Down);
}

#[tokio::test(start_paused = true)]
async fn the_listeners_wait_for_the_first_round_and_no_longer() {
    let mut bed = Bed::new();
    pass(SEC).await;
    assert!(!bed.started.load(SeqCst), "there is no snapshot yet");
    bed.does(2, Does::Take(300 * MS));
    bed.publish(&[("web", &[1, 2], CHECK)]);
    pass(200 * MS).await;
    assert!(!bed.started.load(SeqCst));
    pass(200 * MS).await;
    assert!(bed.started.load(SeqCst));

    let mut slow = Bed::new();
    slow.does(1, Does::Hang);
    slow.publish(&[("web", &[1], "health_check: { tcp: {}, timeout: 60s }")]);
    pass(GATE - 100 * MS).await;
    assert!(!slow.started.load(SeqCst));
    pass(200 * MS).await;
    assert!(slow.started.load(SeqCst), "a probe that hangs does not keep them closed");

    let mut none = Bed::new();
    none.publish(&[("web", &[1], "connect_timeout: 1s")]);
    settle().await;
    assert!(none.started.load(SeqCst));
}
