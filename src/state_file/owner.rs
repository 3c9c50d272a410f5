//! Who may write the files of `state_dir`: of two processes that hand over to each other, one.
//!
//! A process that starts alone owns them at once. One that takes over from another owns them when
//! that is settled, and the other gives them up just before. What is asked while nobody here owns
//! them waits or is refused; nothing is written meanwhile.

use tokio::sync::watch;

/// Whether this process owns the files. Clones are the same.
#[derive(Clone, Debug)]
pub struct Owner(watch::Sender<bool>);

// === impl Owner ===

impl Owner {
    /// Of a process that takes over: not yet.
    pub fn heir() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Whether it owns them now.
    pub fn holds(&self) -> bool {
        *self.0.borrow()
    }

    /// They are this process's from now on.
    pub fn take(&self) {
        self.0.send_if_modified(|holds| !std::mem::replace(holds, true));
    }

    /// They are another's from now on.
    pub fn leave(&self) {
        self.0.send_if_modified(|holds| std::mem::replace(holds, false));
    }

    /// Tells of changes.
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

impl Default for Owner {
    /// Of a process that starts alone.
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}
