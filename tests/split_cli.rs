//! `tidegate split`, the built binary, against an admin API that speaks the contract.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_types, clippy::cast_precision_loss, reason = "a test server")]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

#[path = "split_cli/fake.rs"]
mod fake;
mod support;

use std::process::Stdio;
use std::time::Duration;

use fake::{Fake, Twist};
use support::eventually;
use tokio::process::{Child, Command};

/// What a run of the command left.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

fn start(fake: &Fake, line: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("split").args(line.split_whitespace()).env("TIDEGATE_ADMIN", format!("http://{}", fake.addr));
    command.env("SUDO_USER", "ann").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true).spawn().unwrap()
}

async fn end(child: Child) -> Run {
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output());
    let output = output.await.expect("it ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

async fn run(fake: &Fake, line: &str) -> Run {
    end(start(fake, line)).await
}

#[tokio::test]
async fn list_shows_what_serves() {
    let fake = Fake::start(&[]).await;
    let all = run(&fake, "list").await;
    assert_eq!(all.code, Some(0), "{all:?}");
    for expected in
        ["shop  seed shop, key: header x-user-id", "weights from file, epoch 0", "90.0 %", "2 of 2"]
    {
        assert!(all.out.contains(expected), "{expected}: {}", all.out);
    }
    assert_eq!(run(&fake, "list shop").await.out, all.out);
    let json = run(&fake, "list --json").await.out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["tell_client"], false, "as the API says it");
    let none = run(&fake, "list nowhere").await;
    assert_eq!(none.code, Some(1));
    assert!(
        none.err.contains("404 Not Found: there is no such split\n  hint: `/v1/splits` lists"),
        "{none:?}"
    );
}

#[tokio::test]
async fn set_is_one_change_and_keeps_what_is_not_named() {
    let fake = Fake::start(&[]).await;
    let set = run(&fake, "set shop control=80 candidate=20 --why canary").await;
    assert_eq!(set.code, Some(0), "{set:?}");
    let expected = "\
shop: serves with generation 41, epoch 1
  control    90  ->  80  90.0 %  ->  80.0 %
  candidate  10  ->  20  10.0 %  ->  20.0 %
";
    assert_eq!(set.out, expected);
    let taken = &fake.taken()[0];
    assert_eq!((&taken["why"], taken.get("if_epoch")), (&"canary".into(), None));
    assert!(taken["author"].as_str().unwrap().starts_with("ann@"), "{taken}");
    // The file has 90: what serves is kept, and only if it still does.
    let set = run(&fake, "set shop candidate=80").await;
    assert!(set.out.contains("not named, so the weight that serves is kept: control"), "{set:?}");
    assert!(set.out.contains("candidate  20  ->  80  20.0 %  ->  50.0 %"), "{set:?}");
    assert_eq!((fake.weights(), &fake.taken()[1]["if_epoch"]), (vec![80, 80], &1.into()));
}

#[tokio::test]
async fn what_the_api_refuses_is_shown_and_changes_nothing() {
    let fake = Fake::start(&[]).await;
    let late = run(&fake, "set shop control=1 candidate=1 --if-epoch 3").await;
    assert_eq!(late.code, Some(1));
    assert!(
        late.err.contains("409 Conflict: the split is at epoch 0\n  now: epoch 0, generation 40"),
        "{late:?}"
    );
    let typo = run(&fake, "set shop contrl=1").await;
    assert_eq!(typo.code, Some(1));
    assert!(typo.err.contains("route shop has no variant `contrl`; did you mean `control`?"), "{typo:?}");
    fake.require_token("secret");
    let nobody = run(&fake, "list").await;
    assert!(nobody.err.contains("401 Unauthorized: this needs the admin token\n  hint: send"), "{nobody:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret\n").unwrap();
    assert_eq!(run(&fake, &format!("list --token-file {}", file.path().display())).await.code, Some(0));
    assert_eq!(fake.epoch(), 0);
}

#[tokio::test]
async fn mistakes_in_the_arguments_ask_nothing() {
    let fake = Fake::start(&[]).await;
    for line in ["set shop control", "set shop a=1 a=2", "set shop a=0.5", "shift shop a=1", "reset"] {
        let run = run(&fake, line).await;
        assert_eq!((run.code, fake.asked()), (Some(2), 0), "{line}: {run:?}");
        assert!(run.err.starts_with("error: "), "{run:?}");
    }
}

#[tokio::test]
async fn preview_changes_nothing_and_reset_goes_back() {
    let fake = Fake::start(&[]).await;
    let preview = run(&fake, "preview shop control=60 candidate=40").await;
    assert!(preview.out.contains("shop: 30.0 % would move; nothing was applied"), "{preview:?}");
    assert!(preview.out.contains("control  to  candidate  30.0 %"), "{preview:?}");
    assert_eq!(fake.epoch(), 0);
    run(&fake, "set shop control=0 candidate=1").await;
    let reset = run(&fake, "reset shop --why errors").await;
    assert!(reset.out.contains("control    0  ->  90    0.0 %  ->  90.0 %"), "{reset:?}");
    assert_eq!((fake.weights(), fake.epoch()), (vec![90, 10], 2));
    assert_eq!(fake.taken()[1]["why"], "errors");
}

#[tokio::test]
async fn shift_goes_through_what_lies_between() {
    let fake = Fake::start(&[(3, Twist::Lost), (5, Twist::Unheard)]).await;
    let shift = run(&fake, "shift shop control=50 candidate=50 --over 1s --every 100ms").await;
    assert_eq!(shift.code, Some(0), "{shift:?}");
    let candidate: Vec<_> =
        fake.taken().iter().map(|body| body["weights"]["candidate"].as_u64().unwrap()).collect();
    assert_eq!(candidate, [140, 180, 220, 260, 300, 340, 380, 420, 460, 50], "each once, whatever was lost");
    assert_eq!(fake.taken()[4]["if_epoch"], 4, "each on top of our own last one");
    assert_eq!(fake.taken()[0]["why"], "shift to control=50 candidate=50 over 1s");
    assert!(shift.out.contains("shop: control 50 (50.0 %), candidate 50 (50.0 %)"), "{shift:?}");
    assert!(shift.err.contains("10/10  control 50"), "{shift:?}");
    let again = run(&fake, "shift shop control=50 candidate=50 --over 1s").await;
    assert!(again.out.contains("shop: already at control 50"), "{again:?}");
}

#[tokio::test]
async fn shift_does_not_overwrite_somebody_else() {
    let fake = Fake::start(&[(4, Twist::Overtaken)]).await;
    let shift = run(&fake, "shift shop control=50 candidate=50 --over 1s --every 100ms").await;
    assert_eq!(shift.code, Some(1), "{shift:?}");
    assert!(
        shift
            .err
            .contains("the split of shop is not as the shift left it, so the shift stops: somebody else"),
        "{shift:?}"
    );
    assert!(shift.err.contains("overlay, epoch 4, by bob@there: an incident"), "{shift:?}");
    assert_eq!((fake.weights(), fake.taken().len()), (vec![1, 1], 3));
}

#[tokio::test]
async fn ctrl_c_stops_where_it_is_and_says_how_to_go_on_and_back() {
    let fake = Fake::start(&[]).await;
    let child = start(&fake, "shift shop control=50 candidate=50 --over 1h --every 100ms");
    eventually(Duration::from_secs(20), async || match fake.epoch() {
        0..3 => Err(format!("at epoch {}", fake.epoch())),
        _ => Ok(()),
    })
    .await;
    let process = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &process]).status().unwrap().success());
    let shift = end(child).await;
    assert_eq!(shift.code, Some(130), "{shift:?}");
    let weights = fake.weights();
    for expected in [
        format!("shop serves: control {} (", weights[0]),
        "to go on:    tidegate split shift shop control=50 candidate=50 --over 3".to_owned(),
        "to go back:  tidegate split set shop control=90 candidate=10\n".to_owned(),
    ] {
        assert!(shift.out.contains(&expected), "{expected}: {shift:?}");
    }
}
