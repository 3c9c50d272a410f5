//! The clock beside the instruction counts, for the figures of DESIGN 9 that are times:
//! `make bench`.
//!
//! A time is the median of many short rounds, so that a neighbour's burst on a shared machine falls
//! out. Routes are matched in a loop over one request: what stays in the cache here may not stay
//! there under traffic.

#![expect(clippy::expect_used, reason = "cases of a bench, made by its own hand")]
#![expect(unreachable_pub, dead_code, reason = "the cases serve two benches")]

#[path = "cores/cases.rs"]
mod cases;

use std::hint::black_box;
use std::time::Duration;

use tidegate::config::live::Policy;
use tokio::time::Instant;

use crate::cases::{Ask, Assign, CLUSTERS, Lookup, Pick, World};

/// The same allocator as in `src/main.rs`: some cores allocate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    for ask in [Ask::Exact, Ask::Prefix, Ask::Wildcard, Ask::Regex, Ask::Miss] {
        let lookup = Lookup::new(10_000, ask);
        show(&format!("route {ask:?} of 10,000"), 10_000, || lookup.find());
    }
    for policy in [Policy::RoundRobin, Policy::Random, Policy::LeastRequest, Policy::RingHash, Policy::Maglev]
    {
        let pick = Pick::new(policy, 1_000);
        show(&format!("pick {policy:?} of 1,000"), 10_000, || pick.pick());
    }
    let split = Assign::new(4, true);
    show("variant of 4, by key", 10_000, || split.assign());
    let mut line = Vec::with_capacity(1024);
    show("access log line", 10_000, || {
        line.clear();
        cases::log_line(black_box(&mut line));
    });
    let (_metrics, route) = cases::route_metrics();
    show("metrics of a request", 10_000, || {
        route.record(black_box(0), 200, black_box(0.0123), black_box(Some(0.0115)), None)
    });
    let mut world = World::new(10_000);
    show("compile 10,000 routes", 1, || world.compile());
    world.change();
    show(&format!("snapshot, 1 of {CLUSTERS} clusters"), 1, || world.step());
}

/// Prints the median time of one call, over 101 rounds of `calls` calls.
fn show<T>(name: &str, calls: u32, mut one: impl FnMut() -> T) {
    const ROUNDS: usize = 101;
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| drop(black_box(one())));
            start.elapsed() / calls
        })
        .collect();
    rounds.sort();
    println!("{name:<32} {:>12.1?}  (best {:.1?})", rounds[ROUNDS / 2], rounds[0]);
}
