//! A hand-over, as Consul sees it: two registrations of one config, told what a hand-over tells them.

use std::path::Path;
use std::sync::Arc;

use tidegate::config::{Live, load};
use tidegate::register::{LEAVE, Register};
use tokio::sync::watch;

use super::*;

/// A process's registration, with what keeps it running.
struct Process {
    register: Register,
    _live: watch::Sender<Arc<Live>>,
    _stop: watch::Sender<bool>,
}

fn process(text: &str) -> Process {
    let text = format!("listeners: [ {{ name: web, address: '0.0.0.0:8080' }} ]\n{text}");
    let (config, _) = load::text_of(&text, Path::new("t.yaml")).unwrap();
    let (register, task) = Register::new(config.boot);
    let (live, lives) = watch::channel(Arc::new(config.live));
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(task.run(lives, stopped));
    Process { register, _live: live, _stop: stop }
}

fn passing(id: &str) -> impl Fn(&[(String, String)]) -> bool {
    let wanted = [(id.to_owned(), "passing".to_owned())];
    move |now| now == wanted
}

#[tokio::test]
async fn an_upgrade_is_no_event_in_consul() {
    let Some(agent) = Agent::start().await else { return };
    let text = live(&agent.address(), ", id: edge-1, ttl: 6s");
    let watcher = Watcher::start(&agent, "edge");
    let mut elder = process(&text);
    elder.register.start(Vec::new());
    watcher.until(SOON, passing("edge-1")).await;
    let wakes = watcher.count();
    for _ in 0..3 {
        let heir = process(&text);
        let left = elder.register.registered();
        assert_eq!(left.len(), 1);
        elder.register.keep();
        heir.register.start(left);
        // What the elder's end may still say, a stop in common code for one, is not said any more.
        elder.register.drain();
        elder.register.leave(LEAVE).await;
        elder = heir;
        // Longer than a third of the TTL: the heir speaks.
        tokio::time::sleep(Duration::from_millis(2_200)).await;
    }
    // Longer than the TTL after the first elder's last word.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(watcher.count(), wakes, "{watcher:?}");
    assert_eq!(elder.register.status().unwrap().registrations, 0, "the heirs found it right");

    // One that was never told to start takes nothing away.
    let late = process(&text);
    late.register.leave(LEAVE).await;
    assert_eq!(watcher.count(), wakes, "{watcher:?}");

    let start = Instant::now();
    elder.register.leave(LEAVE).await;
    watcher.until(SOON, <[_]>::is_empty).await;
    assert!(start.elapsed() < Duration::from_secs(1));
    assert!(elder.register.registered().is_empty());
}

#[tokio::test]
async fn an_heir_with_another_name_takes_the_old_one_out_when_it_is_in() {
    let Some(agent) = Agent::start().await else { return };
    let (old, new) = (Watcher::start(&agent, "edge"), Watcher::start(&agent, "door"));
    let elder = process(&live(&agent.address(), ", id: edge-1"));
    elder.register.start(Vec::new());
    old.until(SOON, passing("edge-1")).await;
    let text = live(&agent.address(), ", id: door-1").replace("name: edge", "name: door");
    let heir = process(&text);
    elder.register.keep();
    heir.register.start(elder.register.registered());
    new.until(SOON, passing("door-1")).await;
    old.until(SOON, <[_]>::is_empty).await;
    assert!(old.all().iter().flatten().all(|(_, status)| status == "passing"), "{old:?}");
}
