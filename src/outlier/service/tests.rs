//! Clusters under rules, in a time of their own: requests, looks, and what must hold at each.

use super::*;
use crate::balance::hash::HashPolicy;
use crate::config::live::{self, LoadBalancing, OutlierDetection, SuccessRate};
use crate::config::value::Span;
use crate::endpoint::{Endpoint, Failure, Member, Members, Registry, Roster, Standing};
use crate::observe::Metrics;
use crate::outlier::may_eject;

/// A cluster in a time of its own.
struct Stage {
    cluster: Arc<Cluster>,
    service: Service,
    roster: Roster,
    metrics: Metrics,
    config: live::Cluster,
    begin: Instant,
    millis: u64,
    rng: fastrand::Rng,
}

impl Stage {
    fn new(count: usize, config: live::Cluster, seed: u64) -> Self {
        let (mut roster, metrics) = (Roster::default(), Metrics::new().unwrap());
        let cluster = compile(count, &config, &mut roster, &metrics);
        Self {
            cluster,
            service: Service::default(),
            roster,
            metrics,
            config,
            begin: tokio::time::Instant::now().into_std(),
            millis: 0,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    fn resize(&mut self, count: usize) {
        self.cluster = compile(count, &self.config, &mut self.roster, &self.metrics);
    }

    /// One request, tried at most twice. Whether it was answered.
    fn request(&mut self, bad: impl Fn(usize) -> bool) -> bool {
        let mut tried = Vec::new();
        for _ in 0..2 {
            let Some(choice) = self.cluster.pick(None, &tried, &mut self.rng) else { return false };
            let endpoint = &self.cluster.endpoints[choice.index];
            let mut lease = endpoint.state.lease();
            let outlier = self.cluster.outlier.as_ref().unwrap();
            if !bad(choice.index) {
                outlier.answered(&self.cluster.endpoints, &mut lease, 200);
                outlier.succeeded(&mut lease);
                return true;
            }
            outlier.failed(&self.cluster.endpoints, &mut lease, Failure::Connect);
            tried.push(endpoint.member.address);
        }
        false
    }

    fn look(&mut self) {
        self.millis += 100;
        let now = self.begin + Duration::from_millis(self.millis);
        self.service.look(std::slice::from_ref(&self.cluster), Moment { now, date: self.millis });
    }

    fn out(&self) -> usize {
        self.cluster.endpoints.iter().filter(|e| e.state.standing() != Standing::In).count()
    }

    fn standing(&self, index: usize) -> Standing {
        self.cluster.endpoints[index].state.standing()
    }
}

fn compile(count: usize, config: &live::Cluster, roster: &mut Roster, metrics: &Metrics) -> Arc<Cluster> {
    let member = |i: usize| Member {
        address: ([10, 0, (i >> 8) as u8, i as u8], 80).into(),
        weight: 1,
        registry: Registry::Passing,
        labels: Arc::default(),
    };
    let members = Members::new((0..count).map(member));
    let hash = HashPolicy::new(&[]).unwrap();
    let name = "web".parse().unwrap();
    Arc::new(Cluster::compile(
        &name,
        &Arc::new(config.clone()),
        0,
        (hash, crate::cluster::Transport::CLEAR),
        Some(members),
        roster,
        metrics,
    ))
}

fn rules(rules: OutlierDetection) -> live::Cluster {
    live::Cluster { outlier_detection: Some(rules), ..Default::default() }
}

#[test]
fn whatever_fails_the_limits_hold_and_all_come_back() {
    for seed in 0..60 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let count = dice.usize(1..24);
        let percent = [0, 10, 50, 100][dice.usize(..4)];
        let base = dice.u64(1..4);
        let most = base * dice.u64(1..5);
        let config = rules(OutlierDetection {
            consecutive_errors: dice.u32(1..7),
            interval: Span::secs(2),
            base_ejection: Span::secs(base),
            max_ejection: Span::secs(most),
            max_ejected_percent: percent,
            ..Default::default()
        });
        let mut stage = Stage::new(count, config, seed);
        // When each went out, and how long its last ejection was.
        let mut since: Vec<Option<u64>> = vec![None; count];
        let mut bad = vec![0.0; count];
        for tick in 0..600 {
            if tick % 40 == 0 {
                bad.iter_mut().for_each(|rate| *rate = [0.0, 0.0, 0.5, 1.0][dice.usize(..4)]);
            }
            let coin: Vec<bool> = bad.iter().map(|rate| dice.f64() < *rate).collect();
            (0..dice.usize(0..40)).for_each(|_| _ = stage.request(|index| coin[index]));
            stage.look();
            let allowed = stage.out() == 0 || may_eject(stage.out() as u32 - 1, count, percent);
            assert!(allowed, "seed {seed}: {} of {count} at {percent} %", stage.out());
            assert!(stage.out() < count.max(1), "seed {seed}: never the last");
            for (index, since) in since.iter_mut().enumerate() {
                match (stage.standing(index), *since) {
                    (Standing::Ejected, None) => *since = Some(stage.millis),
                    (Standing::Ejected, Some(_)) | (_, None) => {}
                    (_, Some(from)) => {
                        let lasted = stage.millis - from;
                        // Twice in a row in one look: its trial failed at once, so it began anew.
                        assert!(lasted >= base * 1000, "seed {seed}: {lasted} ms");
                        *since = None;
                    }
                }
            }
        }
        let mut waited = 0;
        while stage.out() > 0 {
            (0..count * 4).for_each(|_| _ = stage.request(|_| false));
            stage.look();
            waited += 100;
            assert!(waited <= most * 1000 + 300, "seed {seed}: still out");
        }
    }
}

#[test]
fn ejections_of_one_that_stays_bad_get_longer_up_to_the_most() {
    let config = rules(OutlierDetection {
        base_ejection: Span::secs(1),
        max_ejection: Span::secs(3),
        ..Default::default()
    });
    let mut stage = Stage::new(4, config, 1);
    let (mut lengths, mut from, mut failed) = (Vec::new(), None, 0);
    for _ in 0..200 {
        (0..8).for_each(|_| failed += u32::from(!stage.request(|index| index == 2)));
        stage.look();
        match (stage.standing(2), from) {
            (Standing::Ejected, None) => from = Some(stage.millis),
            (Standing::Returning, Some(begin)) => {
                lengths.push(stage.millis - begin);
                from = None;
            }
            _ => {}
        }
    }
    assert_eq!(failed, 0, "each was tried once more");
    assert_eq!(lengths[..5], [1000, 2000, 3000, 3000, 3000]);
}

/// 14 of 20 die at once, for good.
#[test]
fn panic_does_not_oscillate() {
    let config = rules(OutlierDetection { max_ejected_percent: 100, ..Default::default() });
    let mut stage = Stage::new(20, config, 5);
    let mut modes = Vec::new();
    for tick in 0..4000 {
        let dead = move |index: usize| tick > 20 && index < 14;
        (0..40).for_each(|_| _ = stage.request(dead));
        modes.push(stage.cluster.endpoints.iter().filter(|e| e.available()).count() < 10);
        stage.look();
    }
    // Into panic, once: when an ejection is over, the trial fails before the next look.
    assert_eq!(modes.windows(2).filter(|pair| pair[0] != pair[1]).count(), 1);
    // Requests in panic mode fail and change nothing: each was ejected for 30, 60, 90, 120 s, and is
    // for 150.
    let ejections = stage.cluster.endpoints.iter().map(|e| e.state.faults.ejections());
    assert_eq!(ejections.collect::<Vec<_>>(), [[5; 14].as_slice(), &[0; 6]].concat());
}

/// Half of 20 die at once, for good: who notices?
#[test]
fn half_of_twenty_die_at_once() {
    for seed in 1..6 {
        let mut stage = Stage::new(20, rules(OutlierDetection::default()), seed);
        let (mut failed, mut at_once) = (0, 0);
        for tick in 0..1300 {
            let dead = move |index: usize| tick > 20 && index < 10;
            for _ in 0..100 {
                failed += u32::from(!stage.request(dead));
            }
            if tick == 30 {
                at_once = failed;
            }
            stage.look();
            let panic = stage.cluster.endpoints.iter().filter(|e| e.available()).count() < 10;
            assert!(!panic, "half are available");
        }
        assert_eq!(stage.out(), 10);
        // Only while nobody knows of the dead ones, each of which has to be met once; none at their returns.
        assert!(failed <= 10, "{failed}");
        assert_eq!(failed, at_once);
    }
}

#[test]
fn the_success_rate_ejects_at_the_interval() {
    let config = rules(OutlierDetection {
        consecutive_errors: 0,
        interval: Span::secs(1),
        success_rate: Some(SuccessRate { minimum_requests: 20, ..Default::default() }),
        ..Default::default()
    });
    let mut stage = Stage::new(6, config, 3);
    let mut dice = fastrand::Rng::with_seed(9);
    for tick in 1..=11 {
        for _ in 0..60 {
            let fails = dice.u8(..3) == 0;
            let _ = stage.request(|index| index == 4 && fails);
        }
        assert_eq!(stage.out(), 0, "{tick}");
        stage.look();
        if stage.out() > 0 {
            break;
        }
    }
    assert_eq!(stage.standing(4), Standing::Ejected);
    stage.look();
    let outlier = stage.cluster.outlier.as_ref().unwrap();
    let counts = [0, 1, 2].map(|reason| outlier.metrics.ejections[reason].get());
    assert_eq!(counts, [0, 1, 0]);
}

#[test]
fn those_that_join_or_recover_start_slowly() {
    let mut config = rules(OutlierDetection { base_ejection: Span::secs(1), ..Default::default() });
    config.load_balancing = LoadBalancing { slow_start: Some(Span::secs(10)), ..Default::default() };
    let mut stage = Stage::new(2, config, 3);
    let shares = |stage: &Stage| {
        stage.cluster.endpoints.iter().map(|e: &Endpoint| e.state.share()).collect::<Vec<_>>()
    };
    stage.look();
    assert_eq!(shares(&stage), [100, 100], "the first ones are warm");
    stage.resize(3);
    assert_eq!(shares(&stage), [100, 100, 10], "before anybody has looked");
    stage.look();
    (0..50).for_each(|_| stage.look());
    assert_eq!(shares(&stage), [100, 100, 50]);
    (0..50).for_each(|_| stage.look());
    assert_eq!(shares(&stage), [100, 100, 100]);

    stage.cluster.endpoints[1].state.drain(true);
    stage.look();
    stage.cluster.endpoints[1].state.drain(false);
    stage.look();
    assert_eq!(shares(&stage), [100, 10, 100], "it was not available");
    stage.config.load_balancing.slow_start = None;
    stage.resize(3);
    stage.look();
    assert_eq!(shares(&stage), [100, 100, 100], "there is no slow start any more");
}

#[test]
fn what_an_address_did_outlives_its_absence_as_long_as_the_roster_knows_it() {
    let mut stage = Stage::new(3, rules(OutlierDetection::default()), 3);
    (0..60).for_each(|_| _ = stage.request(|index| index == 2));
    stage.look();
    assert_eq!(stage.standing(2), Standing::Ejected);
    stage.resize(2);
    (0..50).for_each(|_| stage.look());
    assert_eq!(stage.cluster.pool.ejected(), 0, "it is not there");
    stage.resize(3);
    stage.look();
    assert_eq!((stage.standing(2), stage.cluster.pool.ejected()), (Standing::Ejected, 1));
    (0..250).for_each(|_| stage.look());
    assert_eq!(stage.standing(2), Standing::Returning, "30 s after it was ejected");
}

/// A request that began under rules may end after they are gone.
#[test]
fn nobody_stays_out_where_there_are_no_rules() {
    let mut stage = Stage::new(3, rules(OutlierDetection::default()), 3);
    stage.look();
    let old = stage.cluster.clone();
    stage.config.outlier_detection = None;
    stage.resize(3);
    stage.look();
    let outlier = old.outlier.as_ref().unwrap();
    for _ in 0..5 {
        outlier.failed(&old.endpoints, &mut old.endpoints[1].state.lease(), Failure::Late);
    }
    assert_eq!(stage.standing(1), Standing::Ejected);
    (0..10).for_each(|_| stage.look());
    assert_eq!(stage.out(), 0);
}

/// Another process follows them from here on.
fn hand_over(stage: &Stage, count: usize) -> Stage {
    let told = serde_json::to_string(&stage.roster.remember()).unwrap();
    let mut heir = Stage::new(0, stage.config.clone(), 3);
    heir.roster.recall(&serde_json::from_str(&told).unwrap(), |_| true, heir.begin);
    heir.resize(count);
    heir
}

#[test]
fn an_ejection_goes_on_in_the_next_process_for_the_time_that_is_left() {
    let mut stage = Stage::new(4, rules(OutlierDetection::default()), 3);
    (0..60).for_each(|_| _ = stage.request(|index| index == 2));
    stage.look();
    assert_eq!(stage.standing(2), Standing::Ejected);
    (0..100).for_each(|_| stage.look());
    let mut heir = hand_over(&stage, 4);
    assert_eq!((heir.standing(2), heir.cluster.pool.ejected()), (Standing::Ejected, 1));
    assert!((0..50).all(|_| heir.request(|index| index == 2)), "it is not asked");
    (0..199).for_each(|_| heir.look());
    assert_eq!(heir.standing(2), Standing::Ejected);
    (0..3).for_each(|_| heir.look());
    assert_eq!(heir.standing(2), Standing::Returning, "of 30 s, ten were over");
    let outlier = heir.cluster.outlier.as_ref().unwrap();
    assert_eq!(outlier.metrics.ejections[0].get(), 0, "that was counted where it happened");
    // Its trial fails: that is the second time.
    while heir.standing(2) == Standing::Returning {
        heir.request(|index| index == 2);
    }
    heir.look();
    assert_eq!(heir.cluster.endpoints[2].state.sentence.read(), (2, Duration::from_secs(60)));
    let third = hand_over(&heir, 4);
    assert_eq!(third.cluster.endpoints[2].state.faults.ejections(), 2);
}

#[test]
fn what_a_process_learns_late_takes_the_place_of_what_it_knew() {
    let mut stage = Stage::new(4, rules(OutlierDetection::default()), 3);
    (0..60).for_each(|_| _ = stage.request(|index| index == 2));
    stage.look();
    let mut heir = hand_over(&stage, 4);
    heir.look();
    // Meanwhile it has returned where it is used, and another one is out.
    stage.cluster.endpoints[2].state.reinstate();
    stage.cluster.pool.recount(1, 0);
    (0..60).for_each(|_| _ = stage.request(|index| index == 1));
    stage.look();
    heir.roster.recall(&stage.roster.remember(), |_| true, heir.begin);
    heir.look();
    assert_eq!((heir.standing(1), heir.standing(2)), (Standing::Ejected, Standing::In));
    assert_eq!((heir.cluster.pool.ejected(), heir.out()), (1, 1));
    assert_eq!(heir.cluster.endpoints[2].state.sentence.read(), (1, Duration::ZERO), "the next is longer");
    (0..302).for_each(|_| heir.look());
    assert_eq!(heir.standing(1), Standing::Returning);
}

#[test]
fn a_slow_start_goes_on_in_the_next_process() {
    let mut config = rules(OutlierDetection::default());
    config.load_balancing = LoadBalancing { slow_start: Some(Span::secs(10)), ..Default::default() };
    let mut stage = Stage::new(2, config, 3);
    stage.look();
    stage.resize(3);
    (0..41).for_each(|_| stage.look());
    let share = |stage: &Stage, index: usize| stage.cluster.endpoints[index].state.share();
    assert_eq!([0, 1, 2].map(|index| share(&stage, index)), [100, 100, 40]);
    let mut heir = hand_over(&stage, 4);
    assert_eq!([0, 1, 2, 3].map(|index| share(&heir, index)), [100, 100, 40, 10], "the last one joins");
    (0..31).for_each(|_| heir.look());
    assert_eq!([0, 1, 2, 3].map(|index| share(&heir, index)), [100, 100, 70, 40]);
    (0..70).for_each(|_| heir.look());
    assert_eq!([0, 1, 2, 3].map(|index| share(&heir, index)), [100; 4]);
}
