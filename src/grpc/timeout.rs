//! `grpc-timeout`: at most eight digits and a unit.
//!
//! A value that is none of that is no deadline here and goes on as it is: the endpoint's own library
//! knows what it makes of it (most answer INTERNAL), and no two proxies should differ from it.

use std::time::Duration;

/// Most digits of a value.
const DIGITS: usize = 8;

/// The first number that does not fit.
const TOO_LARGE: u128 = 100_000_000;

/// How long a call may take. None: it does not say, in a way that is understood.
pub fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A time in the finest unit in which it fits, but for nanoseconds; what is left over is dropped.
pub fn write(time: Duration) -> String {
    let (micros, seconds) = (time.as_micros(), u128::from(time.as_secs()));
    let units = [(micros, 'u'), (time.as_millis(), 'm'), (seconds, 'S'), (seconds / 60, 'M')];
    let fit = units.into_iter().find(|(number, _)| *number < TOO_LARGE);
    let (number, unit) = fit.unwrap_or_else(|| ((seconds / 3600).min(TOO_LARGE - 1), 'H'));
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, time) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("00000003S", Duration::from_secs(3)),
            ("250m", Duration::from_millis(250)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("7n", Duration::from_nanos(7)),
            ("0S", Duration::ZERO),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(time), "{text}");
        }
        for odd in ["", "S", "1", "1s", "1 S", "-1S", "1.5S", "123456789S", "S1", "1Su"] {
            assert_eq!(parse(odd.as_bytes()), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_never_longer(micros in any::<u64>(), shift in 0_u32..64) {
            let time = Duration::from_micros(micros >> shift);
            let text = write(time);
            prop_assert!(text.len() <= DIGITS + 1, "{text}");
            let read = parse(text.as_bytes()).unwrap();
            prop_assert!(read <= time, "{text}");
            if time < Duration::from_secs(99_999_999 * 3600) {
                prop_assert!(time - read < time / 1000 + Duration::from_micros(1) || time - read < Duration::from_secs(3600), "{text}");
            }
        }
    }
}
