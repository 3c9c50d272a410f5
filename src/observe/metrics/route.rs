//! What a request adds to for its (route, cluster, variant): one block of atomics, resolved
//! beforehand.
//!
//! Flags are counted by route alone, in a block that the variants of a route share: summed over
//! variants in a scrape, the count would fall when a variant is taken out.

use std::array;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::observe::Flag;
use crate::observe::metrics::histogram::Histogram;
use crate::observe::metrics::series::Lock;
use crate::observe::metrics::text::{Kind, Text, labels};

/// The handle of one (route, cluster, variant). Clones count into the same series.
#[derive(Clone, Debug)]
pub struct RouteMetrics(Arc<Cells>);

/// All series of requests.
#[derive(Default)]
pub(super) struct Routes(Lock<Series>);

#[derive(Default)]
struct Series {
    /// By route, cluster, variant.
    cells: BTreeMap<[Box<str>; 3], RouteMetrics>,
    flags: BTreeMap<Box<str>, Arc<Flags>>,
}

/// The series of one scrape.
struct Page {
    cells: Vec<Arc<Cells>>,
    flags: Vec<(Box<str>, Arc<Flags>)>,
}

#[derive(Debug)]
struct Cells {
    /// Route, cluster, variant.
    names: [Box<str>; 3],
    listeners: Box<[Box<str>]>,
    /// By listener, then by class.
    requests: Box<[[AtomicU64; CLASSES.len()]]>,
    duration: Histogram,
    ttfb: Histogram,
    flags: Arc<Flags>,
    /// Calls of gRPC by their outcome.
    calls: [AtomicU64; CODES.len()],
}

/// By the order of [`Flag::ALL`].
type Flags = [AtomicU64; Flag::ALL.len()];

/// The outcomes of gRPC calls.
const CODES: [&str; 17] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];

const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

// === impl RouteMetrics ===

impl RouteMetrics {
    /// Counts one finished request. `listener` is its index in the order given to
    /// [`Metrics::route`](crate::observe::Metrics::route); durations in seconds.
    pub fn record(&self, listener: usize, status: u16, duration: f64, ttfb: Option<f64>, flag: Option<Flag>) {
        let class = if (100..600).contains(&status) { usize::from(status / 100) } else { 0 };
        if let Some(of_listener) = self.0.requests.get(listener) {
            of_listener[class].fetch_add(1, Relaxed);
        }
        self.0.duration.observe(duration);
        if let Some(ttfb) = ttfb {
            self.0.ttfb.observe(ttfb);
        }
        if let Some(flag) = flag {
            self.0.flags[flag as usize].fetch_add(1, Relaxed);
        }
    }

    /// Counts one gRPC call by the number of its outcome.
    pub fn call(&self, code: u8) {
        if let Some(count) = self.0.calls.get(usize::from(code)) {
            count.fetch_add(1, Relaxed);
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
        let mut series = self.lock();
        let key = [route, cluster, variant].map(Box::from);
        if let Some(known) = series.cells.get(&key)
            && known.0.listeners.iter().map(AsRef::as_ref).eq(listeners.iter().copied())
        {
            return known.clone();
        }
        let flags = series.flags.entry(route.into()).or_default().clone();
        let handle = RouteMetrics(Arc::new(Cells {
            names: key.clone(),
            listeners: listeners.iter().map(|l| Box::from(*l)).collect(),
            requests: listeners.iter().map(|_| array::from_fn(|_| AtomicU64::new(0))).collect(),
            duration: Histogram::default(),
            ttfb: Histogram::default(),
            flags,
            calls: array::from_fn(|_| AtomicU64::new(0)),
        }));
        series.cells.insert(key, handle.clone());
        handle
    }

    /// Drops the series that nobody else holds.
    pub(super) fn sweep(&self) {
        let mut series = self.lock();
        series.cells.retain(|_, handle| Arc::strong_count(&handle.0) > 1);
        series.flags.retain(|_, flags| Arc::strong_count(flags) > 1);
    }

    pub(super) fn render(&self, text: &mut Text) {
        // Copied out first: writing 10,000 routes takes a third of a second, and a compile must not
        // wait for that.
        let page = {
            let series = self.lock();
            Page {
                cells: series.cells.values().map(|handle| handle.0.clone()).collect(),
                flags: series.flags.iter().map(|(route, flags)| (route.clone(), flags.clone())).collect(),
            }
        };
        page.requests(text);
        page.histogram(
            text,
            "tidegate_http_request_duration_seconds",
            "From the request's header to the end of the answer.",
            |cells| &cells.duration,
        );
        page.histogram(
            text,
            "tidegate_http_upstream_ttfb_seconds",
            "From the last attempt's start to the endpoint's first byte.",
            |cells| &cells.ttfb,
        );
        page.flags(text);
        page.calls(text);
    }

    fn lock(&self) -> MutexGuard<'_, Series> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Page ===

impl Page {
    fn requests(&self, text: &mut Text) {
        const NAME: &str = "tidegate_http_requests_total";
        text.family(NAME, "Requests answered.", Kind::Counter);
        for cells in &self.cells {
            let [route, cluster, variant] = &cells.names;
            for (listener, counts) in cells.listeners.iter().zip(&cells.requests) {
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

    fn histogram(&self, text: &mut Text, name: &str, help: &str, of: impl Fn(&Cells) -> &Histogram) {
        text.family(name, help, Kind::Histogram);
        for cells in &self.cells {
            let [route, cluster, variant] = &cells.names;
            let labels = labels([("route", &**route), ("cluster", cluster), ("variant", variant)]);
            of(cells).render(text, name, &labels);
        }
    }

    fn flags(&self, text: &mut Text) {
        const NAME: &str = "tidegate_http_response_flags_total";
        text.family(NAME, "Responses by flag.", Kind::Counter);
        for (route, counts) in &self.flags {
            for (flag, count) in Flag::ALL.iter().zip(counts.iter()) {
                let labels = labels([("route", &**route), ("flag", flag.as_str())]);
                text.sample(NAME, "", &labels, count.load(Relaxed));
            }
        }
    }

    /// Routes that no call has come to are left out: few have any, and each would be 17 lines.
    fn calls(&self, text: &mut Text) {
        const NAME: &str = "tidegate_grpc_requests_total";
        text.family(NAME, "gRPC calls by their outcome.", Kind::Counter);
        for cells in &self.cells {
            let [route, cluster, variant] = &cells.names;
            let counts: Vec<_> = cells.calls.iter().map(|count| count.load(Relaxed)).collect();
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
