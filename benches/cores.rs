//! Instruction counts of the pure cores, by valgrind's callgrind: `make bench`.
//!
//! A count is the same on a busy machine and an idle one, so one run is enough and one more
//! instruction shows. What it cannot show is a cache miss; `times.rs` has the clock. Each function
//! is counted in its second run where the first one differs (scratch memory of regexes, the census
//! of endpoints). Cases are leaked, so that nobody counts their end.

#![expect(clippy::expect_used, reason = "cases of a bench, made by its own hand")]
#![expect(unreachable_pub, reason = "the cases serve two benches")]
#![expect(unused_qualifications, reason = "what the bench crate's macros make")]
#![allow(unused_imports, reason = "the cases serve two benches")]

#[path = "cores/cases.rs"]
mod cases;

use std::hint::black_box;
use std::path::Path;

use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use tidegate::balance::Choice;
use tidegate::config::Config;
use tidegate::config::live::{HashKey, Policy};
use tidegate::observe::metrics::RouteMetrics;
use tidegate::snapshot::Snapshot;
use tidegate::snapshot::compile::Plan;
use tidegate::split::Assignment;

use crate::cases::{Ask, Assign, Crowd, Key, Lookup, Pick, World};

/// The same allocator as in `src/main.rs`: some cores allocate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn leak<T>(case: T) -> &'static mut T {
    Box::leak(Box::new(case))
}

fn exact(routes: usize) -> &'static Lookup {
    leak(Lookup::new(routes, Ask::Exact))
}

fn prefix(routes: usize) -> &'static Lookup {
    leak(Lookup::new(routes, Ask::Prefix))
}

fn wildcard(routes: usize) -> &'static Lookup {
    leak(Lookup::new(routes, Ask::Wildcard))
}

fn regex(routes: usize) -> &'static Lookup {
    leak(Lookup::new(routes, Ask::Regex))
}

fn miss(routes: usize) -> &'static Lookup {
    leak(Lookup::new(routes, Ask::Miss))
}

#[library_benchmark]
#[benches::exact(args = [10, 1_000, 10_000], setup = exact)]
#[benches::prefix(args = [10, 1_000, 10_000], setup = prefix)]
#[benches::wildcard(args = [10, 1_000, 10_000], setup = wildcard)]
#[benches::regex(args = [10, 1_000, 10_000], setup = regex)]
#[benches::miss(args = [10, 1_000, 10_000], setup = miss)]
fn route(lookup: &'static Lookup) -> Option<usize> {
    black_box(black_box(lookup).find())
}

fn crowd(crowd: Crowd) -> &'static Lookup {
    leak(Lookup::crowded(10_000, crowd))
}

// Ten thousand routes on one host, told apart by one thing.
#[library_benchmark]
#[bench::header(args = (Crowd::Header), setup = crowd)]
#[bench::query(args = (Crowd::Query), setup = crowd)]
#[bench::headers(args = (Crowd::Headers), setup = crowd)]
#[bench::wildcards(args = (Crowd::Wildcards), setup = crowd)]
#[bench::prefixes(args = (Crowd::Prefixes), setup = crowd)]
#[bench::regexes(args = (Crowd::Regexes), setup = crowd)]
#[bench::alike(args = (Crowd::Alike), setup = crowd)]
fn crowded(lookup: &'static Lookup) -> Option<usize> {
    black_box(black_box(lookup).find())
}

fn pick_of(policy: Policy, endpoints: usize) -> &'static Pick {
    leak(Pick::new(policy, endpoints))
}

fn round_robin(endpoints: usize) -> &'static Pick {
    pick_of(Policy::RoundRobin, endpoints)
}

fn random(endpoints: usize) -> &'static Pick {
    pick_of(Policy::Random, endpoints)
}

fn least_request(endpoints: usize) -> &'static Pick {
    pick_of(Policy::LeastRequest, endpoints)
}

fn ring_hash(endpoints: usize) -> &'static Pick {
    pick_of(Policy::RingHash, endpoints)
}

fn maglev(endpoints: usize) -> &'static Pick {
    pick_of(Policy::Maglev, endpoints)
}

#[library_benchmark]
#[benches::round_robin(args = [10, 1_000], setup = round_robin)]
#[benches::random(args = [10, 1_000], setup = random)]
#[benches::least_request(args = [10, 1_000], setup = least_request)]
#[benches::ring_hash(args = [10, 1_000], setup = ring_hash)]
#[benches::maglev(args = [10, 1_000], setup = maglev)]
fn pick(pick: &'static Pick) -> Option<Choice> {
    black_box(black_box(pick).pick())
}

fn keyed(key: HashKey) -> &'static Key {
    leak(Key::new(key))
}

#[library_benchmark]
#[bench::header(args = (HashKey::Header("x-user".into())), setup = keyed)]
#[bench::cookie(args = (HashKey::Cookie("session".into())), setup = keyed)]
#[bench::source_ip(args = (HashKey::SourceIp), setup = keyed)]
fn hash_key(key: &'static Key) -> Option<u64> {
    black_box(black_box(key).key())
}

fn by_key(variants: usize) -> &'static Assign {
    leak(Assign::new(variants, true))
}

fn by_dice(variants: usize) -> &'static Assign {
    leak(Assign::new(variants, false))
}

#[library_benchmark]
#[benches::key(args = [2, 4, 16], setup = by_key)]
#[benches::random(args = [2, 4, 16], setup = by_dice)]
fn assign(split: &'static Assign) -> Assignment {
    black_box(black_box(split).assign())
}

fn world(routes: usize) -> &'static World {
    leak(World::new(routes))
}

fn changed(routes: usize) -> &'static World {
    let world = leak(World::new(routes));
    world.change();
    world
}

fn edited(routes: usize) -> &'static World {
    let world = leak(World::new(routes));
    world.edit();
    world
}

fn weighed(routes: usize) -> &'static World {
    let world = leak(World::with_splits(routes));
    world.weigh();
    world
}

#[library_benchmark]
#[bench::routes_10_000(args = (10_000), setup = world)]
fn compile(world: &'static World) -> &'static Plan {
    leak(world.compile())
}

#[library_benchmark]
#[bench::one_of_10_000_routes(args = (10_000), setup = edited)]
fn recompile(world: &'static World) -> &'static Plan {
    leak(world.compile_again())
}

fn text(routes: usize) -> &'static str {
    leak(cases::yaml(routes, routes / 10))
}

#[library_benchmark]
#[bench::yaml_1_000_routes(args = (1_000), setup = text)]
fn load(text: &'static str) -> &'static Config {
    let loaded = tidegate::config::load::text_of(text, Path::new("bench.yaml"));
    leak(loaded.map(|(config, _)| config).expect("the config is right"))
}

#[library_benchmark]
#[bench::one_of_1_000_clusters(args = (10_000), setup = changed)]
fn snapshot(world: &'static World) -> &'static Snapshot {
    let next = leak(world.step());
    assert_eq!(world.changed(next).count(), 1);
    next
}

// With what the log says of it.
#[library_benchmark]
#[bench::one_of_10_000_splits(args = (10_000), setup = weighed)]
fn weight(world: &'static World) -> (&'static Snapshot, usize) {
    let next = leak(world.step());
    (next, world.told(next).len())
}

#[library_benchmark]
#[bench::browser(args = (cases::HEAD))]
fn http1(head: &'static [u8]) -> bool {
    tidegate::proxy::measured::is_head(black_box(head))
}

fn buffer() -> &'static mut Vec<u8> {
    leak(Vec::with_capacity(1024))
}

#[library_benchmark]
#[bench::json(setup = buffer)]
fn log_line(out: &'static mut Vec<u8>) {
    cases::log_line(black_box(out));
}

fn series() -> &'static RouteMetrics {
    let (metrics, route) = cases::route_metrics();
    leak(metrics);
    leak(route)
}

#[library_benchmark]
#[bench::route(setup = series)]
fn record(metrics: &'static RouteMetrics) {
    metrics.record(black_box(0), black_box(200), black_box(0.0123), black_box(Some(0.0115)), black_box(None));
}

library_benchmark_group!(
    name = cores,
    benchmarks = [
        route, crowded, pick, hash_key, assign, compile, recompile, load, snapshot, weight, http1, log_line,
        record
    ]
);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::default().format([EventKind::Ir])),
    library_benchmark_groups = cores
);
