//! The loop, with time that stands still and answers from a script.

use std::collections::VecDeque;

use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::sync::{Mutex, mpsc, watch as flag};
use tokio::time::Instant as Clock;

use super::reply::Reply;
use super::*;

/// One step a round, the last one for ever: the answer to A. AAAA, which is asked after it, has no
/// records, or fails with it.
struct Script(Mutex<(VecDeque<Result<Reply, Failure>>, bool)>);

impl Ask for Script {
    async fn ask(&self, _: &Name, kind: RecordType) -> Result<Reply, Failure> {
        let (steps, failed) = &mut *self.0.lock().await;
        if kind != RecordType::A {
            return if *failed { timeout() } else { Ok(Reply::default()) };
        }
        let step = if steps.len() > 1 { steps.pop_front().unwrap() } else { steps[0].clone() };
        *failed = step.is_err();
        step
    }
}

fn found(ttl: u64, lasts: &[u8]) -> Result<Reply, Failure> {
    let records = lasts.iter().map(|last| RData::from(IpAddr::from([10, 0, 0, *last]))).collect();
    Ok(Reply { records, ttl: Duration::from_secs(ttl), ..Reply::default() })
}

fn timeout() -> Result<Reply, Failure> {
    Err(Failure::new("timeout", "test"))
}

/// Runs the script and gives the first `count` things heard, each with the seconds since the start.
async fn hear(steps: Vec<Result<Reply, Failure>>, floor: u64, count: usize) -> Vec<(Heard, f64)> {
    let (out, mut heard) = mpsc::unbounded_channel();
    let (stop, stopped) = flag::channel(false);
    let begin = Clock::now();
    let task = tokio::spawn(async move {
        let question = Question::Addresses { name: Name::from_ascii("web.").unwrap(), port: 80 };
        let script = Script(Mutex::new((steps.into(), false)));
        let tell = |what, _| {
            let _ = out.send((what, begin.elapsed().as_secs_f64()));
        };
        let rng = &mut fastrand::Rng::with_seed(3);
        watch(&script, &question, Duration::from_secs(floor), rng, tell, stopped).await;
    });
    let mut all = Vec::new();
    while all.len() < count {
        all.push(heard.recv().await.unwrap());
    }
    stop.send(true).unwrap();
    task.await.unwrap();
    all
}

fn size(heard: &Heard) -> Option<usize> {
    match heard {
        Heard::Members(members) => Some(members.len()),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn the_order_of_an_answer_is_no_change_and_its_ttl_is_waited_for() {
    let heard = hear(vec![found(60, &[1, 2]), found(5, &[2, 1]), found(0, &[3])], 1, 4).await;
    assert_eq!(size(&heard[0].0), Some(2));
    assert_eq!(heard[1].0, Heard::Unchanged);
    assert_eq!(size(&heard[2].0), Some(1));
    assert_eq!(heard[3].0, Heard::Unchanged);
    let pauses: Vec<f64> = heard.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    for (pause, expected) in pauses.iter().zip([60.0, 5.0, 1.0]) {
        assert!(*pause >= expected && *pause <= expected * 1.1 + 0.01, "{pause} for a TTL of {expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_as_one_and_backs_off_to_ten_seconds() {
    let mut steps = vec![found(0, &[1])];
    steps.extend((0..30).map(|_| timeout()));
    let heard = hear(steps, 1, 31).await;
    assert!(heard[1..].iter().all(|(what, _)| matches!(what, Heard::Failed { kind: "timeout", .. })));
    for (i, pair) in heard[1..].windows(2).enumerate() {
        let ceiling = (0.25 * f64::from(1u32 << i.min(10))).min(10.0);
        assert!(pair[1].1 - pair[0].1 <= ceiling + 0.01, "failure {i}");
    }
    let long = heard[10..].windows(2).filter(|pair| pair[1].1 - pair[0].1 > 5.0).count();
    assert!(long > 3, "{long} of 20 pauses are above 5 s");
}

#[tokio::test(start_paused = true)]
async fn an_authoritative_nothing_is_an_empty_set_and_told_once() {
    let heard = hear(vec![found(0, &[1]), found(0, &[]), found(0, &[])], 1, 3).await;
    assert_eq!(size(&heard[1].0), Some(0));
    assert_eq!(heard[2].0, Heard::Unchanged);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_same_set_is_unchanged_and_the_back_off_starts_anew() {
    let heard =
        hear(vec![found(0, &[1]), timeout(), timeout(), found(0, &[1]), timeout(), found(0, &[2])], 1, 6)
            .await;
    assert_eq!(heard[3].0, Heard::Unchanged);
    assert!(heard[5].1 - heard[4].1 <= 0.26, "the first pause again");
    assert_eq!(size(&heard[5].0), Some(1));
}

#[tokio::test(start_paused = true)]
async fn it_stops_in_the_middle_of_a_question_and_when_the_sender_is_gone() {
    struct Never;
    impl Ask for Never {
        async fn ask(&self, _: &Name, _: RecordType) -> Result<Reply, Failure> {
            std::future::pending().await
        }
    }
    let question = Question::Addresses { name: Name::from_ascii("web.").unwrap(), port: 80 };
    let (stop, stopped) = flag::channel(false);
    drop(stop);
    let rng = &mut fastrand::Rng::with_seed(1);
    watch(&Never, &question, Duration::from_secs(1), rng, |_, _| {}, stopped).await;
}

#[test]
fn what_does_not_fit_together_is_refused_with_a_hint() {
    let spec = |name: &str, port, srv| live::Dns {
        name: name.into(),
        port,
        srv,
        resolvers: vec![],
        min_ttl: crate::config::value::Span::secs(1),
    };
    let why = |spec: live::Dns| DnsSource::new(&spec).err().unwrap_or_default();
    assert_eq!(why(spec("web.service.consul", Some(80), false)), "");
    assert_eq!(why(spec("_web._tcp.service.consul", None, true)), "");
    assert!(why(spec("web", None, false)).contains("`port`"));
    assert!(why(spec("web", Some(0), false)).contains("`port`"));
    assert!(why(spec("web", Some(80), true)).contains("leave `port` out"));
    assert!(why(spec("10.0.0.1", Some(80), false)).contains("`static`"));
    assert!(why(spec("", Some(80), false)).contains("empty"));
    assert!(why(spec("a b", Some(80), false)).contains("not a domain name"));
    assert!(why(spec(&"x".repeat(300), Some(80), false)).contains("not a domain name"));
    let mut odd = spec("web", Some(80), false);
    odd.resolvers = vec!["0.0.0.0:53".parse().unwrap()];
    assert!(why(odd).contains("resolver"));
}
