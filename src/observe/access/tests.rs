use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::IntCounter;
use proptest::prelude::*;
use serde_json::Value;

use super::writer::QUEUE;
use super::{AccessLog, Record, line};
use crate::config::live;
use crate::observe::Flag;

const FIELDS: &str = "time listener client method host path protocol status flags route cluster variant endpoint \
    attempts bytes_in bytes_out duration_ms ttfb_ms request_id user_agent generation";

fn record() -> Record<'static> {
    Record {
        time: UNIX_EPOCH + Duration::from_micros(1_795_540_063_000_123),
        listener: "http",
        client: Some([192, 0, 2, 7].into()),
        method: "GET",
        host: b"shop.example.com",
        path: b"/checkout?x=1",
        protocol: "HTTP/1.1",
        status: 200,
        grpc_status: None,
        flag: None,
        route: "shop",
        cluster: "web",
        variant: "",
        endpoint: Some(([10, 0, 0, 7], 80).into()),
        attempts: 1,
        bytes_in: 0,
        bytes_out: u64::MAX,
        duration_ms: 12.3456,
        ttfb_ms: None,
        request_id: b"abc",
        user_agent: b"curl/8",
        tls: None,
        generation: 41,
    }
}

fn log_to(path: &std::path::Path) -> (AccessLog, IntCounter) {
    let dropped = IntCounter::new("dropped", "dropped").unwrap();
    let config = live::AccessLog { path: path.to_str().unwrap().into(), ..Default::default() };
    (AccessLog::new(&config, dropped.clone()).unwrap(), dropped)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("not within 5 s: {what}");
}

#[test]
fn a_line_has_the_fields_of_the_design_in_their_order() {
    let mut out = Vec::new();
    line::write(&mut out, &record());
    let text = String::from_utf8(out).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, FIELDS.split_whitespace().collect::<Vec<_>>());
    assert_eq!(value["time"], "2026-11-24T17:07:43.000123Z");
    assert_eq!(value["client"], "192.0.2.7");
    assert_eq!(value["endpoint"], "10.0.0.7:80");
    assert_eq!(value["bytes_out"], u64::MAX);
    assert_eq!(value["duration_ms"], 12.346);
    assert_eq!((&value["ttfb_ms"], &value["flags"]), (&Value::Null, &Value::from("")));

    let mut out = Vec::new();
    let odd = Record { flag: Some(Flag::UH), duration_ms: f64::NAN, ttfb_ms: Some(-1.0), ..record() };
    line::write(&mut out, &odd);
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&value["flags"], &value["duration_ms"]), (&Value::from("UH"), &Value::from(0.0)));
}

proptest! {
    #[test]
    fn any_bytes_make_one_line_of_valid_json(
        host in proptest::collection::vec(any::<u8>(), 0..64),
        path in "\\PC*|[\\x00-\\x1f\"\\\\\\x7f\u{80}-\u{9f}\u{2028}]*",
        agent in proptest::collection::vec(prop_oneof![Just(0xc2), Just(0x80), Just(b'"'), any::<u8>()], 0..64),
    ) {
        let mut out = Vec::new();
        line::write(&mut out, &Record { host: &host, path: path.as_bytes(), user_agent: &agent, ..record() });
        prop_assert_eq!(out.iter().position(|b| *b == b'\n'), Some(out.len() - 1));
        let text = String::from_utf8(out).unwrap();
        prop_assert!(!text.trim_end().chars().any(char::is_control), "{}", text);
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(value["host"].as_str().unwrap(), String::from_utf8_lossy(&host));
        prop_assert_eq!(value["path"].as_str().unwrap(), path);
        prop_assert_eq!(value["user_agent"].as_str().unwrap(), String::from_utf8_lossy(&agent));
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them(address: SocketAddr) {
        let mut out = Vec::new();
        let record = Record { client: Some(address.ip()), endpoint: Some(address), ..record() };
        line::write(&mut out, &record);
        let value: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(value["client"].as_str().unwrap(), address.ip().to_string());
        prop_assert_eq!(value["endpoint"].as_str().unwrap(), address.to_string());
    }

    #[test]
    fn times_are_those_of_the_time_crate(micros in 0u64..253_402_300_799_999_999) {
        let time = UNIX_EPOCH + Duration::from_micros(micros);
        let mut out = Vec::new();
        line::rfc3339(&mut out, time);
        let text = String::from_utf8(out).unwrap();
        let parsed = time::OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339).unwrap();
        prop_assert_eq!(SystemTime::from(parsed), time);
        prop_assert_eq!(text.len(), 27);
    }
}

#[test]
fn finish_writes_what_was_queued_and_later_lines_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let (log, dropped) = log_to(&path);
    for _ in 0..1000 {
        log.write(&record());
    }
    assert!(log.finish(Duration::from_secs(5)));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1000);
    assert!(text.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()));
    log.write(&record());
    assert_eq!(dropped.get(), 1);
}

#[test]
fn dropping_the_log_writes_what_was_queued() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let (log, _) = log_to(&path);
    (0..100).for_each(|_| log.write(&record()));
    drop(log);
    until("100 lines", || fs::read_to_string(&path).unwrap().lines().count() == 100);
}

#[test]
fn reopen_goes_on_in_a_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, rotated) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let (log, _) = log_to(&path);
    log.write(&record());
    until("the first line", || fs::read_to_string(&path).unwrap().lines().count() == 1);
    fs::rename(&path, &rotated).unwrap();
    log.reopen();
    until("the new file", || path.exists());
    log.write(&record());
    assert!(log.finish(Duration::from_secs(5)));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    assert_eq!(fs::read_to_string(&rotated).unwrap().lines().count(), 1);
}

#[test]
fn a_reader_that_does_not_read_costs_lines_and_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Opened for both, so that neither side waits for the other.
    let mut reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let (log, dropped) = log_to(&path);
    let sent = QUEUE as u64 * 2;
    (0..sent).for_each(|_| log.write(&record()));
    let lost = dropped.get();
    assert!(lost > 0, "more than pipe and queue hold");
    let mut lines = 0;
    let mut buffer = [0; 4096];
    while lines < sent - lost {
        let n = reader.read(&mut buffer).unwrap();
        lines += buffer[..n].iter().filter(|b| **b == b'\n').count() as u64;
    }
    assert!(log.finish(Duration::from_secs(5)));
    assert_eq!(dropped.get(), lost);
}

#[test]
fn a_full_disk_is_counted() {
    let (log, dropped) = log_to(std::path::Path::new("/dev/full"));
    (0..3).for_each(|_| log.write(&record()));
    assert!(log.finish(Duration::from_secs(5)));
    assert_eq!(dropped.get(), 3);
}

#[test]
fn none_writes_nothing_and_a_bad_path_is_an_error() {
    let counter = IntCounter::new("dropped", "dropped").unwrap();
    let log = |path: &str| {
        AccessLog::new(&live::AccessLog { path: path.into(), ..Default::default() }, counter.clone())
    };
    let none = log("none").unwrap();
    assert!(!none.enabled() && none.finish(Duration::ZERO));
    none.write(&record());
    assert_eq!(counter.get(), 0);
    assert!(log("/no/such/directory/access.log").is_err());
}
