use std::collections::BTreeSet;

use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;

use super::*;

type Answer = Result<Reply, Failure>;

/// Answers from a table; what is not in it has no records.
#[derive(Default)]
struct Table(HashMap<(Name, RecordType), Answer>);

impl Table {
    fn set(&mut self, text: &str, kind: RecordType, answer: Answer) -> &mut Self {
        self.0.insert((name(text), kind), answer);
        self
    }

    async fn round(&self, question: &Question, memory: &mut Memory) -> Result<Round, Failure> {
        round(self, question, memory).await
    }
}

impl Ask for Table {
    async fn ask(&self, name: &Name, kind: RecordType) -> Answer {
        self.0.get(&(name.clone(), kind)).cloned().unwrap_or_else(|| Ok(Reply::default()))
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn found(ttl: u64, addresses: &[&str]) -> Answer {
    let records = addresses.iter().map(|ip| RData::from(ip.parse::<IpAddr>().unwrap())).collect();
    Ok(Reply { records, ttl: Duration::from_secs(ttl), ..Reply::default() })
}

fn services(targets: &[(u16, &str)], extra: &[(&str, &str)]) -> Answer {
    let record = |(port, host): &(u16, &str)| RData::SRV(SRV::new(1, 2, *port, name(host)));
    let extra = extra.iter().map(|(host, ip)| (name(host), ip.parse().unwrap())).collect();
    let records = targets.iter().map(record).collect();
    Ok(Reply { records, ttl: Duration::from_secs(60), extra, ..Reply::default() })
}

fn servfail() -> Answer {
    Err(Failure::new("servfail", "test"))
}

fn addresses_of(question: &str) -> Question {
    Question::Addresses { name: name(question), port: 80 }
}

fn seen(round: &Round) -> BTreeSet<String> {
    round.members.iter().map(|m| m.address.to_string()).collect()
}

fn set<const N: usize>(addresses: [&str; N]) -> BTreeSet<String> {
    addresses.into_iter().map(String::from).collect()
}

#[tokio::test]
async fn both_families_are_one_set_and_the_ttl_is_of_what_was_found() {
    let mut table = Table::default();
    table.set("web.", RecordType::A, found(60, &["10.0.0.2", "10.0.0.1"]));
    let q = addresses_of("web.");
    let memory = &mut Memory::default();
    let round = table.round(&q, memory).await.unwrap();
    assert_eq!(seen(&round), set(["10.0.0.1:80", "10.0.0.2:80"]));
    assert_eq!(round.ttl, Duration::from_secs(60), "the empty AAAA answer, of TTL 0, does not hurry it");
    table.set("web.", RecordType::AAAA, found(30, &["::1"]));
    let round = table.round(&q, memory).await.unwrap();
    assert_eq!(seen(&round), set(["10.0.0.1:80", "10.0.0.2:80", "[::1]:80"]));
    assert_eq!((round.ttl, round.gap), (Duration::from_secs(30), None));
}

#[tokio::test]
async fn a_family_that_fails_keeps_the_addresses_it_had() {
    let mut table = Table::default();
    table.set("web.", RecordType::A, found(60, &["10.0.0.1"])).set(
        "web.",
        RecordType::AAAA,
        found(60, &["::1"]),
    );
    let q = addresses_of("web.");
    let memory = &mut Memory::default();
    table.round(&q, memory).await.unwrap();
    table.set("web.", RecordType::AAAA, servfail()).set("web.", RecordType::A, found(60, &["10.0.0.9"]));
    let round = table.round(&q, memory).await.unwrap();
    assert_eq!(seen(&round), set(["10.0.0.9:80", "[::1]:80"]));
    assert!(round.gap.unwrap().counts);
}

#[tokio::test]
async fn a_family_that_always_fails_is_passed_over_but_never_makes_an_empty_set() {
    let mut table = Table::default();
    table.set("web.", RecordType::AAAA, servfail());
    let q = addresses_of("web.");
    let memory = &mut Memory::default();
    assert_eq!(table.round(&q, memory).await.unwrap_err().kind, "servfail");
    table.set("web.", RecordType::A, found(60, &["10.0.0.1"]));
    let round = table.round(&q, memory).await.unwrap();
    assert_eq!(seen(&round), set(["10.0.0.1:80"]));
    assert!(!round.gap.unwrap().counts);
}

#[tokio::test]
async fn no_records_in_either_family_are_an_empty_set() {
    let round = Table::default().round(&addresses_of("web."), &mut Memory::default()).await.unwrap();
    assert!(round.members.is_empty() && round.gap.is_none());
}

#[tokio::test]
async fn srv_takes_addresses_that_came_along_and_asks_for_the_others() {
    let mut table = Table::default();
    let targets = [(9001, "a.node."), (9002, "a.node."), (9003, "b.node.")];
    table
        .set("_web.", RecordType::SRV, services(&targets, &[("a.node.", "10.0.0.1"), ("evil.", "6.6.6.6")]))
        .set("a.node.", RecordType::A, servfail())
        .set("b.node.", RecordType::A, found(7, &["10.0.0.2"]));
    let q = Question::Srv { name: name("_web.") };
    let round = table.round(&q, &mut Memory::default()).await.unwrap();
    assert_eq!(seen(&round), set(["10.0.0.1:9001", "10.0.0.1:9002", "10.0.0.2:9003"]));
    assert_eq!((round.ttl, &round.gap), (Duration::from_secs(7), &None));
    assert!(round.members.iter().all(|m| m.weight == 2 && m.labels.node.ends_with(".node")));
}

#[tokio::test]
async fn an_srv_target_that_fails_keeps_its_addresses_and_a_new_one_is_missed() {
    let mut table = Table::default();
    let q = Question::Srv { name: name("_web.") };
    table
        .set("_web.", RecordType::SRV, services(&[(1, "a."), (1, "b.")], &[]))
        .set("a.", RecordType::A, found(60, &["10.0.0.1"]))
        .set("b.", RecordType::A, found(60, &["10.0.0.2"]));
    let memory = &mut Memory::default();
    table.round(&q, memory).await.unwrap();
    table
        .set("_web.", RecordType::SRV, services(&[(1, "a."), (1, "b."), (1, "c.")], &[]))
        .set("b.", RecordType::A, servfail())
        .set("c.", RecordType::A, servfail());
    let round = table.round(&q, memory).await.unwrap();
    assert_eq!(seen(&round), set(["10.0.0.1:1", "10.0.0.2:1"]));
    assert!(round.gap.unwrap().counts);
    table.set("_web.", RecordType::SRV, services(&[(1, "c.")], &[]));
    assert!(table.round(&q, memory).await.is_err(), "nothing found and something failed");
    assert!(memory.0.keys().all(|(host, _)| *host == name("c.")), "names that are gone are forgotten");
}

#[tokio::test]
async fn a_chain_of_names_is_followed_over_several_answers_but_not_for_ever() {
    let mut table = Table::default();
    let hop = |to, ttl| Ok(Reply { next: Some(name(to)), ttl: Duration::from_secs(ttl), ..Reply::default() });
    table.set("web.", RecordType::A, hop("x.", 60)).set("x.", RecordType::A, hop("y.", 5)).set(
        "y.",
        RecordType::A,
        found(60, &["10.0.0.1"]),
    );
    let round = table.round(&addresses_of("web."), &mut Memory::default()).await.unwrap();
    assert_eq!((seen(&round), round.ttl), (set(["10.0.0.1:80"]), Duration::from_secs(5)));
    table.set("y.", RecordType::A, hop("web.", 60));
    let looped = table.round(&addresses_of("web."), &mut Memory::default()).await;
    assert_eq!(looped.unwrap_err().kind, "malformed");
}
