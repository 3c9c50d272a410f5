//! An admin API with one split, `shop`: the JSON contract, and what others may do in between.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What a change meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Somebody else changes the split first.
    Overtaken,
    /// The connection ends without an answer, and nothing was changed.
    Lost,
    /// The same, and it was changed.
    Unheard,
}

pub struct Fake {
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    weights: Vec<u64>,
    epoch: u64,
    author: Value,
    why: Value,
    /// Bodies of the changes that were taken.
    taken: Vec<Value>,
    asked: usize,
    /// By number of the change that is asked for, from 1.
    twists: Vec<(usize, Twist)>,
    changes: usize,
    token: Option<String>,
}

const NAMES: [&str; 2] = ["control", "candidate"];
const FILE: [u64; 2] = [90, 10];

impl Fake {
    pub async fn start(twists: &[(usize, Twist)]) -> Self {
        let state = State { weights: FILE.to_vec(), twists: twists.to_vec(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, shared) = (listener.local_addr().unwrap(), state.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = hyper::service::service_fn(move |r| answer(shared.clone(), r));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { addr, state, task }
    }

    pub fn require_token(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.into());
    }

    pub fn weights(&self) -> Vec<u64> {
        self.state.lock().unwrap().weights.clone()
    }

    pub fn epoch(&self) -> u64 {
        self.state.lock().unwrap().epoch
    }

    pub fn taken(&self) -> Vec<Value> {
        self.state.lock().unwrap().taken.clone()
    }

    /// How many requests came.
    pub fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Answer = Result<Response<Full<Bytes>>, std::io::Error>;

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut state = state.lock().unwrap();
    state.asked += 1;
    let said = head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let wanted = state.token.as_ref().map(|token| format!("Bearer {token}"));
    if wanted.is_some() && said != wanted {
        let error = json!({"error": "this needs the admin token", "hint": "send a bearer token"});
        return Ok(shown(401, &error).unwrap());
    }
    let (status, value) = match (&head.method, head.uri.path()) {
        (&Method::GET, "/v1/splits") => (200, json!([state.split()])),
        (&Method::GET, "/v1/splits/shop") => (200, state.split()),
        (&Method::PUT, "/v1/splits/shop") => match state.change(&body) {
            Some(answer) => answer,
            None => return Err(std::io::ErrorKind::ConnectionReset.into()),
        },
        (&Method::POST, "/v1/splits/shop/reset") => {
            state.apply(&FILE, &body);
            state.changed()
        }
        (&Method::POST, "/v1/splits/shop/preview") => (200, state.preview(&body)),
        _ => (404, json!({"error": "there is no such split", "hint": "`/v1/splits` lists them"})),
    };
    Ok(shown(status, &value).unwrap())
}

fn shown(status: u16, value: &Value) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::from(value.to_string())).unwrap())
}

fn shares(weights: &[u64]) -> Vec<f64> {
    let total: u64 = weights.iter().sum();
    weights.iter().map(|weight| *weight as f64 / total as f64).collect()
}

impl State {
    fn split(&self) -> Value {
        let variants = NAMES.iter().enumerate().map(|(i, name)| {
            json!({"name": name, "cluster": format!("v{i}"), "weight": self.weights[i], "file_weight": FILE[i],
                   "share": shares(&self.weights)[i], "available": 2, "endpoints": 2,
                   "assigned": {"key": 1200, "random": 0, "override": 0, "shifted": 0}})
        });
        json!({"route": "shop", "seed": "shop", "key": "header x-user-id", "on_unhealthy": "shift",
               "tell_client": false, "origin": if self.epoch == 0 { "file" } else { "overlay" },
               "epoch": self.epoch, "author": self.author, "why": self.why, "at": null, "problem": null,
               "variants": variants.collect::<Vec<_>>(), "sample_ratio": null})
    }

    fn changed(&self) -> (u16, Value) {
        (200, json!({"generation": self.epoch + 40, "epoch": self.epoch}))
    }

    fn apply(&mut self, weights: &[u64], body: &Value) {
        self.weights = weights.to_vec();
        self.epoch += 1;
        (self.author, self.why) = (body["author"].clone(), body["why"].clone());
        self.taken.push(body.clone());
    }

    fn change(&mut self, body: &Value) -> Option<(u16, Value)> {
        self.changes += 1;
        let twist = self.twists.iter().find(|(number, _)| *number == self.changes).map(|(_, twist)| *twist);
        match twist {
            Some(Twist::Lost) => return None,
            Some(Twist::Overtaken) => {
                self.apply(&[1, 1], &json!({"author": "bob@there", "why": "an incident"}));
                self.taken.pop();
            }
            _ => {}
        }
        if body["if_epoch"].as_u64().is_some_and(|epoch| epoch != self.epoch) {
            let error = format!("the split is at epoch {}", self.epoch);
            return Some((409, json!({"error": error, "epoch": self.epoch, "generation": self.epoch + 40})));
        }
        let weights: Vec<_> = NAMES.iter().map(|name| body["weights"][name].as_u64().unwrap()).collect();
        self.apply(&weights, body);
        (twist != Some(Twist::Unheard)).then(|| self.changed())
    }

    fn preview(&self, body: &Value) -> Value {
        let named = |shares: Vec<f64>| -> Map<String, Value> {
            NAMES.iter().zip(shares).map(|(name, share)| ((*name).to_owned(), json!(share))).collect()
        };
        let after: Vec<_> = NAMES.iter().map(|name| body["weights"][name].as_u64().unwrap()).collect();
        let moved = (shares(&after)[1] - shares(&self.weights)[1]).abs();
        json!({"before": named(shares(&self.weights)), "after": named(shares(&after)), "moved": moved,
               "moves": [{"from": "control", "to": "candidate", "share": moved}]})
    }
}
