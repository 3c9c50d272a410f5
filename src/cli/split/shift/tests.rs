//! The loop, in paused time, over a desk that can fail, lose answers and be used by others.

use std::cell::RefCell;
use std::collections::VecDeque;

use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use super::walk::{Desk, End, walk};
use super::*;
use crate::cli::admin::Refusal;
use crate::cli::split::progress::Show;

/// What the next change meets.
#[derive(Clone, Copy)]
enum Fate {
    Taken,
    /// No contact.
    Lost,
    /// It is taken, and the answer does not come back.
    Unheard,
    /// Somebody else was quicker.
    Overtaken,
}

struct Fake {
    fates: RefCell<VecDeque<Fate>>,
    split: RefCell<Split>,
    /// When each change was taken, and its weights.
    taken: RefCell<Vec<(Duration, Vec<u64>)>>,
    start: Instant,
}

#[derive(Default)]
struct Notes {
    steps: Vec<(u32, String)>,
    said: Vec<String>,
}

impl Show for Notes {
    fn step(&mut self, step: u32, _: u32, text: &str) {
        self.steps.push((step, text.to_owned()));
    }

    fn say(&mut self, text: &str) {
        self.said.push(text.to_owned());
    }
}

impl Fake {
    fn new(fates: &[Fate]) -> Self {
        let split = json!({"route": "shop", "epoch": 7, "origin": "file", "variants": [
            {"name": "control", "weight": 90}, {"name": "candidate", "weight": 10},
        ]});
        Self {
            fates: RefCell::new(fates.iter().copied().collect()),
            split: RefCell::new(serde_json::from_value(split).unwrap()),
            taken: RefCell::default(),
            start: Instant::now(),
        }
    }

    fn change(&self, weights: &Weights, author: &str) -> Changed {
        let mut split = self.split.borrow_mut();
        for variant in &mut split.variants {
            variant.weight = weights[&variant.name];
        }
        split.epoch += 1;
        split.author = Some(author.to_owned());
        Changed { generation: split.epoch + 100, epoch: split.epoch, warnings: Vec::new() }
    }

    fn weights(&self) -> Vec<Vec<u64>> {
        self.taken.borrow().iter().map(|(_, weights)| weights.clone()).collect()
    }

    /// Goes from 90/10 to 50/50 in four seconds, until `stop`.
    async fn walk(&self, notes: &mut Notes, stop: impl Future<Output = ()>) -> (End, u32) {
        let split = self.split.borrow().clone();
        let path = Path::new(&split.weights(), &[50, 50], 4).unwrap();
        let mut stop = std::pin::pin!(stop);
        walk(self, &split, &path, Duration::from_secs(1), stop.as_mut(), notes).await
    }
}

impl Desk for Fake {
    async fn look(&self) -> Result<Split, Failure> {
        Ok(self.split.borrow().clone())
    }

    async fn put(&self, weights: &Weights, if_epoch: u64) -> Result<Changed, Failure> {
        let fate = self.fates.borrow_mut().pop_front().unwrap_or(Fate::Taken);
        if let Fate::Lost = fate {
            return Err(Failure::Unreachable("refused".into()));
        }
        if let Fate::Overtaken = fate {
            self.change(&weights.keys().map(|name| (name.clone(), 1)).collect(), "bob@there");
        }
        let epoch = self.split.borrow().epoch;
        if epoch != if_epoch {
            let body = json!({"error": "the epoch is another", "epoch": epoch, "generation": epoch + 100});
            return Err(Failure::Refused(Box::new(Refusal::new("here", StatusCode::CONFLICT, body))));
        }
        let changed = self.change(weights, self.author());
        self.taken.borrow_mut().push((self.start.elapsed(), self.split.borrow().weights()));
        match fate {
            Fate::Unheard => Err(Failure::Unreachable("reset".into())),
            _ => Ok(changed),
        }
    }

    fn author(&self) -> &str {
        "ann@here"
    }
}

#[tokio::test(start_paused = true)]
async fn it_steps_evenly_and_ends_on_time_with_what_was_asked() {
    let (desk, mut notes) = (Fake::new(&[]), Notes::default());
    let (end, done) = desk.walk(&mut notes, std::future::pending()).await;
    assert!(matches!(end, End::Done(Changed { epoch: 11, generation: 111, .. })), "{end:?}");
    assert_eq!(done, 4);
    assert_eq!(desk.weights(), [vec![800, 200], vec![700, 300], vec![600, 400], vec![50, 50]]);
    let times: Vec<_> = desk.taken.borrow().iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(times, [1, 2, 3, 4]);
    assert_eq!(notes.steps[0], (1, "control 800 (80.0 %), candidate 200 (20.0 %); 3 s left".into()));
}

#[tokio::test(start_paused = true)]
async fn a_change_by_somebody_else_stops_it_and_stays() {
    let desk = Fake::new(&[Fate::Taken, Fate::Overtaken]);
    let (end, done) = desk.walk(&mut Notes::default(), std::future::pending()).await;
    assert!(matches!(end, End::Overtaken), "{end:?}");
    assert_eq!((done, desk.weights().len()), (1, 1));
    let now = desk.split.borrow().clone();
    assert_eq!((now.weights(), now.author.as_deref()), (vec![1, 1], Some("bob@there")));
}

#[tokio::test(start_paused = true)]
async fn a_short_loss_of_contact_is_sat_out_without_a_jump() {
    let desk = Fake::new(&[Fate::Taken, Fate::Lost, Fate::Lost, Fate::Lost, Fate::Lost, Fate::Lost]);
    let mut notes = Notes::default();
    let (end, _) = desk.walk(&mut notes, std::future::pending()).await;
    assert!(matches!(end, End::Done(_)), "{end:?}");
    assert_eq!(desk.weights(), [vec![800, 200], vec![700, 300], vec![600, 400], vec![50, 50]]);
    let times: Vec<_> = desk.taken.borrow().iter().map(|(at, _)| at.as_millis()).collect();
    assert_eq!(notes.said.len(), 5, "{:?}", notes.said);
    assert!(notes.said[0].contains("refused; trying again in 200 ms"), "{:?}", notes.said);
    assert_eq!(times[1], 2000 + 200 + 400 + 800 + 1600 + 3200);
    assert!(times[3] - times[2] >= 1000, "what was lost is not caught up with: {times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_loss_of_contact_ends_it_within_its_grace() {
    let desk = Fake::new(&[[Fate::Taken].as_slice(), &[Fate::Lost; 50]].concat());
    let (end, done) = desk.walk(&mut Notes::default(), std::future::pending()).await;
    assert!(matches!(end, End::Failed(Failure::Unreachable(_))), "{end:?}");
    assert_eq!(done, 1);
    let took = desk.start.elapsed();
    assert!(took > Duration::from_secs(20) && took <= Duration::from_secs(32), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn our_own_change_whose_answer_was_lost_is_not_somebody_elses() {
    let desk = Fake::new(&[Fate::Taken, Fate::Unheard]);
    let (end, _) = desk.walk(&mut Notes::default(), std::future::pending()).await;
    assert!(matches!(end, End::Done(Changed { epoch: 11, .. })), "{end:?}");
    assert_eq!(desk.weights().len(), 4, "none was made twice");
    let desk = Fake::new(&[Fate::Taken, Fate::Lost, Fate::Overtaken]);
    let (end, _) = desk.walk(&mut Notes::default(), std::future::pending()).await;
    assert!(matches!(end, End::Overtaken), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn being_told_to_stop_holds_between_steps_and_between_tries() {
    let desk = Fake::new(&[]);
    let stop = tokio::time::sleep(Duration::from_millis(2500));
    let (end, done) = desk.walk(&mut Notes::default(), stop).await;
    assert!(matches!(end, End::Stopped), "{end:?}");
    assert_eq!((done, desk.split.borrow().weights()), (2, vec![700, 300]));
    let desk = Fake::new(&[Fate::Lost; 50]);
    let stop = tokio::time::sleep(Duration::from_millis(2500));
    let (end, done) = desk.walk(&mut Notes::default(), stop).await;
    assert!(matches!(end, End::Stopped), "{end:?}");
    assert_eq!((done, desk.start.elapsed().as_millis()), (0, 2500));
}

#[test]
fn who_ends_early_says_how_to_go_on_and_back() {
    let before = Fake::new(&[]).split.into_inner();
    let mut now = before.clone();
    (now.variants[0].weight, now.variants[1].weight, now.epoch) = (700, 300, 9);
    let call = "tidegate split --admin http://a:1".to_owned();
    let client = Client::new(crate::cli::admin::Admin::new("http://a:1", None).unwrap(), call);
    let left = Duration::from_secs(330);
    let text = told(&client, &End::Stopped, &before, &[50, 50], Ok(now), left);
    let expected = "\
stopped
  shop serves: control 700 (70.0 %), candidate 300 (30.0 %); file, epoch 9
  to go on:    tidegate split --admin http://a:1 shift shop control=50 candidate=50 --over 330s
  to go back:  tidegate split --admin http://a:1 set shop control=90 candidate=10
";
    assert_eq!(text, expected);
    let lost = || Failure::Unreachable("cannot ask".into());
    let text = told(&client, &End::Failed(lost()), &before, &[50, 50], Err(lost()), left);
    assert!(text.contains("what shop serves now is not known: cannot ask"), "{text}");
}

#[test]
fn steps_fill_the_time() {
    let of = |over, every| steps(Duration::from_millis(over), Duration::from_millis(every));
    assert_eq!([of(600_000, 1000), of(2500, 1000), of(500, 1000), of(0, 1000)], [600, 3, 1, 1]);
}
