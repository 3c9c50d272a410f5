//! What a request adds to for its (route, cluster, variant): one block of atomics, resolved
//! beforehand.
//!
//! The block is made by the first request: of 10,000 routes with their variants and stand-ins, most may
//! never see one, and a block is half a kilobyte. Until then a scrape shows zeros, so that nothing
//! depends on it. The bad side is a load and a branch for each request.
//!
//! Flags are counted by route alone, in a block that the variants of a route share: summed over
//! variants in a scrape, the count would fall when a variant is taken out.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError};

use crate::observe::Flag;
use crate::observe::metrics::histogram::Histogram;
use crate::observe::metrics::series::Lock;
use crate::observe::metrics::shelf::{Named, Shelf};
use crate::observe::metrics::text::{Kind, Text, labels};

/// The handle of one (route, cluster, variant). Clones count into the same series.
#[derive(Clone, Debug)]
pub struct RouteMetrics(Arc<Named<3, Cells>>);

/// All series of requests.
#[derive(Default)]
pub(super) struct Routes {
    /// By route, cluster, variant.
    cells: Shelf<3, Cells>,
    /// By route.
    flags: Shelf<1, Flags>,
    /// What series have in common.
    listeners: Lock<Arc<[Box<str>]>>,
}

/// The series of one scrape.
struct Page {
    cells: Vec<Arc<Named<3, Cells>>>,
    flags: Vec<Arc<Named<1, Flags>>>,
    /// What is shown of those that saw no request.
    zeros: Counts,
}

#[derive(Debug)]
struct Cells {
    listeners: Arc<[Box<str>]>,
    counts: OnceLock<Box<Counts>>,
    flags: Arc<Named<1, Flags>>,
}

/// Made by the first request.
#[derive(Debug)]
struct Counts {
    /// By listener, then by class.
    requests: Box<[[AtomicU64; CLASSES.len()]]>,
    duration: Histogram,
    ttfb: Histogram,
    /// Calls of gRPC by their outcome.
    calls: [AtomicU64; CODES.len()],
}

/// By the order of [`Flag::ALL`]. Made by the first request that has one.
type Flags = OnceLock<Box<[AtomicU64; Flag::ALL.len()]>>;

/// The outcomes of gRPC calls.
const CODES: [&str; 17] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];

const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

// === impl RouteMetrics ===

impl RouteMetrics {
    /// Counts one finished request. `listener` is its index in the order given to
    /// [`Metrics::route`](crate::observe::Metrics::route); durations in seconds.
    pub fn record(&self, listener: usize, status: u16, duration: f64, ttfb: Option<f64>, flag: Option<Flag>) {
        let cells = &self.0.series;
        let counts = cells.counts();
        let class = if (100..600).contains(&status) { usize::from(status / 100) } else { 0 };
        if let Some(of_listener) = counts.requests.get(listener) {
            of_listener[class].fetch_add(1, Relaxed);
        }
        counts.duration.observe(duration);
        if let Some(ttfb) = ttfb {
            counts.ttfb.observe(ttfb);
        }
        if let Some(flag) = flag {
            let flags = cells.flags.series.get_or_init(|| Box::new(array::from_fn(|_| AtomicU64::new(0))));
            flags[flag as usize].fetch_add(1, Relaxed);
        }
    }

    /// Counts one gRPC call by the number of its outcome.
    pub fn call(&self, code: u8) {
        if let Some(count) = self.0.series.counts().calls.get(usize::from(code)) {
            count.fetch_add(1, Relaxed);
        }
    }
}

// === impl Cells ===

impl Cells {
    fn counts(&self) -> &Counts {
        self.counts.get_or_init(|| Box::new(Counts::new(self.listeners.len())))
    }
}

// === impl Counts ===

impl Counts {
    fn new(listeners: usize) -> Self {
        Self {
            requests: (0..listeners).map(|_| array::from_fn(|_| AtomicU64::new(0))).collect(),
            duration: Histogram::default(),
            ttfb: Histogram::default(),
            calls: array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

// === impl Routes ===

impl Routes {
    pub(super) fn handle(
        &self,
        listeners: &[&str],
        route: &str,
        cluster: &str,
        variant: &str,
    ) -> RouteMetrics {
        let same = |cells: &Cells| cells.listeners.iter().map(AsRef::as_ref).eq(listeners.iter().copied());
        let make = || Cells {
            listeners: self.shared(listeners),
            counts: OnceLock::new(),
            flags: self.flags.find([route], |_| true, OnceLock::new),
        };
        RouteMetrics(self.cells.find([route, cluster, variant], same, make))
    }

    /// The names of the listeners: those of the last series, since they mostly are the same.
    fn shared(&self, listeners: &[&str]) -> Arc<[Box<str>]> {
        let mut last = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.iter().map(AsRef::as_ref).eq(listeners.iter().copied()) {
            *last = listeners.iter().map(|listener| Box::from(*listener)).collect();
        }
        last.clone()
    }

    /// Drops the series that nobody else holds.
    pub(super) fn sweep(&self) {
        self.cells.sweep();
        self.flags.sweep();
    }

    pub(super) fn render(&self, text: &mut Text) {
        let cells = self.cells.all();
        let listeners = cells.iter().map(|cells| cells.series.listeners.len()).max();
        let zeros = Counts::new(listeners.unwrap_or_default());
        let page = Page { cells, flags: self.flags.all(), zeros };
        page.requests(text);
        page.histogram(
            text,
            "tidegate_http_request_duration_seconds",
            "From the request's header to the end of the answer.",
            |counts| &counts.duration,
        );
        page.histogram(
            text,
            "tidegate_http_upstream_ttfb_seconds",
            "From the last attempt's start to the endpoint's first byte.",
            |counts| &counts.ttfb,
        );
        page.flags(text);
        page.calls(text);
    }
}

// === impl Page ===

impl Page {
    fn counts<'a>(&'a self, cells: &'a Named<3, Cells>) -> &'a Counts {
        cells.series.counts.get().map_or(&self.zeros, |counts| counts)
    }

    fn requests(&self, text: &mut Text) {
        const NAME: &str = "tidegate_http_requests_total";
        text.family(NAME, "Requests answered.", Kind::Counter);
        for cells in &self.cells {
            let [route, cluster, variant] = &cells.names;
            let requests = &self.counts(cells).requests;
            for (listener, counts) in cells.series.listeners.iter().zip(requests) {
                for (class, count) in CLASSES.iter().zip(counts) {
                    let labels = labels([
                        ("listener", &**listener),
                        ("route", route),
                        ("cluster", cluster),
                        ("variant", variant),
                        ("code_class", class),
                    ]);
                    text.sample(NAME, "", &labels, count.load(Relaxed));
                }
            }
        }
    }

    fn histogram(&self, text: &mut Text, name: &str, help: &str, of: impl Fn(&Counts) -> &Histogram) {
        text.family(name, help, Kind::Histogram);
        for cells in &self.cells {
            let [route, cluster, variant] = &cells.names;
            let labels = labels([("route", &**route), ("cluster", cluster), ("variant", variant)]);
            of(self.counts(cells)).render(text, name, &labels);
        }
    }

    fn flags(&self, text: &mut Text) {
        const NAME: &str = "tidegate_http_response_flags_total";
        text.family(NAME, "Responses by flag.", Kind::Counter);
        for flags in &self.flags {
            let [route] = &flags.names;
            let counts = flags.series.get();
            for (place, flag) in Flag::ALL.iter().enumerate() {
                let labels = labels([("route", &**route), ("flag", flag.as_str())]);
                let count = counts.map_or(0, |counts| counts[place].load(Relaxed));
                text.sample(NAME, "", &labels, count);
            }
        }
    }

    /// Routes that no call has come to are left out: few have any, and each would be 17 lines.
    fn calls(&self, text: &mut Text) {
        const NAME: &str = "tidegate_grpc_requests_total";
        text.family(NAME, "gRPC calls by their outcome.", Kind::Counter);
        for cells in &self.cells {
            let [route, cluster, variant] = &cells.names;
            let calls = &self.counts(cells).calls;
            let counts: Vec<_> = calls.iter().map(|count| count.load(Relaxed)).collect();
            if counts.iter().all(|count| *count == 0) {
                continue;
            }
            for (code, count) in CODES.iter().zip(counts) {
                let labels = labels([
                    ("route", &**route),
                    ("cluster", cluster),
                    ("variant", variant),
                    ("grpc_status", code),
                ]);
                text.sample(NAME, "", &labels, count);
            }
        }
    }
}
