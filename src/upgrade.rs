//! A new binary takes over from a running process, and no request fails for it.
//!
//! The old process (*elder*) starts the new one (*heir*), tells it what it knows, and serves on until
//! the heir says that it could serve too. Only then are the listening sockets handed over, as
//! descriptors of the same sockets: nobody's connection waits in a queue that is closed. What
//! connections the elder has, it finishes.
//!
//! ```text
//! elder                                             heir
//! starts it (SIGUSR2, `tidegate upgrade`)
//!                                      <- hello     it is there                     within HELLO
//! welcome, what is known ->
//!                                                   config, first snapshot, first probes
//!                                      <- ready     what it wants to listen on      within
//! operators' changes wait; all is on disk                              server.upgrade_timeout
//! sockets, the last that is known ->
//!                                                   binds what is new, accepts
//!                                      <- serving                                   within SERVING
//! no new connections
//! looks on for PROBATION
//! settled ->
//!                                                   pid file, upgrade socket, state_dir are its own
//! lets the sockets go, drains, ends
//! ```
//!
//! # Why not Pingora's transfer
//!
//! Pingora hands over by SIGQUIT to the old process, which sends its sockets to whoever listens at a
//! path, and shuts down even when nobody does. It knows of no "ready", sleeps five seconds, takes 32
//! sockets at most, and hands on nothing but sockets. So binding, accepting and handing over are ours
//! ([`sockets`], [`gate`], `app::listening`), and Pingora's services run on duplicates.
//!
//! # When either dies
//!
//! | step | the heir dies, hangs, or says no | the elder dies |
//! |---|---|---|
//! | before `sockets` | killed; the elder never stopped serving | the heir ends too: whoever restarts a service starts it anew |
//! | before `serving` | killed; both accepted, or only the elder did | the heir has all, and goes on as main |
//! | probation | killed; the elder accepts again; what the heir had accepted is lost with it | the heir goes on as main |
//! | after `settled` | nobody listens; a service manager restarts it | it was on its way out |
//!
//! In the first three rows the elder is as before: operators' changes are taken again, SIGHUPs that
//! came meanwhile are made up for. It says why in the log (error), in
//! `tidegate_upgrades_total{result="failed"}`, and to `tidegate upgrade`.
//!
//! An elder that hangs after `sockets` is waited for no longer than 20 s; then the heir goes on as main,
//! and tells it so, should it wake. (A service manager still takes the elder for the main process,
//! until it wakes or the watchdog has it killed, and with it the service.)
//!
//! SIGTERM at the elder amid a hand-over goes to the heir too. At the heir alone it ends the hand-over,
//! and what the heir had accepted is lost: that the elder accepts again is worth more. A second SIGUSR2 is refused.
//!
//! # The bad sides
//!
//! - Two processes for a while: twice the memory, and twice the probes until the elder has ended.
//! - Requests that the heir accepted and did not answer before it died in its probation fail. They
//!   would have, had the same process been started alone.
//! - A connection that is idle is closed by the elder after
//!   [`PATIENT_LINGER`](crate::proxy::door::PATIENT_LINGER); a client that sends in this very moment
//!   sees the close. HTTP/1.1 has no word for it; clients repeat such requests.
//! - What only this process knows is told as far as `control::heritage` goes: metrics begin at zero.
//! - Process 1 of a container can't hand over: when it ends, so does the container.
//!
//! # The map
//!
//! | file | what |
//! |---|---|
//! | [`message`] | what is said |
//! | [`channel`] | lines of JSON and descriptors over a stream |
//! | [`spawn`] | which binary; a process that is watched |
//! | [`elder`] | the old side: a pure machine, and what carries it out |
//! | [`heir`] | the new side, step by step |
//! | [`front`] | `server.upgrade_socket` |
//! | [`progress`] | reports for who asked |
//! | [`sockets`], [`gate`], [`activation`] | listening sockets, accepting or not, systemd's sockets |
//! | [`notify`], [`watchdog`] | what systemd is told; whether the process is alive |

pub mod activation;
pub mod channel;
pub mod elder;
pub mod front;
pub mod gate;
pub mod heir;
pub mod message;
pub mod notify;
pub mod progress;
pub mod sockets;
pub mod spawn;
pub mod watchdog;

use std::time::Duration;

/// How long a new process may take to say hello.
pub const HELLO: Duration = Duration::from_secs(10);

/// How long the last state may take to be on disk.
pub const FREEZE: Duration = Duration::from_secs(10);

/// How long a new process that has the sockets may take to accept on them.
pub const SERVING: Duration = Duration::from_secs(10);

/// How long a new process must live, serving, before the old one lets the sockets go.
pub const PROBATION: Duration = Duration::from_secs(1);
