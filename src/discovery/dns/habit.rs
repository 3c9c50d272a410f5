//! What is remembered of one resolver: over which transport it answers, and whether it is down.
//! Pure.
//!
//! A resolver that answered over TCP is not asked over UDP for ten minutes, even when TCP fails:
//! Consul's UDP answer is a subset without a sign of it, so falling back would look like instances
//! leaving. Better no answer, and the last set stays. One that answers over UDP only is not made to
//! time out over TCP at every question.

use std::time::{Duration, Instant};

/// How long an answer over TCP rules UDP out.
const TRUST_TCP: Duration = Duration::from_secs(600);

/// How long TCP is left alone where it did not answer and UDP did.
const SKIP_TCP: Duration = Duration::from_secs(300);

/// How long a resolver that did not answer at all is asked last.
const ASK_LAST: Duration = Duration::from_secs(10);

/// The memory of one resolver.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habit {
    tcp_answered: Option<Instant>,
    only_udp_answered: Option<Instant>,
    silent: Option<Instant>,
}

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Tcp,
    TcpThenUdp,
    /// UDP, and TCP if the reply is truncated.
    UdpThenTcp,
}

// === impl Habit ===

impl Habit {
    pub(super) fn plan(&self, now: Instant) -> Plan {
        if within(self.tcp_answered, TRUST_TCP, now) {
            Plan::Tcp
        } else if within(self.only_udp_answered, SKIP_TCP, now) {
            Plan::UdpThenTcp
        } else {
            Plan::TcpThenUdp
        }
    }

    pub(super) fn asked_last(&self, now: Instant) -> bool {
        within(self.silent, ASK_LAST, now)
    }

    pub(super) fn tcp_answered(&mut self, now: Instant) {
        *self = Self { tcp_answered: Some(now), ..Self::default() };
    }

    /// UDP answered. `tried_tcp`: TCP was asked before, in vain.
    pub(super) fn udp_answered(&mut self, tried_tcp: bool, now: Instant) {
        self.silent = None;
        if tried_tcp {
            self.only_udp_answered = Some(now);
        }
    }

    pub(super) fn silent(&mut self, now: Instant) {
        self.silent = Some(now);
    }
}

fn within(since: Option<Instant>, span: Duration, now: Instant) -> bool {
    since.is_some_and(|since| now.saturating_duration_since(since) < span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn tcp_once_answered_rules_udp_out_for_ten_minutes() {
        let (mut habit, now) = (Habit::default(), start());
        assert_eq!(habit.plan(now), Plan::TcpThenUdp);
        habit.tcp_answered(now);
        habit.silent(now + Duration::from_secs(1));
        assert_eq!(habit.plan(now + Duration::from_secs(599)), Plan::Tcp);
        assert_eq!(habit.plan(now + Duration::from_secs(600)), Plan::TcpThenUdp);
    }

    #[test]
    fn where_only_udp_answers_tcp_is_tried_again_after_five_minutes() {
        let (mut habit, now) = (Habit::default(), start());
        habit.udp_answered(true, now);
        assert_eq!(habit.plan(now + Duration::from_secs(299)), Plan::UdpThenTcp);
        habit.udp_answered(false, now + Duration::from_secs(299));
        assert_eq!(habit.plan(now + Duration::from_secs(300)), Plan::TcpThenUdp);
    }

    #[test]
    fn a_silent_resolver_is_asked_last_until_it_answers_or_ten_seconds_pass() {
        let (mut habit, now) = (Habit::default(), start());
        habit.silent(now);
        assert!(habit.asked_last(now + Duration::from_secs(9)));
        assert!(!habit.asked_last(now + Duration::from_secs(10)));
        habit.tcp_answered(now);
        assert!(!habit.asked_last(now));
    }
}
