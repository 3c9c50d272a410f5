//! The TCP probe.

use serde_json::json;

use super::super::support::{Backend, Scripted, Step, send};
use super::{ask, nobody, says};

#[tokio::test]
async fn an_open_port_passes() {
    let web = Backend::start("web").await;
    assert_eq!(ask(json!({"tcp": {}}), web.addr()).await, Ok(()));
    assert_eq!(ask(json!({"tcp": {}}), nobody()).await, says("connection refused"));
}

#[tokio::test]
async fn what_comes_back_is_looked_at() {
    let check = json!({"tcp": {"send": "PING\r\n\r\n", "expect": "PONG"}});
    let server = Scripted::start(vec![send("+PO"), send("NG\r\n")]).await;
    assert_eq!(ask(check.clone(), server.addr).await, Ok(()));
    assert_eq!(server.seen(), ["PING\r\n\r\n"]);
    let server = Scripted::start(vec![send("-LOADING\r\n"), Step::Close]).await;
    let why = "the connection was closed before `PONG` came";
    assert_eq!(ask(check.clone(), server.addr).await, says(why));
    let server = Scripted::start(vec![send("x".repeat(70_000))]).await;
    assert_eq!(ask(check.clone(), server.addr).await, says("the first 64 KiB do not hold `PONG`"));
    let server = Scripted::start(vec![Step::Reset]).await;
    assert_eq!(ask(check, server.addr).await, says("connection reset"));
}
