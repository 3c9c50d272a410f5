//! Listeners that an upgrade brings, takes away, or moves.

use tokio::net::TcpStream;

use super::installed::upgraded;
use super::support::{Backend, Load, Tidegate, TidegateProcess, ports, until};
use super::{SOON, to};

/// Upgrades to this file, under load on `http`.
async fn upgrade(process: &mut TidegateProcess, text: &str) {
    let first = process.pid();
    process.write_config(text);
    let load = Load::new(process.addr("http"));
    let (report, second) = load
        .during(async {
            process.signal("USR2");
            let second = upgraded(process, first).await;
            assert!(process.exited(SOON).await.success());
            second
        })
        .await;
    report.assert_clean();
    assert_ne!(first, second);
}

#[tokio::test]
async fn one_is_added_and_one_is_taken_away() {
    let backend = Backend::start("a").await;
    let mut process = Tidegate::new(&to(backend.addr())).listener("old").start().await;
    let (old, new) = (process.addr("old"), ports::free_addr());
    assert!(TcpStream::connect(old).await.is_ok() && TcpStream::connect(new).await.is_err());
    let text = std::fs::read_to_string(process.config_path()).unwrap();
    upgrade(&mut process, &text.replace(&old.to_string(), &new.to_string())).await;
    assert!(TcpStream::connect(new).await.is_ok());
    until(SOON, "nobody listens at the old address", || std::net::TcpStream::connect(old).is_err()).await;
}

/// The same port, on more addresses and on fewer: the sockets of both processes overlap.
#[tokio::test]
async fn an_address_becomes_wider_and_narrower() {
    let backend = Backend::start("a").await;
    for wider in [true, false] {
        let mut process = Tidegate::new(&to(backend.addr())).start().await;
        let narrow = process.addr("http").to_string();
        let wide = format!("0.0.0.0:{}", process.addr("http").port());
        let text = std::fs::read_to_string(process.config_path()).unwrap();
        if wider {
            upgrade(&mut process, &text.replace(&narrow, &wide)).await;
        } else {
            let first = process.pid();
            process.write_config(&text.replace(&narrow, &wide));
            process.signal("USR2");
            let second = upgraded(&process, first).await;
            assert!(process.exited(SOON).await.success());
            process.write_config(&text);
            let load = Load::new(process.addr("http"));
            let (report, ()) = load
                .during(async {
                    process.signal_to("USR2", second);
                    upgraded(&process, second).await;
                    until(SOON, "it has ended", || !super::installed::runs(second)).await;
                })
                .await;
            report.assert_clean();
        }
        Load::new(process.addr("http")).run_for(std::time::Duration::from_millis(100)).await.assert_clean();
    }
}

/// An address that another process has ends the upgrade and nothing else.
#[tokio::test]
async fn an_address_that_cannot_be_had() {
    let backend = Backend::start("a").await;
    let process = Tidegate::new(&to(backend.addr())).listener("old").start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let old = process.addr("old");
    let text = std::fs::read_to_string(process.config_path()).unwrap();
    process.write_config(&text.replace(&old.to_string(), &taken.local_addr().unwrap().to_string()));
    process.signal("USR2");
    let said = super::installed::failed(&process, 1).await;
    assert!(said.contains("listener `old` cannot listen on"), "{said}");
    assert!(TcpStream::connect(old).await.is_ok());
    assert_eq!(process.serving_pid(), Some(process.pid()));
}

/// What is at the old paths is removed by who made it.
#[tokio::test]
async fn another_upgrade_socket_leaves_nothing_behind() {
    let backend = Backend::start("a").await;
    let mut process = Tidegate::new(&to(backend.addr())).start().await;
    let text = std::fs::read_to_string(process.config_path()).unwrap();
    let (old, new) = (process.dir().join("upgrade.sock"), process.dir().join("other.sock"));
    assert!(old.exists() && text.contains("upgrade.sock"), "{text}");
    process.write_config(&text.replace("upgrade.sock", "other.sock"));
    process.signal("USR2");
    upgraded(&process, process.pid()).await;
    assert!(process.exited(SOON).await.success());
    assert!(!old.exists(), "nobody is behind it");
    until(SOON, "the new one is there", || new.exists()).await;
}
