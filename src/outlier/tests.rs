use super::*;
use crate::balance::testing::endpoints;
use crate::config::live::OutlierDetection;
use crate::observe::Metrics;

fn outlier(rules: OutlierDetection) -> Outlier {
    let metrics = Metrics::new().unwrap().outlier("web", Reason::ALL.map(Reason::as_str));
    Outlier { rules, pool: Arc::default(), metrics }
}

fn fail(outlier: &Outlier, endpoints: &[Endpoint], index: usize) {
    let mut lease = endpoints[index].state.lease();
    outlier.failed(endpoints, &mut lease, Failure::Broken);
}

fn succeed(outlier: &Outlier, endpoints: &[Endpoint], index: usize) {
    let mut lease = endpoints[index].state.lease();
    outlier.answered(endpoints, &mut lease, 200);
    outlier.succeeded(&mut lease);
}

#[test]
fn one_may_always_go_and_the_last_never() {
    for (present, percent, most) in [
        (0, 100, 0),
        (1, 100, 0),
        (2, 10, 1),
        (2, 0, 1),
        (2, 100, 1),
        (3, 50, 1),
        (9, 10, 1),
        (10, 50, 5),
        (20, 50, 10),
        (20, 100, 19),
        (20, 255, 19),
    ] {
        let allowed = (0..100).take_while(|&ejected| may_eject(ejected, present, percent)).count();
        assert_eq!(allowed, most, "{present} {percent}");
    }
}

#[test]
fn a_row_of_failures_ejects_and_a_success_ends_it() {
    let (outlier, all) = (outlier(OutlierDetection::default()), endpoints(&[1; 4]));
    for _ in 0..3 {
        (0..4).for_each(|_| fail(&outlier, &all, 0));
        succeed(&outlier, &all, 0);
    }
    assert_eq!(all[0].state.standing(), Standing::In);
    (0..5).for_each(|_| fail(&outlier, &all, 0));
    assert_eq!((all[0].state.standing(), outlier.pool.ejected()), (Standing::Ejected, 1));
    assert_eq!(all[0].state.take_window(), (3, 17));
}

#[test]
fn a_try_counts_once() {
    let (outlier, all) = (outlier(OutlierDetection::default()), endpoints(&[1; 4]));
    let mut lease = all[0].state.lease();
    outlier.answered(&all, &mut lease, 502);
    for _ in 0..9 {
        outlier.failed(&all, &mut lease, Failure::Broken);
        outlier.succeeded(&mut lease);
    }
    assert_eq!(all[0].state.take_window(), (0, 1));
    let mut lease = all[0].state.lease();
    outlier.succeeded(&mut lease);
    assert_eq!(all[0].state.take_window(), (0, 0), "it was never answered");
    outlier.answered(&all, &mut lease, 404);
    outlier.failed(&all, &mut lease, Failure::Late);
    outlier.succeeded(&mut lease);
    assert_eq!(all[0].state.take_window(), (0, 1), "the body came late");
}

#[test]
fn while_it_is_out_only_its_trial_counts() {
    let (outlier, all) = (outlier(OutlierDetection::default()), endpoints(&[1; 4]));
    let state = &all[0].state;
    let early: Vec<_> = (0..20).map(|_| state.lease()).collect();
    (0..5).for_each(|_| fail(&outlier, &all, 0));
    for mut lease in early {
        outlier.failed(&all, &mut lease, Failure::Broken);
    }
    (0..50).for_each(|_| fail(&outlier, &all, 0));
    (0..50).for_each(|_| succeed(&outlier, &all, 0));
    assert_eq!((state.standing(), state.take_window()), (Standing::Ejected, (0, 5)));

    assert!(state.turn(Standing::Ejected, Standing::Returning));
    let mut trial = state.lease();
    (0..50).for_each(|_| fail(&outlier, &all, 0));
    (0..50).for_each(|_| succeed(&outlier, &all, 0));
    assert_eq!(state.standing(), Standing::Trying);
    outlier.failed(&all, &mut trial, Failure::Late);
    drop(trial);
    assert_eq!((state.standing(), outlier.pool.ejected()), (Standing::Ejected, 1));

    assert!(state.turn(Standing::Ejected, Standing::Returning));
    succeed(&outlier, &all, 0);
    assert_eq!((state.standing(), outlier.pool.ejected(), state.streak()), (Standing::In, 0, 0));
}

#[test]
fn after_a_trial_one_failure_is_enough_until_an_answer_is_whole() {
    let (outlier, all) = (outlier(OutlierDetection::default()), endpoints(&[1; 4]));
    let state = &all[0].state;
    let come_back = || {
        assert!(state.turn(Standing::Ejected, Standing::Returning));
        let mut trial = state.lease();
        assert!(outlier.answered(&all, &mut trial, 200));
        trial
    };
    (0..5).for_each(|_| fail(&outlier, &all, 0));
    let mut trial = come_back();
    outlier.failed(&all, &mut trial, Failure::Broken);
    assert_eq!(state.standing(), Standing::Ejected, "its own body broke");
    let _stream = come_back();
    fail(&outlier, &all, 0);
    assert_eq!(state.standing(), Standing::Ejected, "the next one failed");
    let mut trial = come_back();
    outlier.succeeded(&mut trial);
    (0..4).for_each(|_| fail(&outlier, &all, 0));
    assert_eq!(state.standing(), Standing::In);
}

#[test]
fn threads_never_eject_more_than_allowed() {
    for percent in [0, 50, 100] {
        let rules =
            OutlierDetection { consecutive_errors: 1, max_ejected_percent: percent, ..Default::default() };
        let (outlier, all) = (outlier(rules), endpoints(&[1; 6]));
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (outlier, all) = (&outlier, &all);
                scope.spawn(move || (0..200).for_each(|i| fail(outlier, all, (thread + i) % 6)));
            }
        });
        let out = all.iter().filter(|e| e.state.standing() != Standing::In).count();
        assert_eq!(
            out,
            match percent {
                0 => 1,
                50 => 3,
                _ => 5,
            }
        );
        assert_eq!(outlier.pool.ejected() as usize, out);
        assert!(outlier.metrics.overflow.get() > 0);
    }
}

#[test]
fn the_last_one_that_is_available_stays_whatever_made_the_others_unavailable() {
    let rules = OutlierDetection { max_ejected_percent: 100, ..Default::default() };
    let (outlier, all) = (outlier(rules), endpoints(&[1; 4]));
    all[1].state.drain(true);
    all[2].state.drain(true);
    (0..5).for_each(|_| fail(&outlier, &all, 3));
    assert_eq!(all[3].state.standing(), Standing::Ejected);
    (0..50).for_each(|_| fail(&outlier, &all, 0));
    assert_eq!(all[0].state.standing(), Standing::In);
    all[1].state.drain(false);
    (0..5).for_each(|_| fail(&outlier, &all, 0));
    assert_eq!(all[0].state.standing(), Standing::Ejected);
}
