//! How soon a change of a large config serves: of the file, after a SIGHUP, read and all; and of one
//! weight, by the admin address, whose answer comes when it serves.

use std::thread;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::client::Client;
use crate::figure::Figures;
use crate::spread::Spread;
use crate::tidegate::{How, Tidegate};
use crate::{Result, World, config};

const ROUTES: usize = 10_000;
const RELOADS: usize = 7;
const WEIGHTS: u32 = 50;

pub(crate) fn measure(world: &World, figures: &mut Figures) -> Result<()> {
    for routes in [10, ROUTES] {
        let tidegate = world.tidegate(How::default(), &config::routes(routes, "mark-0", world.port))?;
        figures.tell(
            "reload",
            format!("{routes} routes: start to ready"),
            tidegate.started.as_secs_f64() * 1e3,
            "ms",
        );
        let mut times = Vec::new();
        let cpu = tidegate.process.cpu()?;
        for round in 1..=RELOADS {
            times.push(reload(
                &tidegate,
                &config::routes(routes, &format!("mark-{round}"), world.port),
                round,
            )?);
        }
        let cpu = tidegate.process.cpu()?.since(cpu).total.as_secs_f64() / RELOADS as f64;
        tell(figures, &format!("{routes} routes: SIGHUP to serving"), &times, None)?;
        figures.tell("reload", "  its CPU", cpu * 1e3, "ms");
        let times = (1..=WEIGHTS).map(|i| weight(&tidegate, i % 100)).collect::<Result<Vec<_>>>()?;
        let most = (routes == ROUTES).then_some(5.0);
        tell(figures, &format!("{routes} routes: a weight to serving"), &times, most)?;
    }
    Ok(())
}

/// Median and most, in milliseconds; a target is for the median.
fn tell(figures: &mut Figures, name: &str, times: &[Duration], most: Option<f64>) -> Result<()> {
    let spread = Spread::of(times.iter().map(|time| time.as_secs_f64() * 1e3)).ok_or("no times")?;
    match most {
        Some(most) => figures.hold("reload", name, spread.median, "ms", most),
        None => figures.tell("reload", name, spread.median, "ms"),
    }
    figures.tell("reload", "  at most", spread.most, "ms");
    Ok(())
}

/// Writes the file, tells it, and asks until the route's answer is the new one.
fn reload(tidegate: &Tidegate, live: &str, round: usize) -> Result<Duration> {
    tidegate.rewrite(live)?;
    // Who watches the file may be quicker than the signal; both are a reload.
    let mut client = Client::connect(tidegate.address)?;
    let began = Instant::now();
    tidegate.reload()?;
    let wanted = format!("mark-{round}");
    while began.elapsed() < Duration::from_secs(30) {
        let answer = client.ask("GET", "/mark", &[], &[])?;
        if answer.body == wanted.as_bytes() {
            return Ok(began.elapsed());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(format!("the new file does not serve: {}", tidegate.complaints()).into())
}

/// Puts a weight; the answer comes once it serves.
fn weight(tidegate: &Tidegate, candidate: u32) -> Result<Duration> {
    let mut client = Client::admin(tidegate.admin)?;
    let body =
        serde_json::to_vec(&json!({ "weights": { "control": 100 - candidate, "candidate": candidate } }))?;
    let began = Instant::now();
    let answer = client.ask("PUT", "/v1/splits/shop", &["Content-Type: application/json"], &body)?;
    let took = began.elapsed();
    if answer.status == 200 { Ok(took) } else { Err(format!("the weight: {}", answer.status).into()) }
}
