use std::io::{BufRead, BufReader, Write};

use tempfile::TempDir;

use super::*;
use crate::upgrade::progress::Step;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn only_the_owner_may_connect_and_the_folder_is_made() {
    let folder = folder();
    let path = folder.path().join("run/upgrade.sock");
    let front = Front::bind(&path, false).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside");
    front.place().leave();
    assert!(!path.exists());
}

#[test]
fn a_stale_file_is_replaced_and_a_living_process_is_not() {
    let folder = folder();
    let path = folder.path().join("upgrade.sock");
    drop(Front::bind(&path, false).unwrap());
    assert!(path.exists(), "a killed process leaves it");
    let living = Front::bind(&path, false).unwrap();
    let error = Front::bind(&path, false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    // A process that took over from it may; and then the old one leaves it alone.
    let heir = Front::bind(&path, true).unwrap();
    living.place().leave();
    assert!(StdStream::connect(&path).is_ok());
    heir.place().leave();
    assert!(!path.exists());
}

/// It is looked at twice; the first time it is still there.
#[test]
fn what_another_process_puts_there_at_the_last_moment_stays() {
    let folder = folder();
    let path = folder.path().join("pid");
    fs::write(&path, "other").unwrap();
    let looks = std::cell::Cell::new(0);
    remove_own(&path, |_| looks.replace(looks.get() + 1) == 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), "other");
    remove_own(&path, |_| true);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_had_is_an_error() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(Front::bind(&folder.path().join("file/upgrade.sock"), false).is_err());
    let long = folder.path().join("x".repeat(200)).join("upgrade.sock");
    assert!(Front::bind(&long, false).is_err());
}

struct Scene {
    folder: TempDir,
    asks: mpsc::Receiver<Ask>,
    progress: Progress,
}

async fn scene() -> Scene {
    let folder = folder();
    let front = Front::bind(&folder.path().join("sock"), false).unwrap();
    let (send, asks) = mpsc::channel(4);
    let progress = Progress::new();
    tokio::spawn(front.serve(send, progress.clone()));
    Scene { folder, asks, progress }
}

impl Scene {
    /// Says a line, from a thread, and hears all that is answered.
    fn say(&self, line: &'static str) -> tokio::task::JoinHandle<Vec<String>> {
        let path = self.folder.path().join("sock");
        tokio::task::spawn_blocking(move || {
            let stream = StdStream::connect(path).unwrap();
            writeln!(&stream, "{line}").unwrap();
            BufReader::new(stream).lines().map_while(Result::ok).collect()
        })
    }
}

#[tokio::test]
async fn who_asks_hears_all_until_the_end() {
    let mut scene = scene().await;
    let heard = scene.say(r#"{"upgrade":{"now":true}}"#);
    let Some(Ask::Spawn { reply, .. }) = scene.asks.recv().await else { panic!() };
    scene.progress.tell(Report::new(Step::Spawned));
    reply.send(Ok(())).unwrap();
    for step in [Step::Hello, Step::Settled, Step::Draining, Step::Drained] {
        scene.progress.tell(Report::new(step));
    }
    let steps: Vec<Report> =
        heard.await.unwrap().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<Step> = steps.into_iter().map(|report| report.step).collect();
    assert_eq!(steps, [Step::Spawned, Step::Hello, Step::Settled, Step::Draining, Step::Drained]);
}

#[tokio::test]
async fn who_is_refused_hears_why() {
    let mut scene = scene().await;
    let heard = scene.say(r#"{"upgrade":{}}"#);
    let Some(Ask::Spawn { reply, .. }) = scene.asks.recv().await else { panic!() };
    reply.send(Err("an upgrade is under way".into())).unwrap();
    let lines = heard.await.unwrap();
    assert!(lines[0].contains(r#""step":"failed""#) && lines[0].contains("an upgrade is under way"));
    assert_eq!(lines.len(), 1);
}

#[tokio::test]
async fn an_heir_is_known_by_what_the_kernel_says() {
    let mut scene = scene().await;
    let _heard = scene.say(r#"{"hello":{"protocol":1,"version":"0.1.0","pid":1}}"#);
    let Some(Ask::Heir { process, hello, .. }) = scene.asks.recv().await else { panic!() };
    assert_eq!((process.pid(), hello.pid), (std::process::id(), 1));
    assert!(!process.ours());
}

#[tokio::test]
async fn other_words_ask_for_nothing() {
    let mut scene = scene().await;
    assert_eq!(
        scene.say(r#"{"serving":{}}"#).await.unwrap(),
        [r#"{"refused":{"why":"`serving` is no first word"}}"#]
    );
    assert!(scene.say("GET / HTTP/1.1").await.unwrap().is_empty());
    assert!(scene.asks.try_recv().is_err());
}
