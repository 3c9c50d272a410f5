use super::*;
use crate::config::boot::Listener;

fn with(addresses: &[&str], admin: &str) -> Vec<Problem> {
    let mut boot = crate::config::Boot {
        server: crate::config::boot::Server::default(),
        admin: crate::config::boot::Admin { address: admin.parse().unwrap(), token_file: Some("t".into()) },
        limits: crate::config::boot::Limits::default(),
        listeners: Vec::new(),
    };
    for (index, address) in addresses.iter().enumerate() {
        let name = format!("l{index}").parse().unwrap();
        boot.listeners.push(Listener {
            name,
            address: address.parse().unwrap(),
            limits: crate::config::boot::Limits::default(),
            tls: None,
            proxy_protocol: None,
            tcp: None,
            allow_trace: false,
        });
    }
    let mut problems = Vec::new();
    boot::check(&boot, &mut problems);
    problems
}

#[test]
fn addresses_clash_as_the_kernel_has_it() {
    for (addresses, admin, clashes) in [
        (["127.0.0.1:80", "127.0.0.1:81"], "127.0.0.1:9901", 0),
        (["127.0.0.1:80", "127.0.0.1:80"], "127.0.0.1:9901", 1),
        (["127.0.0.1:80", "127.0.0.2:80"], "127.0.0.1:9901", 0),
        (["127.0.0.1:80", "0.0.0.0:80"], "127.0.0.1:9901", 1),
        (["0.0.0.0:80", "[::1]:80"], "127.0.0.1:9901", 0),
        (["[::]:80", "[::1]:80"], "127.0.0.1:9901", 1),
        (["127.0.0.1:0", "127.0.0.1:0"], "127.0.0.1:0", 0),
        (["0.0.0.0:9901", "127.0.0.1:81"], "127.0.0.1:9901", 1),
    ] {
        assert_eq!(with(&addresses, admin).len(), clashes, "{addresses:?} {admin}");
    }
}

#[test]
fn ranges_include_their_ends() {
    let told = |span: Span| {
        let mut problems = Vec::new();
        within("x", span, Span::secs(1), Span::secs(600), &mut problems);
        problems.len()
    };
    let spans = [Span::millis(999), Span::secs(1), Span::secs(600), Span::millis(600_001), ZERO];
    assert_eq!(spans.map(told), [1, 0, 0, 1, 1]);
}
