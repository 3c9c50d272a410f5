//! The command's words, against a socket that says what it is told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;

/// A whole hand-over, as the process tells it.
const GOOD: &[&str] = &[
    r#"{"step":"spawned","pid":123,"heir_pid":456,"old_version":"0.1.0"}"#,
    r#"{"step":"hello","pid":123,"heir_pid":456,"version":"0.2.0"}"#,
    r#"{"step":"ready","pid":123,"heir_pid":456,"new_field":[1]}"#,
    r#"{"step":"sockets","pid":123,"heir_pid":456}"#,
    r#"{"step":"serving","pid":123,"heir_pid":456}"#,
    r#"{"step":"settled","pid":123,"heir_pid":456,"connections":3,"requests":1}"#,
];

/// Listens at `upgrade.sock` in a folder, takes one request, says the lines and closes.
fn scripted(dir: &Path, lines: &[&str]) -> JoinHandle<String> {
    let listener = UnixListener::bind(dir.join("upgrade.sock")).unwrap();
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut asked = String::new();
        BufReader::new(&stream).read_line(&mut asked).unwrap();
        for line in lines {
            // Who has heard enough goes away.
            let _ = (&stream).write_all(line.as_bytes());
        }
        asked
    })
}

/// What the command says: its lines, and its end with the times taken out.
fn told(dir: &Path, wait: bool) -> (Vec<String>, String) {
    let target = Target::new(None, Some(&dir.join("upgrade.sock"))).unwrap();
    let (mut story, mut lines) = (Story::default(), Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let end = runtime.block_on(async {
        let mut talk = Talk::begin(&target, Duration::from_secs(5)).await?;
        talk.follow(&mut story, wait, &mut |text| lines.push(text.to_owned())).await
    });
    let end = end.map_or_else(|trouble| trouble.to_string(), |()| story.end());
    let path = dir.display().to_string();
    (lines, end.replace(&path, "DIR"))
}

fn run_against(lines: &[&str], wait: bool) -> (Vec<String>, String) {
    let dir = tempfile::tempdir().unwrap();
    let peer = scripted(dir.path(), lines);
    let told = told(dir.path(), wait);
    assert_eq!(peer.join().unwrap(), "{\"upgrade\":{}}\n");
    told
}

#[test]
fn a_good_one() {
    let (lines, end) = run_against(GOOD, false);
    let expected = [
        "    0.0 s  PID 123 has started PID 456",
        "    0.0 s  PID 456 (0.2.0) is there",
        "    0.0 s  PID 456 has its config and its endpoints, and is ready",
        "    0.0 s  PID 456 has the listening sockets",
        "    0.0 s  PID 456 serves; PID 123 lets nobody in any more, and watches it",
        "    0.0 s  PID 456 is in charge",
    ];
    assert_eq!(lines, expected);
    assert_eq!(
        end,
        "upgraded: PID 123 (0.1.0) -> PID 456 (0.2.0) in 0.0 s; 3 connections still drain in 123\n"
    );
}

#[test]
fn what_is_left_is_waited_for_a_moment() {
    let settled = r#"{"step":"settled","pid":123,"heir_pid":456}"#;
    let left = r#"{"step":"draining","pid":123,"connections":1,"requests":0}"#;
    let (lines, end) = run_against(&[&GOOD[..5], &[settled, left]].concat(), false);
    assert_eq!(lines[6], "    0.0 s  PID 123 has 1 connection, 0 requests left");
    assert!(end.ends_with("in 0.0 s; 1 connection still drains in 123\n"), "{end}");
    let drained = r#"{"step":"drained","pid":123,"connections":0}"#;
    let (_, end) = run_against(&[&GOOD[..5], &[settled, drained]].concat(), false);
    assert!(end.ends_with("\nPID 123 is gone, 0.0 s after it\n"), "{end}");
}

#[test]
fn waiting_ends_with_the_word_or_with_the_process() {
    let drained = [GOOD, &[r#"{"step":"drained","pid":123,"connections":0,"requests":2}"#]].concat();
    let gone = "upgraded: PID 123 (0.1.0) -> PID 456 (0.2.0) in 0.0 s\nPID 123 is gone, 0.0 s after it";
    let (lines, end) = run_against(&drained, true);
    assert_eq!(
        lines[6],
        "upgraded: PID 123 (0.1.0) -> PID 456 (0.2.0) in 0.0 s; 3 connections still drain in 123"
    );
    assert_eq!(lines[7], "    0.0 s  PID 123 has finished");
    assert_eq!(end, format!("{gone}; 2 of its requests were cut\n"));
    let (_, end) = run_against(GOOD, true);
    assert!(end.starts_with(gone), "{end}");
}

#[test]
fn a_failed_one_says_why_and_who_serves() {
    let failed =
        r#"{"step":"failed","pid":123,"heir_pid":456,"why":"the new process ended with exit status 1"}"#;
    let (lines, end) = run_against(&[&GOOD[..2], &[failed]].concat(), false);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(
        end,
        "the new process ended with exit status 1 (the last step was `hello`)\n  \
         PID 123 serves on as before\n  \
         hint: what the new process said itself is in the log: journalctl -u tidegate"
    );
    let running = r#"{"step":"failed","pid":123,"why":"an upgrade is under way"}"#;
    let (_, end) = run_against(&[running], false);
    assert_eq!(end, "an upgrade is under way\n  PID 123 serves on as before");
}

#[test]
fn who_goes_away_says_nothing_of_who_serves() {
    let (_, end) = run_against(&GOOD[..4], false);
    assert!(
        end.starts_with("PID 123 went away after step `sockets`, before the hand-over was done\n"),
        "{end}"
    );
    let (_, end) = run_against(&[], false);
    assert!(end.starts_with("the process closed the connection without a word\n  hint: "), "{end}");
    let (_, end) = run_against(&["HTTP/1.1 400 Bad Request"], false);
    assert!(
        end.starts_with("DIR/upgrade.sock says what this version does not understand: `HTTP/1.1 400"),
        "{end}"
    );
}

#[test]
fn a_silent_one_and_a_late_one() {
    let target = Target::new(None, Some(Path::new("/run/x.sock"))).unwrap();
    assert_eq!(target.path, Path::new("/run/x.sock"));
    for (said, expected) in [
        (&[][..], "DIR/upgrade.sock was asked and said nothing for 0ns"),
        (&GOOD[..1], "not done within 0 s: the last step was `spawned`\n  PID 123 serves, and goes on"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("upgrade.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let said = said.iter().map(|line| format!("{line}\n")).collect::<String>();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(said.as_bytes()).unwrap();
            stream
        });
        let target = Target::new(None, Some(&path)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let trouble = runtime.block_on(async {
            let mut talk = Talk::begin(&target, Duration::from_millis(200)).await?;
            talk.follow(&mut Story::default(), false, &mut |_| {}).await
        });
        let text = trouble.unwrap_err().to_string().replace(&dir.path().display().to_string(), "DIR");
        assert!(text.starts_with(expected), "{text}");
        drop(peer.join());
    }
}

#[test]
fn nobody_to_ask() {
    let dir = tempfile::tempdir().unwrap();
    let (_, end) = told(dir.path(), false);
    assert_eq!(
        end,
        "there is no socket DIR/upgrade.sock (from --socket)\n  \
         hint: is tidegate running? It makes the socket when it serves"
    );
    drop(UnixListener::bind(dir.path().join("upgrade.sock")).unwrap());
    let (_, end) = told(dir.path(), false);
    assert!(
        end.starts_with("nobody listens on DIR/upgrade.sock (from --socket): who made it is gone"),
        "{end}"
    );
    let target = Target::new(None, None).unwrap();
    let denied = target.unreachable(&io::ErrorKind::PermissionDenied.into()).to_string();
    assert_eq!(
        denied,
        "permission denied: /run/tidegate/upgrade.sock (the default; -c FILE or --socket PATH says another)\n  \
         hint: run it as root, or as the user that the service runs as: sudo tidegate upgrade"
    );
}

#[test]
fn the_socket_is_in_the_config_and_a_bad_config_asks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.yaml");
    let rest = "listeners: [ { name: a, address: '127.0.0.1:1' } ]\nroutes: [ { name: r, respond: { status: 200 } } ]\n";
    std::fs::write(&file, format!("server: {{ upgrade_socket: /run/other.sock }}\n{rest}")).unwrap();
    assert_eq!(Target::new(Some(&file), None).unwrap().path, Path::new("/run/other.sock"));
    std::fs::write(&file, format!("servr: {{}}\n{rest}")).unwrap();
    let text = Target::new(Some(&file), None).unwrap_err().to_string();
    assert!(text.starts_with("the config has problems, so a new process would not start: "), "{text}");
    assert!(text.contains("servr") && text.contains("nothing was asked"), "{text}");
}

#[test]
fn for_programs() {
    let dir = tempfile::tempdir().unwrap();
    let peer = scripted(dir.path(), GOOD);
    let args = Args {
        config: None,
        socket: Some(dir.path().join("upgrade.sock")),
        wait: false,
        timeout: Span::secs(5),
        format: Format::Json,
    };
    let (story, trouble) = ask(&args);
    let json = story.json(trouble.as_ref());
    peer.join().unwrap();
    assert_eq!(json["ok"], true);
    assert_eq!(json["old"], serde_json::json!({ "pid": 123, "version": "0.1.0" }));
    assert_eq!(json["new"], serde_json::json!({ "pid": 456, "version": "0.2.0" }));
    assert_eq!((&json["connections"], json["steps"].as_array().unwrap().len()), (&3.into(), 6));
    let (story, trouble) = ask(&args);
    let json = story.json(trouble.as_ref());
    assert_eq!(json["ok"], false);
    assert!(json["why"].as_str().unwrap().starts_with("nobody listens on"), "{json}");
}
