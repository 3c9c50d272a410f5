//! The admin API and the dashboard: what the proxy knows, for people and tools, and the few things
//! they may change.
//!
//! It reads the same snapshot that requests use, through the [`World`] trait, and keeps no copy, so
//! it cannot show what does not serve. Changes go to the one writer behind the same trait and
//! answer when they are in force.
//!
//! Who may ask: by default it listens on loopback and trusts whoever can connect. A web page in the
//! operator's browser can connect too, so [`guard`] refuses foreign names (DNS rebinding) and
//! requests that another site started (CSRF). On any other address a bearer token is needed. It
//! runs on a thread of its own: a scrape of many routes must not stand in the way of a request.

mod answer;
pub mod explain;
mod guard;
mod path;
mod read;
mod token;
mod ui;
pub mod view;
mod weights;
pub mod world;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

use crate::config::{Problem, boot};

use self::answer::{Answer, Refusal};
use self::path::Found;
use self::token::Token;
pub use self::world::World;

/// The largest request body, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// How long a client may take to send its body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How long the rest of a refused body is read and thrown away.
const DRAIN: Duration = Duration::from_secs(1);

/// The application behind the admin listener.
pub struct Admin {
    world: Arc<dyn World>,
    token: Option<Token>,
}

/// What is wrong with the token's file, if there is to be one: without it every request would be
/// refused.
pub fn token_problem(config: &boot::Admin) -> Option<Problem> {
    let path = config.token_file.as_ref()?;
    let what = match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => format!("{} is empty", path.display()),
        Ok(_) => return None,
        Err(why) => format!("cannot read {}: {why}", path.display()),
    };
    Some(Problem::new("admin.token_file", what).hint("write the token into it, and nothing else"))
}

// === impl Admin ===

impl Admin {
    /// An application that shows this world. `config.address` is not opened here.
    pub fn new(world: Arc<dyn World>, config: &boot::Admin) -> Self {
        Self { world, token: config.token_file.clone().map(Token::new) }
    }

    async fn answer(&self, session: &mut ServerSession) -> Result<Answer, Refusal> {
        let request = session.req_header();
        let method = if request.method == Method::HEAD { Method::GET } else { request.method.clone() };
        let found = path::find(request.uri.path());
        if !found.as_ref().is_some_and(|found| found.page.is_open()) {
            guard::check(&request.headers, &method, self.token.as_ref())?;
        }
        let Some(Found { page, names }) = found else {
            return Err(path::unknown(request.uri.path()));
        };
        if !page.takes(&method) {
            return Err(path::wrong_method(&method, page));
        }
        if method == Method::GET {
            return read::answer(&*self.world, page, &names);
        }
        let body = body(session).await?;
        write::answer(&*self.world, page, &names, &body).await
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("token", &self.token.is_some()).finish_non_exhaustive()
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let head = session.req_header().method == Method::HEAD;
        let answer = match self.answer(session).await {
            Ok(answer) => answer,
            Err(refusal) => {
                // A client that is still sending would see a reset connection instead of the
                // answer.
                let drained = tokio::time::timeout(DRAIN, session.drain_request_body()).await;
                if !matches!(drained, Ok(Ok(()))) {
                    session.set_keepalive(None);
                }
                refusal.into()
            }
        };
        answer.into_response(head)
    }
}

/// Reads the whole body, at most [`BODY_LIMIT`].
async fn body(session: &mut ServerSession) -> Result<Vec<u8>, Refusal> {
    let read = async {
        let mut body = Vec::new();
        loop {
            match session.read_request_body().await {
                Ok(Some(bytes)) if body.len() + bytes.len() > BODY_LIMIT => {
                    return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB"));
                }
                Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                Ok(None) => return Ok(body),
                Err(e) => {
                    return Err(Refusal::new(
                        StatusCode::BAD_REQUEST,
                        format!("the body cannot be read: {e}"),
                    ));
                }
            }
        }
    };
    let late = || Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s");
    tokio::time::timeout(BODY_DEADLINE, read).await.unwrap_or_else(|_| Err(late()))
}
