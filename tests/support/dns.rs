//! A DNS server that answers by script, over UDP and TCP on one port.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use super::ports;

/// Ends when dropped.
pub struct FakeDns {
    pub addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    tasks: Vec<JoinHandle<()>>,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// With its last dot.
    pub name: String,
    pub kind: RecordType,
    pub tcp: bool,
    /// How many questions of this type came before.
    pub nth: usize,
}

/// What to do with it.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers, and the additional section.
    Answer(Vec<Record>, Vec<Record>),
    /// The truncation bit, with these answers.
    Truncated(Vec<Record>),
    /// NXDOMAIN with an SOA whose minimum is this.
    NoName(u32),
    Code(ResponseCode),
    /// Nothing at all.
    Silence,
    /// These bytes as a message.
    Garbage(Vec<u8>),
}

/// Which transports answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transports {
    Both,
    UdpOnly,
}

type Script = Arc<dyn Fn(&Asked) -> Act + Send + Sync>;

struct Server {
    script: Script,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeDns {
    pub async fn start(script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        Self::start_with(Transports::Both, script).await
    }

    pub async fn start_with(
        transports: Transports,
        script: impl Fn(&Asked) -> Act + Send + Sync + 'static,
    ) -> Self {
        let addr = ports::free_addr();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let server = Arc::new(Server { script: Arc::new(script), asked: Arc::clone(&asked) });
        let socket = UdpSocket::bind(addr).await.unwrap();
        let mut tasks = vec![tokio::spawn(Arc::clone(&server).udp(socket))];
        if transports == Transports::Both {
            let listener = TcpListener::bind(addr).await.unwrap();
            tasks.push(tokio::spawn(server.tcp(listener)));
        }
        Self { addr, asked, tasks }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for FakeDns {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Server {
    async fn udp(self: Arc<Self>, socket: UdpSocket) {
        let mut buffer = vec![0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            if let Some(reply) = self.reply(&buffer[..length], false) {
                let _ = socket.send_to(&reply, peer).await;
            }
        }
    }

    async fn tcp(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&self).connection(stream));
        }
    }

    async fn connection(self: Arc<Self>, mut stream: TcpStream) {
        while let Ok(length) = stream.read_u16().await {
            let mut query = vec![0; length.into()];
            if stream.read_exact(&mut query).await.is_err() {
                return;
            }
            let Some(reply) = self.reply(&query, true) else { continue };
            // In three pieces, so that a client that trusts one read to bring it all is found out.
            let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
            let (first, second) = reply.split_at(reply.len() / 2);
            for piece in [&length[..], first, second] {
                let _ = stream.write_all(piece).await;
                let _ = stream.flush().await;
                tokio::task::yield_now().await;
            }
        }
    }

    fn reply(&self, query: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).expect("a well-formed question");
        let question = query.queries[0].clone();
        let asked = {
            let mut log = self.asked.lock().unwrap();
            let nth = log.iter().filter(|a| a.kind == question.query_type).count();
            let asked = Asked { name: question.name.to_ascii(), kind: question.query_type, tcp, nth };
            log.push(asked.clone());
            asked
        };
        let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        reply.add_query(question);
        match (self.script)(&asked) {
            Act::Answer(answers, additionals) => {
                reply.add_answers(answers);
                reply.add_additionals(additionals);
            }
            Act::Truncated(answers) => {
                reply.metadata.truncation = true;
                reply.add_answers(answers);
            }
            Act::NoName(minimum) => {
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authority(soa(minimum));
            }
            Act::Code(code) => reply.metadata.response_code = code,
            Act::Silence => return None,
            Act::Garbage(bytes) => return Some(bytes),
        }
        Some(reply.to_vec().unwrap())
    }
}

pub fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// A or AAAA.
pub fn address(owner: &str, ttl: u32, ip: impl Into<IpAddr>) -> Record {
    Record::from_rdata(name(owner), ttl, RData::from(ip.into()))
}

pub fn cname(owner: &str, ttl: u32, to: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(to))))
}

pub fn srv(owner: &str, ttl: u32, priority: u16, weight: u16, port: u16, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::SRV(SRV::new(priority, weight, port, name(target))))
}

fn soa(minimum: u32) -> Record {
    let soa = SOA::new(name("ns.test."), name("admin.test."), 1, 60, 60, 60, minimum);
    Record::from_rdata(name("test."), minimum, RData::SOA(soa))
}
