//! What a connection costs that does nothing: a fresh proxy, a thousand connections that each had one
//! answer, and how much memory it then has more than after a few.
//!
//! Only anonymous and shared memory counts: the pages of the program that the first requests touch are
//! nobody's connection. What the kernel keeps for a socket is not in it either. The figure is a
//! difference of two counts of pages, so an allocator that had room left looks a little better than it
//! is, and a garbage collector as it pleases; hence the rounds.

use std::thread;
use std::time::Duration;

use crate::Result;
use crate::client::Client;
use crate::scenario::{Ask, path};
use crate::subject::Subject;

/// How many connections are opened and used before the first count.
const WARM: usize = 20;

/// How long memory may settle before it is counted.
const SETTLE: Duration = Duration::from_millis(1500);

/// Kilobytes (1,000 bytes) for each of so many connections.
pub(crate) fn memory_each(subject: &Subject, connections: usize) -> Result<f64> {
    drop(open(subject, WARM)?);
    thread::sleep(SETTLE);
    let before = subject.process.anonymous()?;
    let mut clients = open(subject, connections)?;
    thread::sleep(SETTLE);
    let after = subject.process.anonymous()?;
    // They are idle and not closed: the first and the last still answer.
    for client in [0, connections - 1] {
        let client = clients.get_mut(client).ok_or("no connection")?;
        client.ask("GET", &path(1, Ask::Get), &[], &[])?;
    }
    Ok((after as f64 - before as f64) / connections as f64 / 1e3)
}

/// Opens connections, and asks for something on each.
fn open(subject: &Subject, connections: usize) -> Result<Vec<Client>> {
    let one = |i: usize| {
        let mut client = Client::connect(subject.address)?;
        let answer = client.ask("GET", &path(i % 10, Ask::Get), &[], &[])?;
        if answer.status == 200 { Ok(client) } else { Err(format!("answered {}", answer.status).into()) }
    };
    (0..connections).map(one).collect()
}
