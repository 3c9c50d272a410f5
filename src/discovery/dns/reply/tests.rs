use hickory_resolver::proto::op::{MessageType, OpCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn message(code: ResponseCode, answers: Vec<Record>) -> Message {
    let mut message = Message::new(1, MessageType::Response, OpCode::Query);
    message.metadata.response_code = code;
    message.add_answers(answers);
    message
}

fn a(owner: &str, ttl: u32, last: u8) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A::new(10, 0, 0, last)))
}

fn cname(owner: &str, ttl: u32, to: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(to))))
}

fn soa(ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("ns."), name("admin."), 1, 2, 3, 4, minimum);
    Record::from_rdata(name("example."), ttl, RData::SOA(soa))
}

fn read(message: &Message) -> Result<Reply, Failure> {
    Reply::read(message, &name("web.example."), RecordType::A)
}

#[test]
fn the_smallest_ttl_counts_that_of_the_chain_included() {
    let reply = read(&message(
        ResponseCode::NoError,
        vec![
            cname("web.example.", 5, "x.example."),
            cname("x.example.", 9, "y.example."),
            a("y.example.", 60, 1),
            a("y.example.", 30, 2),
            a("other.example.", 1, 3),
        ],
    ))
    .unwrap();
    assert_eq!(reply.addresses().len(), 2, "a record of another name is none of this answer");
    assert_eq!((reply.ttl, reply.next), (Duration::from_secs(5), None));
}

#[test]
fn names_are_the_same_whatever_their_case() {
    let reply = read(&message(ResponseCode::NoError, vec![a("WEB.Example.", 60, 1)])).unwrap();
    assert_eq!(reply.addresses().len(), 1);
}

#[test]
fn a_chain_that_leaves_the_message_says_where_to_ask_on() {
    let mut open = message(ResponseCode::NoError, vec![cname("web.example.", 5, "x.example.")]);
    assert_eq!(read(&open).unwrap().next, Some(name("x.example.")));
    open.add_authority(soa(60, 10));
    let closed = read(&open).unwrap();
    assert_eq!(
        (closed.next, closed.ttl),
        (None, Duration::from_secs(5)),
        "an SOA says: no such record there"
    );
    let gone = message(ResponseCode::NXDomain, vec![cname("web.example.", 5, "x.example.")]);
    assert_eq!(read(&gone).unwrap().next, None);
}

#[test]
fn a_chain_without_an_end_is_a_failure() {
    let looped = vec![cname("web.example.", 5, "x.example."), cname("x.example.", 5, "web.example.")];
    assert_eq!(read(&message(ResponseCode::NoError, looped)).unwrap_err().kind, "malformed");
}

#[test]
fn nxdomain_and_no_data_are_empty_answers_with_the_ttl_of_the_soa() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        let mut empty = message(code, vec![]);
        assert_eq!(read(&empty).unwrap().ttl, Duration::ZERO);
        empty.add_authority(soa(60, 10));
        let reply = read(&empty).unwrap();
        assert!(reply.records.is_empty());
        assert_eq!(reply.ttl, Duration::from_secs(10));
    }
}

#[test]
fn other_codes_are_failures_even_with_records_beside_them() {
    for (code, kind) in [
        (ResponseCode::ServFail, "servfail"),
        (ResponseCode::Refused, "refused"),
        (ResponseCode::FormErr, "rcode"),
        (ResponseCode::NotImp, "rcode"),
    ] {
        assert_eq!(read(&message(code, vec![a("web.example.", 60, 1)])).unwrap_err().kind, kind);
    }
}

#[test]
fn a_ttl_with_its_top_bit_set_is_zero() {
    let reply = read(&message(ResponseCode::NoError, vec![a("web.example.", u32::MAX, 1)])).unwrap();
    assert_eq!(reply.ttl, Duration::ZERO);
}
