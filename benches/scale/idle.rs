//! What it costs to watch a thousand services in which nothing changes, and to be scraped; beside it a
//! process that has one endpoint and nothing to watch, which ought to sleep.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::consul::Consul;
use crate::figure::Figures;
use crate::tidegate::{How, Tidegate};
use crate::{INSTANCES, Result, World, config};

/// After the start, until what comes with it is over: the state goes to disk, memory is given back.
const SETTLE: Duration = Duration::from_secs(10);

/// How many scrapes are averaged, and how often Prometheus comes by default here.
const SCRAPES: u32 = 20;
const EVERY: f64 = 15.0;

pub(crate) fn measure(world: &World, figures: &mut Figures) -> Result<()> {
    let small = world.tidegate(How { logs: true, ..How::default() }, &config::endpoints(1, world.port))?;
    thread::sleep(SETTLE);
    watch(world, figures, "1 endpoint, nothing watched", &small, None, None)?;
    drop(small);
    let services = world.options.services;
    let consul = world.consul(services)?;
    let live = config::from_consul(services, consul.address, "");
    let large = world.tidegate(How { logs: true, ..How::default() }, &live)?;
    thread::sleep(SETTLE);
    let what = format!("{services} services, {} endpoints", services * INSTANCES);
    watch(world, figures, &what, &large, Some(&consul), Some(1.0))?;
    scrape(figures, &what, &large)
}

/// Its CPU time and its wake-ups for a while.
fn watch(
    world: &World,
    figures: &mut Figures,
    what: &str,
    tidegate: &Tidegate,
    consul: Option<&Consul>,
    most: Option<f64>,
) -> Result<()> {
    let asked = || consul.map_or(0, |consul| consul.registry.asked.load(Relaxed));
    let (cpu, sleeps, questions, began) =
        (tidegate.process.cpu()?, tidegate.sleeps()?, asked(), Instant::now());
    thread::sleep(world.options.idle);
    let time = began.elapsed().as_secs_f64();
    let busy = tidegate.process.cpu()?.since(cpu).total.as_secs_f64() / time * 100.0;
    let name = format!("idle, {what}");
    match most {
        Some(most) => figures.hold("idle", &name, busy, "% of a core", most),
        None => figures.tell("idle", &name, busy, "% of a core"),
    }
    figures.tell(
        "idle",
        "  wake-ups of all threads",
        (tidegate.sleeps()? - sleeps) as f64 / time,
        "a second",
    );
    if let Some(consul) = consul {
        figures.tell("idle", "  questions to Consul", (asked() - questions) as f64 / time, "a second");
        figures.tell("idle", "  connections to Consul", consul.connections.load(Relaxed) as f64, "");
    }
    let (files, threads) = tidegate.handles()?;
    figures.tell("idle", "  open files", files as f64, "");
    figures.tell("idle", "  threads", threads as f64, "");
    Ok(())
}

fn scrape(figures: &mut Figures, what: &str, tidegate: &Tidegate) -> Result<()> {
    let bytes = tidegate.page("/metrics")?.body.len();
    let (cpu, began) = (tidegate.process.cpu()?, Instant::now());
    for _ in 0..SCRAPES {
        tidegate.page("/metrics")?;
    }
    let each = tidegate.process.cpu()?.since(cpu).total.as_secs_f64() / f64::from(SCRAPES);
    let took = began.elapsed().as_secs_f64() / f64::from(SCRAPES);
    figures.tell("idle", format!("a scrape, {what}: CPU"), each * 1e3, "ms");
    figures.tell("idle", "  its time", took * 1e3, "ms");
    figures.tell("idle", "  its length", bytes as f64 / 1e6, "MB");
    figures.tell("idle", "  a scrape every 15 s", each / EVERY * 100.0, "% of a core");
    Ok(())
}
