//! One question to one resolver over one transport.
//!
//! UDP is asked from a fresh socket each time (the kernel draws the port), connected, with a random
//! id, and a datagram that does not repeat id and question is passed over: that is what keeps a
//! forged answer out. A stream is read by its length prefix, and opened for one question only:
//! servers close idle ones as they like, and at one question a second or fewer a connection costs
//! less than the care for a stale one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::reply::Failure;

/// For the whole exchange over TCP, the handshake included.
const TCP_TIMEOUT: Duration = Duration::from_secs(2);

/// For each of the two datagrams sent over UDP.
const UDP_TIMEOUT: Duration = Duration::from_secs(1);
const UDP_TRIES: usize = 2;

/// The largest reply over UDP that crosses networks without fragments (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;

/// A question for `name`, with recursion.
pub(super) fn query(name: &Name, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    message
}

/// Asks over TCP. A truncated reply is a failure: there is no transport left that holds more.
pub(super) async fn over_tcp(server: SocketAddr, query: &Message) -> Result<Message, Failure> {
    let exchange = async {
        let bytes = encode(query)?;
        let length = u16::try_from(bytes.len()).map_err(|_| malformed(server, "the question is too long"))?;
        let mut stream = TcpStream::connect(server).await.map_err(|e| network(server, "tcp", &e))?;
        // One write, one segment: some servers read the length and the rest in one go.
        let framed = [&length.to_be_bytes()[..], &bytes].concat();
        stream.write_all(&framed).await.map_err(|e| network(server, "tcp", &e))?;
        let length = stream.read_u16().await.map_err(|e| network(server, "tcp", &e))?;
        let mut reply = vec![0; length.into()];
        stream.read_exact(&mut reply).await.map_err(|e| network(server, "tcp", &e))?;
        let reply = decode(server, &reply)?;
        if !answers(&reply, query) {
            return Err(malformed(server, "the reply is to another question"));
        }
        if reply.metadata.truncation {
            let why = format!("{server}: the answer does not fit in a reply, even over TCP");
            return Err(Failure::new("truncated", why));
        }
        Ok(reply)
    };
    timeout(TCP_TIMEOUT, exchange).await.unwrap_or_else(|_| Err(silent(server, "tcp")))
}

/// Asks over UDP. The reply may be truncated.
pub(super) async fn over_udp(server: SocketAddr, query: &Message) -> Result<Message, Failure> {
    let mut query = query.clone();
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    query.set_edns(edns);
    let bytes = encode(&query)?;
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let failed = |e: io::Error| network(server, "udp", &e);
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    let mut buffer = vec![0; 4096];
    for _ in 0..UDP_TRIES {
        socket.send(&bytes).await.map_err(failed)?;
        let listen = async {
            loop {
                let length = socket.recv(&mut buffer).await.map_err(failed)?;
                match decode(server, &buffer[..length]) {
                    Ok(reply) if answers(&reply, &query) => return Ok(reply),
                    _ => {}
                }
            }
        };
        if let Ok(done) = timeout(UDP_TIMEOUT, listen).await {
            return done;
        }
    }
    Err(silent(server, "udp"))
}

/// Whether `reply` is one to `query`: id, direction, and the question repeated (servers that failed
/// may leave it out).
fn answers(reply: &Message, query: &Message) -> bool {
    reply.metadata.id == query.metadata.id
        && reply.metadata.message_type == MessageType::Response
        && (reply.queries == query.queries || (reply.queries.is_empty() && reply.answers.is_empty()))
}

fn encode(query: &Message) -> Result<Vec<u8>, Failure> {
    query.to_vec().map_err(|e| Failure::new("malformed", format!("the question cannot be written: {e}")))
}

fn decode(server: SocketAddr, bytes: &[u8]) -> Result<Message, Failure> {
    Message::from_vec(bytes).map_err(|e| malformed(server, &e.to_string()))
}

fn malformed(server: SocketAddr, why: &str) -> Failure {
    Failure::new("malformed", format!("{server}: {why}"))
}

fn network(server: SocketAddr, transport: &str, error: &io::Error) -> Failure {
    Failure::new("network", format!("{server} over {transport}: {error}"))
}

fn silent(server: SocketAddr, transport: &str) -> Failure {
    Failure::new("timeout", format!("{server} over {transport}: no answer in time"))
}
