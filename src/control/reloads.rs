//! How reloads go, for whoever tells it to others as it happens.

use crate::config::Problem;

/// What is known of reloads. The default: none was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// How many were asked for.
    pub begun: u64,
    /// One is read, or waits for its sources.
    pub running: bool,
    /// Why the newest file does not serve.
    pub refusal: Option<String>,
}

// === impl Reloads ===

impl Reloads {
    pub(super) fn begin(&mut self) {
        self.begun += 1;
        self.running = true;
    }

    /// The file was read; if it is good it serves soon.
    pub(super) fn read(&mut self, problems: &[Problem]) {
        self.refusal = problems.first().map(|first| match problems.len() - 1 {
            0 => first.to_string(),
            more => format!("{first} (and {more} more)"),
        });
        self.running &= problems.is_empty();
    }

    pub(super) fn serves(&mut self) {
        self.running = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_lasts_until_a_file_is_good() {
        let mut reloads = Reloads::default();
        reloads.begin();
        reloads.read(&[Problem::new("a", "is bad"), Problem::new("b", "too")]);
        assert!(!reloads.running);
        assert!(reloads.refusal.as_deref().is_some_and(|why| why.ends_with("(and 1 more)")), "{reloads:?}");
        reloads.serves();
        assert!(reloads.refusal.is_some(), "one from before that waited");
        reloads.begin();
        reloads.read(&[]);
        assert_eq!((reloads.running, &reloads.refusal, reloads.begun), (true, &None, 2));
        reloads.serves();
        assert!(!reloads.running);
    }
}
