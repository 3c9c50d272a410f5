//! From a change in Consul to a request that it serves, while a hundred services a second change.
//!
//! A change is a deploy of one instance: of the ten, the oldest leaves and a new one comes, with a weight
//! that gives it all but one in a hundred requests. A probe asks for the service again and again, at
//! first every 2 ms and then at a twentieth of the time so far (the figure is that exact), until the new
//! one answers. Every fifth change is probed, so that the probes are no load. CPU time is taken before,
//! without probes.
//!
//! Then the same with a change every two seconds, all of them probed.
//!
//! Those services that have a blocking query each (`max_watchers`) and those that are swept are told
//! apart: the second share two queries, and that is the price for few connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::consul::Consul;
use crate::figure::Figures;
use crate::pace::get;
use crate::registry::{Instance, Registry, Set};
use crate::tidegate::{How, Tidegate};
use crate::{Result, World, config};

/// Changes a second, and every how many one is probed.
const RATE: f64 = 100.0;
const PROBED: usize = 5;

/// The weight of the newest instance.
const HEAVY: u32 = 1000;

/// The most services that may have a watcher of their own in clear.
const WATCHERS: usize = 100;

/// The last part of the address of the first new instance of a service, which is none of the ten of the
/// beginning; and after how many an address comes again.
const FIRST: usize = 21;
const ROUNDS: usize = 200;

/// After this a change counts as lost.
const LOST: Duration = Duration::from_secs(20);

pub(crate) fn measure(world: &World, figures: &mut Figures) -> Result<()> {
    let services = world.options.services;
    let consul = world.consul(services)?;
    let live = config::from_consul(services, consul.address, "");
    let tidegate = world.tidegate(How::default(), &live)?;
    thread::sleep(Duration::from_secs(3));
    let run =
        Run { registry: consul.registry.clone(), address: tidegate.address, port: world.port, services };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (cpu, generation, asked, began) = (
        tidegate.process.cpu()?,
        tidegate.generation()?,
        consul.registry.asked.load(Relaxed),
        Instant::now(),
    );
    runtime.block_on(run.change(RATE, world.options.time, 0, None));
    let time = began.elapsed().as_secs_f64();
    let busy = tidegate.process.cpu()?.since(cpu).total.as_secs_f64() / time * 100.0;
    figures.tell(
        "propagation",
        format!("CPU at {RATE} changes/s over {services} services"),
        busy,
        "% of a core",
    );
    let snapshots = (tidegate.generation()? - generation) as f64 / time;
    figures.tell("propagation", "  snapshots", snapshots, "a second");
    let asked = (consul.registry.asked.load(Relaxed) - asked) as f64 / time;
    figures.tell("propagation", "  questions to Consul", asked, "a second");
    let from = (world.options.time.as_secs_f64() * RATE) as usize + 1;
    let busy = runtime.block_on(run.change(RATE, world.options.time, from, Some(PROBED)));
    thread::sleep(Duration::from_secs(3));
    let quiet = runtime.block_on(run.change(0.5, world.options.time, 2 * from, Some(1)));
    for (how, probes) in [("100 changes/s", busy), ("a change each 2 s", quiet)] {
        let (watched, swept) = probes.into_iter().partition(|(service, _)| *service < WATCHERS);
        tell(figures, &format!("{how}, watched"), watched, Some(250.0));
        tell(figures, &format!("{how}, swept"), swept, None);
    }
    nothing_lost(figures, &consul, &tidegate)
}

/// Median, p99 and most of some probes.
fn tell(figures: &mut Figures, what: &str, probes: Vec<Probe>, most: Option<f64>) {
    let lost = probes.iter().filter(|(_, time)| time.is_none()).count();
    let mut times: Vec<_> =
        probes.iter().filter_map(|(_, time)| Some(time.as_ref()?.as_secs_f64() * 1e3)).collect();
    times.sort_by(f64::total_cmp);
    let at =
        |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)));
    let shares = [("median", 0.5, None), ("p99", 0.99, most), ("most", 1.0, None)];
    for (name, share, most) in shares {
        let Some(time) = at(share) else { continue };
        let name = format!("to served, {what} ({}), {name}", probes.len());
        match most {
            Some(most) => figures.hold("propagation", name, *time, "ms", most),
            None => figures.tell("propagation", name, *time, "ms"),
        }
    }
    figures.hold("propagation", format!("  {what}: not seen within 20 s"), lost as f64, "", 0.0);
}

/// Compares what is served with what the registry has, once all has been heard.
fn nothing_lost(figures: &mut Figures, consul: &Consul, tidegate: &Tidegate) -> Result<()> {
    let wanted = consul.registry.all();
    let mut differ = usize::MAX;
    for _ in 0..40 {
        let clusters = tidegate.json("/v1/clusters")?;
        let clusters = clusters.as_array().ok_or("no clusters")?;
        let served = |cluster: &serde_json::Value| -> Option<(String, Vec<(SocketAddr, u64)>)> {
            let endpoints = cluster["endpoints"].as_array()?.iter();
            let of =
                |e: &serde_json::Value| Some((e["address"].as_str()?.parse().ok()?, e["weight"].as_u64()?));
            let mut endpoints: Vec<_> = endpoints.filter_map(of).collect();
            endpoints.sort_unstable();
            Some((cluster["name"].as_str()?.to_owned(), endpoints))
        };
        let same = clusters.iter().filter_map(served).filter(|(name, served)| {
            let set = wanted.get(name);
            set.is_some_and(|set| {
                set.iter().map(|(a, i)| (*a, u64::from(i.weight))).eq(served.iter().copied())
            })
        });
        differ = wanted.len() - same.count();
        if differ == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(250));
    }
    figures.hold("propagation", "services that differ from Consul at the end", differ as f64, "", 0.0);
    Ok(())
}

/// A service and how long its change took. None: it was never seen.
type Probe = (usize, Option<Duration>);

/// What the changes and the probes need.
struct Run {
    registry: Arc<Registry>,
    address: SocketAddr,
    port: u16,
    services: usize,
}

// === impl Run ===

impl Run {
    /// Changes services in turn for that time, in the order of a shuffled deck; `from` is the number of
    /// the first change.
    async fn change(&self, rate: f64, time: Duration, from: usize, probe: Option<usize>) -> Vec<Probe> {
        let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut probes = JoinSet::new();
        let began = Instant::now();
        let mut turn = from;
        while began.elapsed() < time {
            ticks.tick().await;
            // A step that shares no divisor with the count meets all of them, spread.
            let service = turn * 7 % self.services;
            let newest = deploy(&self.registry, service, turn / self.services, self.port);
            if probe.is_some_and(|every| turn.is_multiple_of(every)) {
                let (address, at) = (self.address, Instant::now());
                probes.spawn(async move { (service, probed(address, service, newest, at).await) });
            }
            turn += 1;
        }
        probes.join_all().await
    }
}

/// The oldest instance leaves, a new one comes.
fn deploy(registry: &Registry, service: usize, round: usize, port: u16) -> SocketAddr {
    let newest = config::endpoint(service, FIRST - 1 + round % ROUNDS, port);
    registry.change(&config::service(service), true, |set: &mut Set| {
        let heavy = set.iter().find(|(_, instance)| instance.weight == HEAVY);
        if let Some(oldest) = heavy.or_else(|| set.iter().next()).map(|(address, _)| *address) {
            set.remove(&oldest);
        }
        set.insert(newest, Instance { weight: HEAVY, passing: true });
    });
    newest
}

/// Asks until that endpoint answers. None: it never did.
async fn probed(address: SocketAddr, service: usize, newest: SocketAddr, since: Instant) -> Option<Duration> {
    let request = get(&format!("{}.example.com", config::service(service)), "/");
    let (octet, mut buffer) = (last(newest), [0; 4096]);
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    while since.elapsed() < LOST {
        stream.write_all(&request).await.ok()?;
        let mut filled = 0;
        let who = loop {
            filled += stream.read(&mut buffer[filled..]).await.ok().filter(|read| *read > 0)?;
            let Some(head) = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n") else { continue };
            let body = &buffer[head + 4..filled];
            if body.ends_with(b"\n") {
                break String::from_utf8_lossy(body).trim().parse().ok().map(last);
            }
        };
        // A service may have changed again before this change was seen; that counts as seen.
        if who.is_some_and(|who| who >= FIRST && (who + ROUNDS - octet) % ROUNDS < ROUNDS / 2) {
            return Some(since.elapsed());
        }
        tokio::time::sleep((since.elapsed() / 20).max(Duration::from_millis(2))).await;
    }
    None
}

/// The last part of an address, which is one more than the number of the instance.
fn last(address: SocketAddr) -> usize {
    match address {
        SocketAddr::V4(address) => usize::from(address.ip().octets()[3]),
        SocketAddr::V6(_) => 0,
    }
}
