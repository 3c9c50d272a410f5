//! Reads a query string the way forms write it, without allocating.
//!
//! Names and values are percent-decoded and `+` is a space, since that is what every server behind
//! this proxy will read; matching the raw text would let `?%64ebug=1` past a condition on `debug`.
//! An escape that is no escape (`%zz`) stands for itself. Only `&` separates; a name without `=`
//! has an empty value; empty pieces are skipped.

/// A name or value as it stands in the query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoded<'a>(&'a str);

/// Decoded texts up to this length stay on the stack; only a longer one costs an allocation.
const ON_STACK: usize = 256;

/// All values that a query has under a (decoded) name, in order.
pub(super) fn values<'a>(query: Option<&'a str>, name: &'a str) -> impl Iterator<Item = Encoded<'a>> {
    query
        .unwrap_or_default()
        .split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
        .filter(move |(key, _)| Encoded(key).is(name))
        .map(|(_, value)| Encoded(value))
}

// === impl Encoded ===

impl<'a> Encoded<'a> {
    /// Gives the decoded text to `read`, or `None` where it is not UTF-8.
    pub(super) fn with<T>(self, read: impl FnOnce(Option<&str>) -> T) -> T {
        if self.is_plain() {
            return read(Some(self.0));
        }
        // Decoding never lengthens, so the encoded length is enough.
        let mut short = [0; ON_STACK];
        let mut long;
        let room = if self.0.len() <= ON_STACK {
            &mut short[..]
        } else {
            long = vec![0; self.0.len()];
            &mut long[..]
        };
        let mut length = 0;
        for (slot, byte) in room.iter_mut().zip(self.bytes()) {
            *slot = byte;
            length += 1;
        }
        read(std::str::from_utf8(&room[..length]).ok())
    }

    fn is(self, text: &str) -> bool {
        if self.is_plain() { self.0 == text } else { self.bytes().eq(text.bytes()) }
    }

    fn is_plain(self) -> bool {
        !self.0.bytes().any(|b| matches!(b, b'%' | b'+'))
    }

    fn bytes(self) -> impl Iterator<Item = u8> + use<'a> {
        let mut rest = self.0.as_bytes();
        std::iter::from_fn(move || {
            let (&first, tail) = rest.split_first()?;
            rest = tail;
            Some(match first {
                b'+' => b' ',
                b'%' => match escape(tail) {
                    Some(byte) => {
                        rest = &tail[2..];
                        byte
                    }
                    None => b'%',
                },
                other => other,
            })
        })
    }
}

/// The byte that two hexadecimal digits stand for.
fn escape(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(query: &str, name: &str) -> Vec<Option<String>> {
        values(Some(query), name).map(|value| value.with(|text| text.map(str::to_owned))).collect()
    }

    #[test]
    fn queries_read_as_forms_write_them() {
        let some = |texts: &[&str]| texts.iter().map(|t| Some((*t).to_owned())).collect::<Vec<_>>();
        for (query, name, want) in [
            ("a=1&b=2", "a", &["1"][..]),
            ("a=1&a=2", "a", &["1", "2"]),
            ("a", "a", &[""]),
            ("a=", "a", &[""]),
            ("&&a=1&", "a", &["1"]),
            ("", "", &[]),
            ("=x", "", &["x"]),
            ("%61=b%20c+d", "a", &["b c d"]),
            ("a+b=1", "a b", &["1"]),
            ("a=%zz%4", "a", &["%zz%4"]),
            ("a=1=2", "a", &["1=2"]),
            ("A=1;a=2", "a", &[]),
        ] {
            assert_eq!(all(query, name), some(want), "{query}");
        }
        assert_eq!(all("a=%ff", "a"), [None]);
        assert_eq!(values(None, "a").count(), 0);
    }

    #[test]
    fn long_values_decode_too() {
        let long = "%41".repeat(1000);
        assert_eq!(all(&format!("a={long}"), "a"), [Some("A".repeat(1000))]);
    }
}
