//! The check must be quiet about healthy splits and loud about broken ones.

use std::sync::atomic::AtomicUsize;
use std::thread;

use super::*;
use crate::split::rendezvous::{self, Draw};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// The variant that a key has, by the code that requests go through.
fn variant(seed: &str, key: &str, weights: &[f64]) -> usize {
    let candidates = NAMES.into_iter().zip(weights.iter().copied());
    rendezvous::choose(&mut Draw::new(seed.as_bytes(), key.as_bytes()), candidates).unwrap()
}

fn see(sample: &Sample, key: &str, variant: usize) {
    sample.record(Some(unit(key.as_bytes())), variant);
}

#[test]
fn p_values_of_healthy_splits_are_uniform() {
    let weights = [50.0, 30.0, 15.0, 5.0];
    let p_value = |seed: usize| {
        let sample = Sample::new(4);
        for key in 0..500 {
            let key = format!("user-{key}");
            see(&sample, &key, variant(&seed.to_string(), &key, &weights));
        }
        sample.verdict(&weights).unwrap().p_value
    };
    let all: Vec<f64> = (0..1000).map(p_value).collect();
    let below = |bound: f64| all.iter().filter(|p| **p < bound).count();
    // Two and a half to three standard deviations; the seeds are fixed, so is the outcome.
    assert!((2..=18).contains(&below(0.01)), "{} of 1000 below 0.01", below(0.01));
    assert!((73..=127).contains(&below(0.1)), "{} of 1000 below 0.1", below(0.1));
    assert!((455..=545).contains(&below(0.5)), "{} of 1000 below 0.5", below(0.5));
}

#[test]
fn a_busy_client_is_one_unit() {
    let sample = Sample::new(2);
    for key in 0..1000 {
        let key = format!("user-{key}");
        let variant = variant("s", &key, &[1.0, 1.0]);
        for _ in 0..if key == "user-7" { 100_000 } else { 1 } {
            see(&sample, &key, variant);
        }
    }
    let verdict = sample.verdict(&[0.5, 0.5]).unwrap();
    assert_eq!(verdict.units.iter().sum::<u64>(), 1000);
    assert!(verdict.p_value > 0.01, "{verdict:?}");
}

#[test]
fn five_points_are_seen_within_one_window() {
    for seed in 0..50 {
        let sample = Sample::new(2);
        for key in 0..WINDOW {
            let key = format!("{seed}-{key}");
            see(&sample, &key, variant("s", &key, &[55.0, 45.0]));
        }
        let verdict = sample.verdict(&[0.5, 0.5]).unwrap();
        assert!(verdict.p_value < 0.001, "{verdict:?}");
        assert_eq!(verdict.units.iter().sum::<u64>(), WINDOW);
    }
}

#[test]
fn without_a_key_each_request_counts() {
    let sample = Sample::new(2);
    for turn in 0..1000 {
        sample.record(None, turn % 2);
    }
    assert_eq!(sample.units(), [500, 500]);
    for _ in 0..100 {
        see(&sample, "ann", 1);
    }
    assert_eq!(sample.units(), [500, 501]);
}

#[test]
fn windows_without_keys_are_forgotten_too() {
    let sample = Sample::new(2);
    for window in 0..10 {
        for turn in 0..WINDOW {
            // One in eight to the second variant, in each other window to the first.
            let variant = usize::from(turn % 8 == 0) ^ (window % 2);
            sample.record(None, variant);
        }
        let (few, many) = (WINDOW / 8, WINDOW - WINDOW / 8);
        assert_eq!(sample.units(), if window % 2 == 0 { [many, few] } else { [few, many] });
    }
    assert!(sample.table.get().is_none(), "nobody has a key, so nobody is kept");
}

#[test]
fn threads_without_keys_keep_the_size_of_windows() {
    let sample = Sample::new(2);
    thread::scope(|scope| {
        for thread in 0..8 {
            let sample = &sample;
            scope.spawn(move || (0..50_000).for_each(|turn| sample.record(None, (thread + turn) % 2)));
        }
    });
    let units: u64 = sample.units().iter().sum();
    // Of each thread one unit may be missing, which was late in the window before, or be too many, at the end.
    assert!((WINDOW - 8..=WINDOW + 8).contains(&units), "{units}");
}

/// Who looks while a window is closed sees it full, not emptied.
#[test]
fn a_look_at_the_first_window_never_sees_fewer_than_before() {
    for _ in 0..50 {
        let sample = Sample::new(60);
        thread::scope(|scope| {
            let looks = scope.spawn(|| {
                let mut least = 0;
                loop {
                    let closed = sample.window.load(Relaxed) > 1;
                    let units: u64 = sample.units().iter().sum();
                    assert!(units >= least, "{units} after {least}");
                    least = units;
                    if closed {
                        return units;
                    }
                }
            });
            (0..WINDOW).for_each(|turn| sample.record(None, turn as usize % 60));
            assert_eq!(looks.join().unwrap(), WINDOW);
        });
    }
}

/// The same without chance: between the two writes of a closing, all is still there to be read.
#[test]
fn a_window_that_is_closed_can_still_be_read() {
    let sample = Sample::new(2);
    (0..WINDOW).for_each(|turn| sample.record(None, turn as usize % 2));
    assert_eq!(sample.keyless.read(1), [WINDOW / 2; 2]);
    (0..WINDOW).for_each(|_| sample.record(None, 0));
    assert_eq!(sample.keyless.read(2), [WINDOW, 0]);
    assert_eq!(sample.keyless.read(3), [0, 0]);
}

#[test]
fn what_is_over_is_forgotten() {
    let sample = Sample::new(2);
    // A variant is down for a window: all go to the other.
    for key in 0..WINDOW {
        see(&sample, &format!("user-{key}"), 0);
    }
    assert_eq!(sample.units(), [WINDOW, 0]);
    assert!(sample.verdict(&[0.5, 0.5]).unwrap().p_value < 1e-100);
    // The same clients come back, and then a few more than a window of them.
    for key in 0..WINDOW {
        assert_eq!(sample.units(), [WINDOW, 0], "{key}: the whole one stands until the next is");
        let key = format!("user-{key}");
        see(&sample, &key, variant("s", &key, &[1.0, 1.0]));
    }
    assert_eq!(sample.units().iter().sum::<u64>(), WINDOW);
    assert!(sample.verdict(&[0.5, 0.5]).unwrap().p_value > 0.001);
}

/// Words carry the window's number cut to 10 bits: go around, always with the same clients.
#[test]
fn windows_without_end_count_the_same() {
    let sample = Sample::new(2);
    let keys: Vec<u64> = (0..5000).map(|key: u32| unit(&key.to_le_bytes())).collect();
    for window in 1..1200 {
        let mut seen = keys.iter().enumerate().cycle().take(2 * keys.len());
        while sample.window.load(Relaxed) == window {
            let (key, unit) = seen.next().unwrap_or_else(|| panic!("window {window} never fills"));
            sample.record(Some(*unit), key % 2);
        }
        assert_eq!(sample.units().iter().sum::<u64>(), WINDOW);
    }
}

#[test]
fn a_new_window_has_room_for_every_unit() {
    let mut lost = 0;
    for round in 0..200_u32 {
        let sample = Sample::new(1);
        for key in 0..4000_u32 {
            sample.record(Some(unit(&[round.to_le_bytes(), key.to_le_bytes()].concat())), 0);
        }
        lost += 4000 - sample.units()[0];
    }
    assert!(lost <= 30, "{lost} of 800,000 were lost");
}

#[test]
fn too_few_give_no_verdict() {
    let of = |units: &[u64], shares: &[f64]| Verdict::of(units.to_vec(), shares);
    assert_eq!(Sample::new(2).verdict(&[0.5, 0.5]), None);
    assert_eq!(of(&[4, 4], &[0.5, 0.5]), None);
    assert!(of(&[5, 5], &[0.5, 0.5]).is_some());
    assert_eq!(of(&[1000], &[1.0]), None, "one variant has nothing to be compared with");
    assert_eq!(of(&[1000, 0], &[1.0, 0.0]), None, "nor has one that gets all");
    assert_eq!(of(&[10, 10], &[0.0, 0.0]), None);
    assert_eq!(of(&[4000, 1], &[0.999_999, 0.000_001]), None, "the rare one can't be judged");
    // The two rare ones together can.
    let verdict = of(&[992, 4, 4], &[0.992, 0.004, 0.004]).unwrap();
    assert_eq!((verdict.degrees, verdict.chi_square), (1, 0.0));
    let verdict = of(&[500, 497, 3], &[0.5, 0.497, 0.003]).unwrap();
    assert_eq!(verdict.degrees, 1, "one alone goes to the smallest of the others");
}

#[test]
fn chi_square_is_the_one_of_the_books() {
    // Mendel's peas, 9:3:3:1.
    let verdict = Verdict::of(vec![315, 108, 101, 32], &[9.0, 3.0, 3.0, 1.0]).unwrap();
    assert_eq!(verdict.degrees, 3);
    assert!((verdict.chi_square - 0.470_024).abs() < 1e-6, "{verdict:?}");
    assert!((verdict.p_value - 0.925_426).abs() < 1e-6, "{verdict:?}");
}

#[test]
fn a_variant_that_should_have_none_and_has_is_broken() {
    let verdict = Verdict::of(vec![1, 1000], &[0.0, 1.0]).unwrap();
    assert_eq!((verdict.p_value, verdict.degrees), (0.0, 1));
    assert!(verdict.chi_square.is_finite(), "JSON has no infinity");
}

#[test]
fn threads_that_see_the_same_clients_count_each_once() {
    const CLIENTS: usize = 4000;
    for round in 0..5 {
        let sample = Sample::new(3);
        thread::scope(|scope| {
            for offset in 0..8 {
                let sample = &sample;
                scope.spawn(move || {
                    for turn in 0..3 * CLIENTS {
                        let key = (turn * 7 + offset * 501) % CLIENTS;
                        see(sample, &format!("{round}-{key}"), key % 3);
                    }
                });
            }
        });
        let units = sample.units();
        let due = [CLIENTS.div_ceil(3), CLIENTS / 3, CLIENTS / 3];
        for (got, due) in units.iter().zip(due) {
            let due = u64::try_from(due).unwrap();
            assert!((due - 2..=due).contains(got), "{units:?}");
        }
    }
}

#[test]
fn threads_that_fill_windows_keep_their_size() {
    const KEYS: usize = 300_000;
    let sample = Sample::new(2);
    let next = AtomicUsize::new(0);
    // Off by no more than the threads that were on their way.
    let whole = |units: &[u64]| (WINDOW - 8..=WINDOW + 8).contains(&units.iter().sum());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let key = next.fetch_add(1, Relaxed);
                    if key >= KEYS {
                        break;
                    }
                    sample.record((!key.is_multiple_of(4)).then(|| unit(&key.to_le_bytes())), key % 2);
                }
            });
        }
        while next.load(Relaxed) < KEYS {
            let partial = sample.window.load(Relaxed) == 1;
            let units = sample.units();
            assert!(partial || whole(&units), "{units:?}");
            thread::yield_now();
        }
    });
    // While the thread that closes a window waits for a core, the others' units are lost: with
    // nothing else to do than this, that is most of them.
    let windows = sample.window.load(Relaxed) - 1;
    assert!((2..=73).contains(&windows), "{windows} windows of 300,000 units");
    let units = sample.units();
    assert!(whole(&units), "{units:?}");
    assert!(sample.verdict(&[0.5, 0.5]).unwrap().p_value > 1e-6, "{units:?}");
}
