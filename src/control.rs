//! The one writer: whatever changes the world sends it a [`Change`]; it compiles, publishes, and
//! answers.
//!
//! One task owns the members, the roster and the generation counter, so changes are applied one
//! after the other and a reader never sees two at once. Changes that arrive together are compiled
//! together.
//!
//! # A new config is warmed before it serves
//!
//! A reload may name clusters whose source has not answered yet. Publishing at once would answer
//! 503 until it has; so the new config *waits* while its sources start, at most [`WARM`] for each,
//! and the old snapshot serves on. Changes of members in that time still apply to the old one. The
//! bad side: a reload that names an unknown service is applied [`WARM`] late. One reload may
//! overtake another that waits; then what both ask for goes on waiting, and twice [`WARM`] after
//! the first of them the newest serves, whatever is missing.
//!
//! # Weights are the other thing that operators change
//!
//! They come over the admin API or from the fleet's documents and stand over the file's: the
//! [`ledger`] holds what was said, [`weights`] judges what is wanted, and the overlay in `state_dir`
//! keeps it. A reload leaves them as they were set.
//!
//! # Another process may take over
//!
//! Then all that is known goes with it ([`heritage`]), and for a moment nothing may be changed.

pub mod change;
mod desk;
pub mod drains;
pub mod fleet;
pub mod heritage;
pub mod ledger;
pub mod members;
pub mod overlay;
mod pending;
mod reading;
pub mod ready;
pub mod reloads;
pub mod watch;
pub mod weights;
pub mod writer;

use std::time::Duration;

pub use self::change::{Applied, CalledOff, Change, DrainError, Inbox, Rejected};
pub use self::heritage::Heritage;
pub use self::writer::Writer;

/// How long a new config, or a start, waits for the first answer of a source.
pub const WARM: Duration = Duration::from_secs(5);
