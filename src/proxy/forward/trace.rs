//! W3C Trace Context: what a `traceparent` must look like, and a new one.
//!
//! Tidegate records no spans of its own yet, so it is no node of the trace: a valid `traceparent`
//! goes on as it came, `tracestate` with it. The bad side: a trace shows the way through Tidegate
//! only as the time between its neighbours.

/// The length of version 00.
const LENGTH: usize = 55;

/// Whether a receiver must take it: 00, or a later version that begins alike. With another it starts
/// a trace of its own (Trace Context 4.3).
pub(crate) fn is_valid(value: &[u8]) -> bool {
    let Some((known, more)) = value.split_at_checked(LENGTH) else { return false };
    let version = &known[..2];
    let later = version != b"00" && version != b"ff";
    let ends = more.is_empty() || (later && more[0] == b'-');
    let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    let hex = known
        .iter()
        .enumerate()
        .all(|(at, byte)| matches!(at, 2 | 35 | 52) || byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
    let set = |id: &[u8]| id.iter().any(|byte| *byte != b'0');
    version != b"ff" && ends && dashes && hex && set(&known[3..35]) && set(&known[36..52])
}

/// A new one, sampled. `dice` are random.
pub(crate) fn make(trace: u128, parent: u64) -> String {
    // All zeros are not valid.
    format!("00-{:032x}-{:016x}-01", trace.max(1), parent.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_valid_is_told_from_what_is_not() {
        assert!(is_valid(VALID.as_bytes()));
        let later = VALID.replacen("00", "cc", 1);
        assert!(is_valid(later.as_bytes()) && is_valid(format!("{later}-what-comes").as_bytes()));
        for text in [
            String::new(),
            VALID[..54].into(),
            format!("{VALID}-"),
            format!("{VALID}0"),
            format!("{later}x"),
            VALID.to_uppercase(),
            VALID.replacen("00", "ff", 1),
            VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            VALID.replace('-', "_"),
            format!(" {VALID}"),
        ] {
            assert!(!is_valid(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_made_is_valid(trace in any::<u128>(), parent in any::<u64>()) {
            prop_assert!(is_valid(make(trace, parent).as_bytes()));
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            is_valid(&bytes);
        }
    }
}
