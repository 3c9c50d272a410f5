//! The stream between two processes: lines of JSON, and descriptors.
//!
//! Descriptors (SCM_RIGHTS) arrive with bytes of the stream, in order. Each batch of them rides on a
//! line end of its own, in front of the line that says what they are; so whoever has read that line
//! has the descriptors, and no count of bytes has to fit. The kernel takes 253 with one message; a
//! batch here has [`BATCH`], and there may be any number of batches.
//!
//! A peer that says what it should not (no JSON, a line without end, descriptors where none are due)
//! is told from one that went away; nothing that it does costs more than a bounded line.

mod lines;

#[cfg(test)]
mod tests;

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

use self::lines::{Lines, TooLong};

/// As many descriptors go with one message. The kernel's bound is 253.
const BATCH: usize = 128;

/// How many are taken with one message: more than any kernel sends.
const MOST: usize = 256;

/// How many descriptors may be there before the line that says what they are.
const MAX_DESCRIPTORS: usize = 8192;

/// A peer that takes no byte for so long is as good as gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// One end of a conversation.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    lines: Lines,
    descriptors: Vec<OwnedFd>,
    /// Whether descriptors are taken at all.
    takes: bool,
}

/// A channel that belongs to no runtime. See [`Channel::detach`].
#[derive(Debug)]
pub struct Detached {
    stream: StdStream,
    lines: Lines,
    descriptors: Vec<OwnedFd>,
    takes: bool,
}

/// Why the conversation can't go on.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The peer is gone, after a whole line.
    #[error("it closed the channel")]
    Closed,
    /// The peer is gone, or was cut, within a line.
    #[error("it closed the channel amid a message")]
    Cut,
    #[error("the channel broke: {0}")]
    Io(#[from] io::Error),
    #[error("it took no byte for 10 s")]
    Stuck,
    #[error("it sent a line of more than {0} bytes")]
    TooLong(usize),
    #[error("it sent what is no message: {0}")]
    NoMessage(String),
    #[error("it sent descriptors that nobody asked for")]
    Descriptors,
    #[error("descriptors were lost on the way; is there room for more (`ulimit -n`)?")]
    Lost,
}

// === impl Channel ===

impl Channel {
    /// A channel over a connected stream. To be called in a runtime. `max`: the longest line that is
    /// taken. `takes`: whether the peer may send descriptors.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(stream: StdStream, max: usize, takes: bool) -> io::Result<Self> {
        Detached { stream, lines: Lines::new(max), descriptors: Vec::new(), takes }.attach()
    }

    /// Takes the channel out of its runtime, with what came and was not read.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn detach(self) -> io::Result<Detached> {
        let Self { stream, lines, descriptors, takes } = self;
        Ok(Detached { stream: stream.into_std()?, lines, descriptors, takes })
    }

    /// Sends a message. Not to be cancelled: the peer would be left amid a line.
    ///
    /// # Errors
    ///
    /// The peer is gone, or takes nothing.
    pub async fn send(&mut self, message: &impl Serialize) -> Result<(), ChannelError> {
        let mut line = serde_json::to_vec(message).map_err(|e| ChannelError::NoMessage(e.to_string()))?;
        line.push(b'\n');
        let mut rest = &line[..];
        while !rest.is_empty() {
            let wrote = timeout(PATIENCE, self.stream.write(rest)).await;
            match wrote.map_err(|_| ChannelError::Stuck)?.map_err(gone)? {
                0 => return Err(ChannelError::Closed),
                count => rest = &rest[count..],
            }
        }
        Ok(())
    }

    /// Sends descriptors. The message that says what they are is to follow.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); or the system has too many on their way.
    pub async fn send_descriptors(&mut self, descriptors: &[OwnedFd]) -> Result<(), ChannelError> {
        for batch in descriptors.chunks(BATCH) {
            let batch: Vec<BorrowedFd<'_>> = batch.iter().map(AsFd::as_fd).collect();
            let socket = self.stream.as_fd();
            let sent = self.stream.async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                // There is room for a batch.
                ancillary.push(SendAncillaryMessage::ScmRights(&batch));
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                Ok(sendmsg(socket, &[IoSlice::new(b"\n")], &mut ancillary, flags)?)
            });
            timeout(PATIENCE, sent).await.map_err(|_| ChannelError::Stuck)?.map_err(gone)?;
        }
        Ok(())
    }

    /// Waits for the next message. May be cancelled: nothing is lost.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<T, ChannelError> {
        loop {
            if let Some(line) = self.lines.next()? {
                return serde_json::from_slice(&line).map_err(|e| ChannelError::NoMessage(e.to_string()));
            }
            if self.read().await? == 0 {
                return Err(if self.lines.amid() { ChannelError::Cut } else { ChannelError::Closed });
            }
        }
    }

    /// The descriptors that came and were not taken yet, in order.
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    /// Reads what is there, at least a byte. 0: the peer is gone.
    async fn read(&mut self) -> Result<usize, ChannelError> {
        let mut bytes = [0; 16 * 1024];
        let socket = self.stream.as_fd();
        let (count, found, whole) =
            self.stream.async_io(Interest::READABLE, || receive(socket, &mut bytes)).await.map_err(gone)?;
        if !found.is_empty() && !self.takes {
            return Err(ChannelError::Descriptors);
        }
        if !whole {
            return Err(ChannelError::Lost);
        }
        self.descriptors.extend(found);
        if self.descriptors.len() > MAX_DESCRIPTORS {
            return Err(ChannelError::Descriptors);
        }
        self.lines.push(&bytes[..count]);
        Ok(count)
    }
}

/// What there is: how many bytes, the descriptors that came with them, and whether those are all.
fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>, bool)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut ancillary, flags)?;
    let mut found = Vec::new();
    for control in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = control {
            found.extend(descriptors);
        }
    }
    Ok((message.bytes, found, !message.flags.contains(ReturnFlags::CTRUNC)))
}

/// A peer that died with our bytes unread is gone like one that closed.
fn gone(error: io::Error) -> ChannelError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ChannelError::Closed,
        _ => ChannelError::Io(error),
    }
}

impl From<TooLong> for ChannelError {
    fn from(TooLong(max): TooLong) -> Self {
        Self::TooLong(max)
    }
}

// === impl Detached ===

impl Detached {
    /// Goes on in the runtime of the caller.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn attach(self) -> io::Result<Channel> {
        let Self { stream, lines, descriptors, takes } = self;
        stream.set_nonblocking(true)?;
        Ok(Channel { stream: UnixStream::from_std(stream)?, lines, descriptors, takes })
    }
}
