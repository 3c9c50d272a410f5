//! The rule by example, then against its own words.

use proptest::prelude::*;

use super::*;

const RULE: Thresholds = Thresholds { healthy: 2, unhealthy: 3 };

/// What holds after each of the probes: `+` passes, `-` fails.
fn row(start: Checked, probes: &str) -> String {
    let mut verdict = Verdict::resume(start);
    let letter = |checked| match checked {
        Checked::Unknown => '?',
        Checked::Up => 'U',
        Checked::Down => 'D',
    };
    let step = |probe| {
        verdict.take(probe == '+', RULE);
        letter(verdict.checked())
    };
    probes.chars().map(step).collect()
}

#[test]
fn the_first_probe_decides_a_new_endpoint() {
    assert_eq!(row(Checked::Unknown, "+"), "U");
    assert_eq!(row(Checked::Unknown, "-"), "D");
}

#[test]
fn a_change_takes_a_row() {
    assert_eq!(row(Checked::Up, "--+--+---++-++"), "UUUUUUUUDDUUUU");
    assert_eq!(row(Checked::Down, "+-+-++"), "DDDDDU");
}

#[test]
fn a_change_says_what_held_before() {
    let mut verdict = Verdict::default();
    assert_eq!(verdict.take(true, RULE), Some(Checked::Unknown));
    assert_eq!([verdict.take(false, RULE), verdict.take(false, RULE)], [None, None]);
    assert_eq!(verdict.against(), 2);
    assert_eq!(verdict.take(false, RULE), Some(Checked::Up));
    assert_eq!((verdict.checked(), verdict.against()), (Checked::Down, 0));
}

proptest! {
    /// What holds is what the newest full row said; without one, what the first probe said.
    #[test]
    fn the_newest_full_row_holds(
        probes in prop::collection::vec(any::<bool>(), 1..60),
        healthy in 1_u32..6,
        unhealthy in 1_u32..6,
    ) {
        let rule = Thresholds { healthy, unhealthy };
        let mut verdict = Verdict::default();
        for probe in &probes {
            verdict.take(*probe, rule);
        }
        let (mut expected, mut run, mut last) = (probes[0], 0, probes[0]);
        for probe in &probes {
            run = if *probe == last { run + 1 } else { 1 };
            last = *probe;
            if run >= if last { healthy } else { unhealthy } {
                expected = last;
            }
        }
        prop_assert_eq!(verdict.checked(), if expected { Checked::Up } else { Checked::Down });
    }

    /// Never back to unknown, and never two changes without a row between them.
    #[test]
    fn changes_are_rows_apart(probes in prop::collection::vec(any::<bool>(), 1..100), n in 1_u32..6) {
        let rule = Thresholds { healthy: n, unhealthy: n };
        let mut verdict = Verdict::default();
        let mut since = n;
        for probe in probes {
            since += 1;
            if let Some(before) = verdict.take(probe, rule) {
                prop_assert!(before == Checked::Unknown || since >= n, "after {since}");
                prop_assert_ne!(before, verdict.checked());
                since = 0;
            }
            prop_assert!(verdict.against() < n);
        }
    }
}
