//! The judges are programs of others: what they print, so that a change of theirs shows here and not
//! as a clean run.

use crate::support::load::judges::{of_hey, of_wrk};

#[test]
fn their_words_are_understood() {
    let wrk = "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 8 connections\n  1234 requests in 2.00s, 1.2MB read\n  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx responses: 7\nRequests/sec: 617.00\n";
    let verdict = of_wrk(wrk.to_owned());
    assert_eq!(verdict.requests, 1234);
    let expected = [("socket read", 3), ("socket timeout", 1), ("not 2xx", 7)];
    assert_eq!(verdict.errors, expected.map(|(what, n)| (what.to_owned(), n)));
    let hey = "Summary:\n  Total:\t0.1 secs\n\nResponse time histogram:\n  0.001 [1]\t|\n  0.002 [33]\t|###\n\nStatus code distribution:\n  [200]\t98 responses\n  [503]\t1 responses\n\nError distribution:\n  [2]\tGet \"http://127.0.0.1:1/\": EOF\n";
    let verdict = of_hey(hey.to_owned());
    assert_eq!(verdict.requests, 98);
    let expected = [("status 503", 1), ("Get \"http://127.0.0.1:1/\": EOF", 2)];
    assert_eq!(verdict.errors, expected.map(|(what, n)| (what.to_owned(), n)));
}
