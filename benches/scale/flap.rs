//! A thousand requests a second while every endpoint comes and goes. Nothing breaks: an endpoint that
//! left Consul or is critical there still answers, as one does that is being drained. So each failed
//! request would be ours.
//!
//! Two phases. First each instance of three services leaves and comes back in turn, some ten changes
//! a second a service; then each becomes critical and passes again, the same way. One is out at a time, so
//! there are always nine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{endpoint, service};
use crate::figure::Figures;
use crate::pace::{Plan, get};
use crate::registry::{Instance, Registry};
use crate::tidegate::{How, Tidegate};
use crate::{INSTANCES, Result, World, config};

const SERVICES: usize = 3;
const RATE: f64 = 1000.0;
/// Between two changes of a service, in milliseconds: never in step with how often one is asked for.
const PAUSE: std::ops::Range<u64> = 60..140;

pub(crate) fn measure(world: &World, figures: &mut Figures) -> Result<()> {
    let consul = world.consul(SERVICES)?;
    let live = config::from_consul(SERVICES, consul.address, "");
    let tidegate = world.tidegate(How { logs: true, ..How::default() }, &live)?;
    thread::sleep(Duration::from_secs(1));
    phase(world, figures, &tidegate, &consul.registry, None)?;
    phase(world, figures, &tidegate, &consul.registry, Some("leave and come back"))?;
    phase(world, figures, &tidegate, &consul.registry, Some("critical and passing"))
}

/// One phase. Without changes: for comparison.
fn phase(
    world: &World,
    figures: &mut Figures,
    tidegate: &Tidegate,
    registry: &Arc<Registry>,
    how: Option<&str>,
) -> Result<()> {
    let requests = (0..SERVICES).map(|i| get(&format!("{}.example.com", service(i)), "/")).collect();
    let plan = Plan { address: tidegate.address, connections: 32, rate: Some(RATE), requests };
    let (generation, began) = (tidegate.generation()?, Instant::now());
    let stop = Arc::new(AtomicBool::new(false));
    let flapping = how.map(|how| {
        let (registry, stop, port) = (registry.clone(), stop.clone(), world.port);
        let leaves = how.starts_with("leave");
        thread::spawn(move || flap(&registry, &stop, port, leaves))
    });
    let counted = plan.run(world.options.time)?;
    stop.store(true, Relaxed);
    let changes = flapping.map(|thread| thread.join().map_err(|_| "the changes ended early")).transpose()?;
    let snapshots = (tidegate.generation()? - generation) as f64 / began.elapsed().as_secs_f64();
    let name = how.unwrap_or("nothing changes");
    if counted.failed > 0 {
        eprintln!("scale: flap: {}", counted.reasons());
    }
    figures.hold(
        "flap",
        format!("{name}: failed of {} requests", counted.done + counted.failed),
        counted.failed as f64,
        "",
        0.0,
    );
    figures.tell("flap", "  p50", counted.at(0.5) / 1e3, "ms");
    figures.tell("flap", "  p99", counted.at(0.99) / 1e3, "ms");
    figures.tell("flap", "  p99.9", counted.at(0.999) / 1e3, "ms");
    figures.tell("flap", "  snapshots", snapshots, "a second");
    if let Some(changes) = changes {
        figures.tell("flap", "  changes", f64::from(changes) / began.elapsed().as_secs_f64(), "a second");
    }
    Ok(())
}

/// Changes until it is stopped; leaves all as it was. Gives the number of changes.
fn flap(registry: &Registry, stop: &AtomicBool, port: u16, leaves: bool) -> u32 {
    let mut changes = 0;
    for turn in 0.. {
        let instance = turn % INSTANCES;
        for out in [true, false] {
            for i in 0..SERVICES {
                let address = endpoint(i, instance, port);
                registry.change(&service(i), leaves, |set| {
                    if out && leaves {
                        set.remove(&address);
                    } else {
                        set.insert(address, Instance { passing: !out, ..Instance::PLAIN });
                    }
                });
                changes += 1;
            }
            thread::sleep(Duration::from_millis(fastrand::u64(PAUSE)));
        }
        if stop.load(Relaxed) {
            return changes;
        }
    }
    changes
}
