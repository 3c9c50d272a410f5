//! What each route, endpoint and idle connection costs in memory: the difference between many and few,
//! by their number.
//!
//! Anonymous memory of a process that has settled. After its start the pages that reading the file took
//! may still be there, so the figures are an upper bound of what the things themselves need. Kernel
//! memory of sockets is not in it.

use std::thread;
use std::time::Duration;

use crate::figure::Figures;
use crate::hold::{Held, Spoken};
use crate::tidegate::{How, Tidegate};
use crate::{Result, World, config};

/// How long memory may settle before it is counted.
const SETTLE: Duration = Duration::from_secs(3);

/// Connections that are opened and closed before.
const WARM: usize = 20;

/// What Envoy takes for an idle connection of HTTP/1.1, by issue 7.
const ENVOY: f64 = 7.6;

pub(crate) fn measure(world: &World, figures: &mut Figures) -> Result<()> {
    let port = world.port;
    let few = rests(world, &config::routes(10, "x", port))?;
    let many = rests(world, &config::routes(10_010, "x", port))?;
    figures.tell(
        "memory",
        "a route (10,000 on 1,000 hosts, with 1,000 clusters)",
        (many - few) / 10_000.0 / 1e3,
        "KB",
    );
    figures.tell("memory", "  all of it, resident", many / 1e6, "MB");
    let few = rests(world, &config::endpoints(10, port))?;
    let many = rests(world, &config::endpoints(10_010, port))?;
    figures.tell("memory", "an endpoint (10,000 in one static cluster)", (many - few) / 10_000.0 / 1e3, "KB");
    let services = world.options.services;
    let consul = world.consul(services + 1)?;
    let few = rests(world, &config::from_consul(1, consul.address, ""))?;
    let many = rests(world, &config::from_consul(services + 1, consul.address, ""))?;
    let each = (many - few) / services as f64 / 1e3;
    figures.tell("memory", "a Consul service with its route and 10 endpoints", each, "KB");
    for spoken in [Spoken::Http1, Spoken::H2c, Spoken::Tls] {
        for count in [1000, 10_000] {
            connections(world, figures, spoken, count)?;
        }
    }
    Ok(())
}

/// The anonymous memory of a Tidegate with that config, which nobody asks for anything.
fn rests(world: &World, live: &str) -> Result<f64> {
    let tidegate = world.tidegate(How::default(), live)?;
    settled(&tidegate)
}

fn settled(tidegate: &Tidegate) -> Result<f64> {
    thread::sleep(SETTLE);
    Ok(tidegate.process.anonymous()? as f64)
}

fn connections(world: &World, figures: &mut Figures, spoken: Spoken, count: usize) -> Result<()> {
    let how = How { tls: spoken == Spoken::Tls, ..How::default() };
    let tidegate = world.tidegate(how, &config::endpoints(2, world.port))?;
    drop(Held::open(spoken, tidegate.address, WARM)?);
    let few = settled(&tidegate)?;
    let held = Held::open(spoken, tidegate.address, count)?;
    let many = settled(&tidegate)?;
    held.still_there()?;
    let name = format!("an idle connection of {count}, {}", spoken.name());
    let each = (many - few) / count as f64 / 1e3;
    if spoken == Spoken::Http1 && count == 1000 {
        figures.hold("memory", name, each, "KB", ENVOY);
    } else {
        figures.tell("memory", name, each, "KB");
    }
    Ok(())
}
