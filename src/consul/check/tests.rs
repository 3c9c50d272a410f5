use std::path::PathBuf;

use pingora::tls::pkey::PKey;

use super::*;
use crate::config::live::{Cluster, ConsulService};
use crate::config::value::Secret;

fn live(service: &str, consul: live::Consul) -> Live {
    let spec = ConsulService {
        service: service.into(),
        tags: Vec::new(),
        meta: std::collections::BTreeMap::new(),
        datacenter: None,
        address: "service".into(),
    };
    let mut live = Live { consul, ..Live::default() };
    live.clusters.insert("web".parse().unwrap(), Cluster { consul: Some(spec), ..Cluster::default() });
    live
}

/// The paths of what is wrong.
fn paths(live: &Live, vars: &[(&str, &str)]) -> Vec<String> {
    let env = |name: &str| vars.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
    let problems = problems(live, &env);
    assert!(problems.iter().all(|p| p.hint.is_some()), "{problems:#?}");
    problems.into_iter().map(|p| p.path).collect()
}

fn at(address: &str) -> live::Consul {
    live::Consul { address: Some(address.into()), ..live::Consul::default() }
}

fn of(consul: live::Consul) -> Vec<String> {
    paths(&live("web", consul), &[])
}

#[test]
fn nothing_is_wrong_with_the_defaults_or_where_nobody_asks() {
    assert!(of(live::Consul::default()).is_empty());
    assert!(of(at("unix:///not/there/yet")).is_empty());
    let mut unused = live("web", at("127.0.0.1:99999"));
    unused.clusters.clear();
    assert!(paths(&unused, &[]).is_empty());
}

#[test]
fn an_address_that_is_none_is_said_and_a_password_in_it_is_not() {
    for address in ["127.0.0.1:99999", "http://u:hush@host:8500", "ftp://x", "ftp://u:hush@x"] {
        assert_eq!(of(at(address)), ["consul.address"], "{address}");
        let told = problems(&live("web", at(address)), &|_| None);
        assert!(!told[0].to_string().contains("hush"), "{}", told[0]);
    }
    assert_eq!(
        paths(&live("web", live::Consul::default()), &[("CONSUL_HTTP_ADDR", "h:x")]),
        ["consul.address"]
    );
    assert_eq!(paths(&live("web", live::Consul::default()), &[("CONSUL_HTTP_SSL", "maybe")]), ["consul"]);
}

#[test]
fn a_service_that_cannot_be_asked_for_is_said() {
    assert_eq!(paths(&live("..", live::Consul::default()), &[]), ["clusters.web.consul.service"]);
}

#[test]
fn a_token_that_is_not_there_is_said() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let with = |path: PathBuf| of(live::Consul { token_file: Some(path), ..live::Consul::default() });
    assert_eq!(with("/no/such/file".into()), ["consul.token_file"]);
    assert_eq!(with(file.path().into()), ["consul.token_file"], "it is empty");
    std::fs::write(file.path(), "secret\n").unwrap();
    assert!(with(file.path().into()).is_empty());
    let token = Some(Secret::new(" "));
    assert_eq!(of(live::Consul { token, ..live::Consul::default() }), ["consul.token"]);
}

/// A key as PEM.
fn key() -> Vec<u8> {
    PKey::generate_ed25519().unwrap().private_key_to_pem_pkcs8().unwrap()
}

#[test]
fn every_tls_file_that_cannot_be_used_is_said_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        std::fs::write(dir.path().join(name), text).unwrap();
        Some(dir.path().join(name))
    };
    let none = Some(PathBuf::from("/no/such/file"));
    let missing = live::Consul { ca: none.clone(), cert: none.clone(), key: none, ..at("https://h:1") };
    assert_eq!(of(missing.clone()), ["consul.ca", "consul.cert", "consul.key"]);
    let garbage = live::Consul {
        ca: file("ca", b"no pem"),
        cert: file("cert", b"no pem"),
        key: file("key", b"no pem"),
        ..at("https://h:1")
    };
    assert_eq!(of(garbage), ["consul.ca", "consul.cert", "consul.key"]);
    let one =
        live::Consul { ca: None, cert: file("cert", &key()), key: file("key", &key()), ..missing.clone() };
    assert_eq!(of(one), ["consul.cert"], "a key is no certificate");
    // In clear they are not read; that they have no effect is `config::validate`'s to say.
    assert!(of(live::Consul { address: Some("http://h:1".into()), ..missing }).is_empty());
    let named = live::Consul { server_name: Some("127.0.0.1".into()), ..at("https://h:1") };
    assert_eq!(of(named), ["consul.server_name"]);
}
