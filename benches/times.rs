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
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tidegate::config::live::{self, Policy};
use tidegate::config::{load, validate};
use tokio::time::Instant;

use crate::cases::{Ask, Assign, CLUSTERS, Crowd, Lookup, Pick, World};

/// The same allocator as in `src/main.rs`: some cores allocate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--row").skip(1);
    if let Some(number) = arguments.next() {
        return row(number.parse().expect("a number"));
    }
    for ask in [Ask::Exact, Ask::Prefix, Ask::Wildcard, Ask::Regex, Ask::Miss] {
        let lookup = Lookup::new(10_000, ask);
        show(&format!("route {ask:?} of 10,000"), 10_000, || lookup.find());
    }
    for crowd in
        [Crowd::Header, Crowd::Query, Crowd::Headers, Crowd::Wildcards, Crowd::Prefixes, Crowd::Regexes]
    {
        let lookup = Lookup::crowded(10_000, crowd);
        show(&format!("10,000 on one host: {crowd:?}"), 10_000, || lookup.find());
    }
    let lookup = Lookup::crowded(10_000, Crowd::Alike);
    show("10,000 on one host: Alike", 1, || lookup.find());
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
    worlds();
    memory();
}

/// What a change costs, from one endpoint to a whole file.
fn worlds() {
    let mut world = World::new(10_000);
    show("compile 10,000 routes", 1, || world.compile());
    show("the same, nothing changed", 1, || world.compile_again());
    world.edit();
    show("the same, 1 route changed", 1, || world.compile_again());
    world.change();
    show(&format!("snapshot, 1 of {CLUSTERS} clusters"), 1, || world.step());
    let mut world = World::with_splits(10_000);
    world.weigh();
    show("snapshot, 1 of 10,000 splits", 1, || world.step());
    let next = world.step();
    show("what the log says of it", 1, || world.told(&next));
    let text = cases::yaml(10_000, CLUSTERS);
    let kilobytes = text.len() / 1024;
    let path = Path::new("bench.yaml");
    show(&format!("load {kilobytes} KB of YAML"), 1, || load::text_of(&text, path).expect("it is right"));
    let (config, _) = load::text_of(&text, path).expect("it is right");
    show("validate it", 1, || validate::validate(&config));
}

/// What it is called, and how it is made.
type Row = (&'static str, fn() -> World);

/// What serves, by what there is more of. Each row is measured in a process of its own: what one leaves
/// would be taken by the next.
const ROWS: [Row; 5] = [
    ("route, no condition", || {
        World::of(routes(|i| live::Route { r#match: live::Match::default(), ..cases::route(i) }), 1)
    }),
    ("route, host and prefix", || World::of(routes(plain), 1)),
    ("route, as in the table", || World::of(routes(cases::route), 1)),
    ("route with a split of two", || World::of(routes(cases::split), 1)),
    ("endpoint", || World::of(Vec::new(), MANY / 10)),
];

/// How much there is of each.
const MANY: usize = 10_000;

/// All of them to one cluster, so that only routes are counted.
fn routes(of: fn(usize) -> live::Route) -> Vec<live::Route> {
    let home = |mut route: live::Route| {
        let variants = route.split.iter_mut().flat_map(|split| &mut split.variants);
        let clusters = variants.map(|variant| &mut variant.cluster).chain(&mut route.cluster);
        clusters.for_each(|cluster| *cluster = "cluster-0".parse().expect("a name"));
        route
    };
    (0..MANY).map(of).map(home).collect()
}

fn plain(i: usize) -> live::Route {
    let path = Some(live::PathMatch::Prefix(format!("/api/v1/svc{i}")));
    let hosts = vec![format!("h{i}.example.com").parse().expect("a host")];
    live::Route { r#match: live::Match { hosts, path, ..live::Match::default() }, ..cases::route(i) }
}

/// Shows the memory of each row.
fn memory() {
    let own = std::env::current_exe().expect("this program");
    for (row, (what, _)) in ROWS.iter().enumerate() {
        let out = Command::new(&own).args(["--row", &row.to_string()]).output().expect("it runs");
        let bytes = String::from_utf8_lossy(&out.stdout);
        println!("{:<32} {:>9} B", format!("memory: {what}"), bytes.trim());
    }
}

/// Prints the bytes of one.
fn row(row: usize) {
    let before = resident();
    let world = ROWS[row].1();
    let bytes = resident().saturating_sub(before);
    drop(black_box(world));
    println!("{}", bytes / MANY as u64);
}

/// Private memory of this process that is in RAM, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("it is there");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
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
