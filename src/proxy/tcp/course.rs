//! Where a connection goes: a cluster, or a variant and its cluster.

use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::Record;
use crate::client_hello::{Reader, Step, Unreadable};
use crate::proxy::link::Link;
use crate::snapshot::tcp::{Names, Share, Shares, Target, Tcp};
use crate::split::Excluded;

/// How much of a ClientHello is read at a time. Most come in one piece.
const PIECE: usize = 2 * 1024;

/// Where to.
pub(super) struct Course<'a> {
    /// The cluster that the config names.
    pub(super) home: usize,
    pub(super) split: Option<(&'a Shares, Share)>,
}

/// Why a connection goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Astray {
    /// Closed without a byte.
    Nothing,
    UnknownName,
    NoName,
    Unreadable(Unreadable),
    Late,
    /// Closed amid the ClientHello.
    Closed,
}

/// Finds the course. The second value: what has been read of the connection for it.
pub(super) async fn find<'a>(
    tcp: &'a Tcp,
    client: &mut Stream,
    link: &Link,
    limit: Duration,
    record: &mut Record,
    rng: &mut fastrand::Rng,
) -> Result<(Course<'a>, Vec<u8>), Astray> {
    match &tcp.target {
        Target::Cluster(home) => Ok((Course { home: *home, split: None }, Vec::new())),
        Target::Split(shares) => {
            // Some weight is above 0, or the config would have been refused.
            let share = shares.assign(link.ip(), Excluded::default(), rng).ok_or(Astray::Nothing)?;
            Ok((Course { home: share.cluster, split: Some((shares, share)) }, Vec::new()))
        }
        Target::Sni(names) => {
            let mut read = Vec::new();
            let hello = timeout(limit, hello(client, &mut read)).await.unwrap_or(Err(Astray::Late));
            // Told in the log also where it leads nowhere.
            record.name = hello?;
            let home = by_name(names, record.name.as_deref())?;
            Ok((Course { home, split: None }, read))
        }
    }
}

fn by_name(names: &Names, name: Option<&str>) -> Result<usize, Astray> {
    let found = name.and_then(|name| names.find(name)).or(names.other);
    found.ok_or_else(|| if name.is_some() { Astray::UnknownName } else { Astray::NoName })
}

/// Reads the ClientHello; everything that was read is in `read`.
async fn hello(client: &mut Stream, read: &mut Vec<u8>) -> Result<Option<Box<str>>, Astray> {
    let mut reader = Reader::default();
    loop {
        let had = read.len();
        read.reserve(PIECE);
        let length = client.read_buf(read).await.unwrap_or(0);
        if length == 0 {
            return Err(if had == 0 { Astray::Nothing } else { Astray::Closed });
        }
        match reader.feed(&read[had..]).map_err(Astray::Unreadable)? {
            Step::More => {}
            Step::Name(name) => return Ok(name),
        }
    }
}
