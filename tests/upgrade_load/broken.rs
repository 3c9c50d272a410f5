//! Upgrades that can't succeed: each is told, with its reason, and the old process serves on as if
//! nothing had happened.

use super::stage::{Stage, gone, linger, rounds};
use crate::SOON;
use crate::support::load::{assert_clean, judges};
use crate::support::ports;

/// What is in the new binary's place, and what is said of it.
const BINARIES: &[(&str, &str, &str)] = &[
    ("exits", "#!/bin/sh\nexit 3\n", "status 3"),
    ("no program", "\x7fELF and then nothing\n", ""),
    ("dies at once", "#!/bin/sh\nkill -SEGV $$\n", "signal 11"),
    ("talks to others", "#!/bin/sh\necho hello, world >&0\nsleep 60\n", ""),
    ("closes its channel", "#!/bin/sh\nexec 0</dev/null\nexec sleep 60\n", ""),
    ("another protocol", "#!PYTHON\nhello(99)\nrest()\n", "version 99"),
    ("dies after hello", "#!PYTHON\nhello()\nsys.exit(5)\n", "status 5"),
    ("dies when welcome", "#!PYTHON\nhello()\nhear()\nsys.exit(6)\n", "status 6"),
    ("gives up", "#!PYTHON\nhello()\nhear()\nsay({'failed': {'why': 'no mood'}})\nrest()\n", "no mood"),
    ("dies when ready", "#!PYTHON\nhello()\nhear()\nready()\nsys.exit(7)\n", "status 7"),
    ("dies with the sockets", "#!PYTHON\nhello()\nhear()\nready()\nhear()\nsys.exit(8)\n", "status 8"),
    (
        "serves and dies",
        "#!PYTHON\nhello()\nhear()\nready()\nhear()\nsay({'serving': {}})\ntime.sleep(.3)\nsys.exit(9)\n",
        "status 9",
    ),
];

/// Those that are given up after a time, and so take it.
const SLOW: &[(&str, &str, &str)] = &[
    ("hangs", "#!/bin/sh\nexec sleep 600\n", ""),
    ("hangs when welcome", "#!PYTHON\nhello()\nhear()\nrest()\n", ""),
    ("hangs with the sockets", "#!PYTHON\nhello()\nhear()\nready()\nhear()\nrest()\n", ""),
];

/// What a script in Python begins with. Standard input is the channel.
const PYTHON: &str = "/usr/bin/env python3
import json, os, socket, sys, time
channel = socket.socket(fileno=0)
def say(what): channel.sendall((json.dumps(what) + '\\n').encode())
def hear():
    text = b''
    while not text.endswith(b'\\n'):
        part = channel.recvmsg(65536, 4096)[0]
        if not part: sys.exit(99)
        text += part
def hello(protocol=1): say({'hello': {'protocol': protocol, 'version': '9.9.9', 'pid': os.getpid()}})
def ready(): say({'ready': {'claims': []}})
def rest(): time.sleep(600)
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_binary_or_config_changes_nothing() {
    let stage = Stage::start(&["upgrade_timeout: 5s"]).await;
    let crowd = stage.crowd();
    let main = stage.main();
    let slow = &SLOW[..rounds(2, SLOW.len())];
    let mut failed = 0.0;
    for (what, script, why) in BINARIES.iter().chain(slow) {
        stage.put(&script.replace("PYTHON\n", PYTHON));
        refused(&stage, what, why, main).await;
        failed += 1.0;
    }
    stage.put_back();
    let busy = std::net::TcpListener::bind(ports::free_addr()).unwrap();
    let taken = format!("  - {{ name: more, address: '{}' }}\n", busy.local_addr().unwrap());
    let good = std::fs::read_to_string(stage.tidegate.config_path()).unwrap();
    for (what, text, why) in [
        ("no config", String::new(), ""),
        ("a typo", good.replace("clusters:", "clustres:"), ""),
        ("a cluster that is not there", good.replace("cluster: load", "cluster: laod"), ""),
        ("no YAML", format!("{good}\n  ]["), ""),
        ("an address that is taken", good.replace("clusters:\n", &format!("{taken}clusters:\n")), ""),
        (
            "a certificate that is not there",
            good.replace("tcp: { cluster: bytes }", "tls: { certificates: [ { cert: /no, key: /no } ] }"),
            "",
        ),
    ] {
        assert_ne!(text, good, "{what}");
        stage.tidegate.write_config(&text);
        refused(&stage, what, why, main).await;
        failed += 1.0;
    }
    stage.tidegate.write_config(&good);
    let counted = stage.tidegate.metric("tidegate_upgrades_total", &["result=\"failed\""]).await;
    assert_eq!(counted, failed);
    // And then one that is good.
    let (old, _) = stage.must_upgrade().await;
    assert_eq!(old, main);
    linger(500).await;
    if let Some(wrk) = judges::wrk(stage.http(), 2, std::time::Duration::from_secs(1)) {
        wrk.verdict().await.assert_clean("wrk, after it");
    }
    assert_clean(&format!("{failed} upgrades that failed, and a good one"), &crowd.end().await);
    gone(old, SOON).await;
}

async fn refused(stage: &Stage, what: &str, why: &str, main: u32) {
    let went = stage.upgrade().await;
    eprintln!("{what}: {}", went.why());
    assert!(!went.ok && went.why().contains(why), "{what}: {:#}", went.told);
    assert_eq!((stage.main(), went.told["old"]["pid"].as_u64()), (main, Some(main.into())), "{what}");
    assert_eq!(stage.tidegate.admin_get("/ready").await.unwrap().0, 200, "{what}");
    stage.alone(main, SOON).await;
    // What it started is gone, whatever it was.
    if let Some(heir) = went.told["new"]["pid"].as_u64() {
        gone(u32::try_from(heir).unwrap(), SOON).await;
    }
}
