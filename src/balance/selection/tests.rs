use std::collections::HashSet;

use pingora_load_balancing::discovery;
use pingora_load_balancing::{Backends, LoadBalancer};

use super::*;
use crate::balance::Balancer;
use crate::balance::testing::{address, endpoints};
use crate::config::live::Policy;

fn order<D: Draw>(selection: &Arc<Selection<D>>, key: &[u8]) -> Vec<SocketAddr> {
    let mut iter = selection.iter(key);
    let mut seen = Vec::new();
    while let Some(backend) = iter.next() {
        seen.push(*backend.addr.as_inet().unwrap());
    }
    seen
}

fn offers_each_usable_once<D: Draw>() {
    let endpoints = endpoints(&[5, 3, 1, 0, 2]);
    let selection = Arc::new(Selection::<D>::build_with_config(&backends(&*endpoints), &7));
    let all: HashSet<_> = [0, 1, 2, 4].map(address).into();
    for key in 0..50u8 {
        let seen = order(&selection, &[key]);
        assert_eq!(seen.len(), 4);
        assert_eq!(seen.into_iter().collect::<HashSet<_>>(), all);
    }
    endpoints[1].state.drain(true);
    assert!(!order(&selection, b"k").contains(&address(1)), "the state is shared with the endpoint");
    let nobody = Arc::new(Selection::<D>::build(&BTreeSet::new()));
    assert!(nobody.iter(b"").next().is_none());
}

#[test]
fn every_policy_offers_each_usable_backend_once() {
    offers_each_usable_once::<RoundRobin>();
    offers_each_usable_once::<Random>();
    offers_each_usable_once::<LeastRequest>();
    offers_each_usable_once::<RingHash>();
    offers_each_usable_once::<Maglev>();
}

#[test]
fn a_selection_decides_as_the_balancer_does() {
    let endpoints = endpoints(&[1, 2, 3, 4, 5]);
    let selection = Arc::new(MaglevSelection::build(&backends(&*endpoints)));
    let balancer = Balancer::new(Policy::Maglev, endpoints.clone());
    let mut rng = fastrand::Rng::with_seed(1);
    for key in 0..1000u32 {
        let key = key.to_le_bytes();
        let choice = balancer.pick(Some(xxh3_64(&key)), &[], &mut rng).unwrap();
        assert_eq!(order(&selection, &key)[0], endpoints[choice.index].member.address);
    }
}

#[test]
fn seeds_part_the_starts_of_round_robin() {
    let set = backends(&*endpoints(&[1; 50]));
    let first = |seed: u64| order(&Arc::new(RoundRobinSelection::build_with_config(&set, &seed)), b"")[0];
    assert_eq!(first(1), first(1));
    assert!((2..20).any(|seed| first(seed) != first(1)));
}

#[test]
fn backends_carry_endpoints_both_ways() {
    let endpoints = endpoints(&[5]);
    let mut backend = Backend::from(&endpoints[0]);
    backend.weight = 9;
    let back = endpoint(&backend).unwrap();
    assert!(Arc::ptr_eq(&back.state, &endpoints[0].state));
    assert_eq!(back.member.weight, 9, "the set's weight is the newer one");
    let foreign = endpoint(&Backend::new("10.0.0.9:80").unwrap()).unwrap();
    assert!(foreign.available());
}

#[tokio::test]
async fn it_serves_pingoras_load_balancer() {
    let endpoints = endpoints(&[1, 1]);
    let source = discovery::Static::new(backends(&*endpoints));
    let balancer = LoadBalancer::<LeastRequestSelection>::from_backends(Backends::new(source));
    balancer.update().await.unwrap();
    let _lease = endpoints[0].state.lease();
    for _ in 0..20 {
        let backend = balancer.select(b"", 8).unwrap();
        assert_eq!(*backend.addr.as_inet().unwrap(), address(1));
    }
}
