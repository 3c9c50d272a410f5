//! From the start of the program to its first 200 on `/ready`, with a thousand services in Consul: all
//! of them are read before that.

use crate::figure::Figures;
use crate::spread::Spread;
use crate::tidegate::How;
use crate::{Result, World, config};

/// How often it is started.
const TIMES: usize = 3;

pub(crate) fn measure(world: &World, figures: &mut Figures) -> Result<()> {
    for services in [1, world.options.services] {
        let consul = world.consul(services)?;
        let live = config::from_consul(services, consul.address, "");
        let (mut times, mut spent) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let tidegate = world.tidegate(How::default(), &live)?;
            times.push(tidegate.started.as_secs_f64() * 1e3);
            spent.push(tidegate.process.cpu()?.total.as_secs_f64() * 1e3);
        }
        let spread = Spread::of(times.into_iter()).ok_or("never started")?;
        figures.tell("start", format!("to ready with {services} services"), spread.median, "ms");
        let spread = Spread::of(spent.into_iter()).ok_or("never started")?;
        figures.tell("start", "  its CPU", spread.median, "ms");
    }
    Ok(())
}
