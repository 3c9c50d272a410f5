//! What `make bench` says of instruction counts: its two awk programs, on made-up counts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot run awk has failed")]

use std::path::Path;
use std::process::Command;

const KEPT: &str = "# rustc 1.0\nroute\texact 10\t1000\nroute\tmiss 10\t500\nrecord\troute\t13\n";

fn awk(program: &str, arguments: &[&str]) -> (bool, String) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/cores").join(program);
    let out = Command::new("awk").args(["-v", "rustc=rustc 1.0", "-f"]).arg(program).args(arguments).output();
    let out = out.expect("awk is there");
    (out.status.success(), String::from_utf8(out.stdout).unwrap())
}

/// Whether counts pass, and what is said after the table.
fn compare(kept: &str, new: &[(&str, u64)]) -> (bool, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let new: String = new.iter().map(|(case, count)| format!("{case}\t{count}\n")).collect();
    let (passed, told) = awk("compare.awk", &[&path("kept", kept), &path("new", &new)]);
    let told = told.split_once("\n\n").map_or("", |(_, told)| told);
    (passed, told.lines().map(str::to_owned).collect())
}

#[test]
fn what_is_within_five_percent_passes() {
    let (passed, told) =
        compare(KEPT, &[("route\texact 10", 1050), ("route\tmiss 10", 475), ("record\troute", 13)]);
    assert!(passed);
    assert_eq!(told, ["All 3 cases are within 5 % of what is kept."]);
}

#[test]
fn a_regression_fails_with_its_case_and_both_counts() {
    let (passed, told) =
        compare(KEPT, &[("route\texact 10", 1051), ("route\tmiss 10", 500), ("record\troute", 13)]);
    assert!(!passed);
    assert_eq!(told[0], "REGRESSED  route exact 10: kept 1000, now 1051 (+5.1 %)");
    assert!(told[1].starts_with("make bench: 1 of 3 cases cost over 5 % more than kept"), "{told:?}");
}

#[test]
fn a_case_that_was_not_counted_fails_and_a_new_one_does_not() {
    let all = [("route\texact 10", 1000), ("route\tmiss 10", 500), ("record\troute", 13)];
    let (passed, told) = compare(KEPT, &all[..2]);
    assert!(!passed);
    assert_eq!(told[0], "NOT COUNTED  record route");
    let (passed, told) = compare(KEPT, &[all[0], all[1], all[2], ("route\tregex 10", 1)]);
    assert!(passed);
    assert_eq!(told, ["new  route regex 10", "Keep the new counts with `make bench BLESS=1`."]);
    let (passed, _) = compare(KEPT, &[]);
    assert!(!passed, "a bench that ran nothing is no good bench");
}

#[test]
fn an_improvement_asks_for_new_counts() {
    let (passed, told) =
        compare(KEPT, &[("route\texact 10", 900), ("route\tmiss 10", 500), ("record\troute", 13)]);
    assert!(passed);
    assert_eq!(told[0], "improved  route exact 10: kept 1000, now 900 (-10.0 %)");
    assert_eq!(told[1], "Keep the new counts with `make bench BLESS=1`.");
}

#[test]
fn another_compiler_is_told_loudly_and_fails_nothing() {
    let kept = KEPT.replace("rustc 1.0", "rustc 0.9");
    let (passed, told) =
        compare(&kept, &[("route\texact 10", 2000), ("route\tmiss 10", 500), ("record\troute", 13)]);
    assert!(passed);
    assert!(told[0].contains("of `rustc 0.9`, these of `rustc 1.0`"), "{told:?}");
    assert_eq!(told[2], "REGRESSED  route exact 10: kept 1000, now 2000 (+100.0 %)");
}

#[test]
fn the_table_names_cases_by_their_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let out = "cores::cores::route exact_1:(exact(1_000))\n  Instructions:     1768|1768    (No change)\n\
               cores::cores::record route:series()\n  Instructions:     13|N/A      (*********)\n";
    std::fs::write(&path, out).unwrap();
    let (passed, table) = awk("table.awk", &[path.to_str().unwrap()]);
    assert!(passed);
    assert_eq!(table, "route\texact 1,000\t1768\nrecord\troute\t13\n");
}

#[test]
fn the_kept_counts_can_be_read() {
    let kept = include_str!("../benches/cores/counts.tsv");
    let mut lines = kept.lines();
    assert!(lines.next().unwrap().starts_with("# rustc "));
    let mut cases = 0;
    for line in lines {
        let [_, _, count] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        count.parse::<u64>().unwrap();
        cases += 1;
    }
    assert!(cases > 40);
}
