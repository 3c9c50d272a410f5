//! Which bytes may stand where (RFC 9110 5.5 and 5.6.2, RFC 3986).

use memchr::memchr;

/// What a byte may be part of.
static CLASS: [u8; 256] = classes();

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const TARGET: u8 = 4;

/// A method or a field name may hold it.
pub(in crate::proxy) fn is_token(byte: u8) -> bool {
    CLASS[usize::from(byte)] & TOKEN != 0
}

/// A field value may hold it: no control character but the tab. Bytes above 127 are allowed there
/// (obs-text), since old clients send names in Latin-1 and nobody frames by them.
pub(super) fn is_value(byte: u8) -> bool {
    CLASS[usize::from(byte)] & VALUE != 0
}

/// Whether it may be a request target. RFC 3986 leaves `\\ ^ { | }` and the back tick out too;
/// browsers send them as they are in a query, so they pass there, and all but the last in a path.
pub(in crate::proxy) fn is_target(target: &[u8]) -> bool {
    let query = memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at(query);
    let fits = |byte: &u8| CLASS[usize::from(*byte)] & TARGET != 0;
    path.iter().all(|byte| *byte != b'`' && fits(byte)) && query.iter().all(fits)
}

/// Whether all bytes may stand in a field value. Written so that the compiler takes many at a time.
pub(super) fn all_value(bytes: &[u8]) -> bool {
    let bad = |byte: u8| u8::from(byte < b' ') & u8::from(byte != b'\t') | u8::from(byte == 0x7f);
    bytes.iter().fold(0, |found, byte| found | bad(*byte)) == 0
}

/// Without the blanks and tabs at both ends.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut index = 0;
    while index < 256 {
        // The index is below 256.
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let byte = index as u8;
        if byte.is_ascii_alphanumeric() || is_one_of(byte, b"!#$%&'*+-.^_`|~") {
            classes[index] |= TOKEN;
        }
        if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            classes[index] |= VALUE;
        }
        if byte > b' ' && byte < 0x7f && !is_one_of(byte, b"\"#<>") {
            classes[index] |= TARGET;
        }
        index += 1;
    }
    classes
}

const fn is_one_of(byte: u8, set: &[u8]) -> bool {
    let mut index = 0;
    while index < set.len() {
        if set[index] == byte {
            return true;
        }
        index += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stand_where_they_may() {
        for byte in 0..=255_u8 {
            let token = byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_token(byte), token, "{byte}");
            let value = byte == b'\t' || !byte.is_ascii_control();
            assert_eq!((is_value(byte), all_value(&[b'a', byte])), (value, value), "{byte}");
            let target = byte.is_ascii_graphic() && !b"\"#<>".contains(&byte);
            assert_eq!(is_target(&[b'/', b'?', byte]), target, "{byte}");
            assert_eq!(is_target(&[b'/', byte]), target && byte != b'`', "{byte}");
        }
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
    }
}
