//! Bodies whole and in parts, and a reference that reads them with other means.

use proptest::prelude::*;

use super::*;
use crate::proxy::http1::refusal;

/// What passes of a chunked body, and how much of the bytes it was. None: more is to come.
type Outcome = Result<Option<(Vec<u8>, usize)>, Refusal>;

fn in_parts(bytes: &[u8], ends: &[usize]) -> Outcome {
    let mut body = Body::new(Framing::Chunked, 64, 3);
    let (mut out, mut start) = (Vec::new(), 0);
    for end in ends.iter().copied().chain([bytes.len()]) {
        let mut part = bytes[start..end].to_vec();
        let passed = body.pass(&mut part)?;
        out.extend_from_slice(&part[..passed.kept]);
        assert!(passed.kept <= passed.used && passed.used <= part.len());
        if body.is_done() {
            return Ok(Some((out, start + passed.used)));
        }
        assert_eq!(passed.used, part.len());
        start = end;
    }
    Ok(None)
}

fn whole(bytes: &[u8]) -> Outcome {
    in_parts(bytes, &[])
}

#[test]
fn chunks_pass_without_extensions_and_trailers() {
    for (sent, passes) in [
        ("0\r\n\r\n", "0\r\n\r\n"),
        ("3\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        ("0000000000000003\r\nabc\r\n00\r\n\r\n", "0000000000000003\r\nabc\r\n00\r\n\r\n"),
        ("3;a\r\nabc\r\n0;b=c ; d=\"e\\\"\r f\"\r\n\r\n", ""),
        ("3;a\r\nabc\r\n0;b=c ; d=\"e\\\" f\"\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        ("A ; x = y\r\n0123456789\r\n0\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n"),
        ("0\r\na: b\r\nc:\r\n\r\n", "0\r\n\r\n"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "2\r\n\r\n\r\n0\r\n\r\n"),
    ] {
        let next = format!("{sent}GET");
        match whole(next.as_bytes()) {
            Ok(Some((out, used))) => {
                assert_eq!((String::from_utf8(out).unwrap(), used), (passes.into(), sent.len()), "{sent:?}");
            }
            other => assert!(passes.is_empty(), "{sent:?}: {other:?}"),
        }
    }
}

#[test]
fn what_is_not_a_chunk_is_refused() {
    let long = format!("1;{}\r\n", "a".repeat(256));
    let trailer = format!("0\r\na: {}\r\n\r\n", "a".repeat(64));
    for (sent, refusal) in [
        ("\r\n", refusal::BAD_SIZE),
        ("x\r\n", refusal::BAD_SIZE),
        ("0x3\r\nabc\r\n", refusal::BAD_SIZE),
        ("-1\r\n", refusal::BAD_SIZE),
        ("+1\r\n", refusal::BAD_SIZE),
        (" 3\r\n", refusal::BAD_SIZE),
        ("3\nabc\r\n", refusal::BAD_SIZE),
        ("3\rabc", refusal::BAD_SIZE),
        ("3_\r\n", refusal::BAD_SIZE),
        ("3 \r\nabc", refusal::BAD_EXTENSION),
        ("00000000000000003\r\n", refusal::LONG_SIZE),
        ("8000000000000000\r\n", refusal::LONG_SIZE),
        ("3;\r\nabc", refusal::BAD_EXTENSION),
        ("3;\nabc", refusal::BAD_EXTENSION),
        ("3;a=\r\nabc", refusal::BAD_EXTENSION),
        ("3;a\0\r\nabc", refusal::BAD_EXTENSION),
        ("3;a=\"b\r\nabc", refusal::BAD_EXTENSION),
        ("3;a b\r\nabc", refusal::BAD_EXTENSION),
        ("3;a \r\nabc", refusal::BAD_EXTENSION),
        ("3;a=b \r\nabc", refusal::BAD_EXTENSION),
        ("3;a=\"b\" \r\nabc", refusal::BAD_EXTENSION),
        ("3 3\r\nabc", refusal::BAD_EXTENSION),
        (long.as_str(), refusal::LONG_EXTENSION),
        ("3\r\nabcd\r\n", refusal::BAD_END),
        ("3\r\nabc\n", refusal::BAD_END),
        ("3\r\nabc\r\r\n", refusal::BAD_END),
        ("0\r\na b: c\r\n\r\n", refusal::BAD_TRAILER),
        ("0\r\na\r\n\r\n", refusal::BAD_TRAILER),
        ("0\r\na: b\n\r\n", refusal::BAD_TRAILER),
        ("0\r\na: b\r\n c\r\n\r\n", refusal::BAD_TRAILER),
        ("0\r\n\rx", refusal::BAD_TRAILER),
        ("0\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n", refusal::LONG_TRAILER),
        (trailer.as_str(), refusal::LONG_TRAILER),
    ] {
        assert_eq!(whole(sent.as_bytes()), Err(refusal), "{sent:?}");
    }
}

#[test]
fn a_length_is_counted_down() {
    let mut body = Body::new(Framing::Length(5), 0, 0);
    assert_eq!(body.pass(&mut b"abc".to_vec()), Ok(Passed { used: 3, kept: 3 }));
    assert!(!body.is_done());
    assert_eq!(body.pass(&mut b"deGET".to_vec()), Ok(Passed { used: 2, kept: 2 }));
    assert!(body.is_done() && Body::new(Framing::Length(0), 0, 0).is_done());
}

/// The data of a chunked body and how much of the bytes it was, read by splitting.
fn reference(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let line_of = |at: usize| {
        let end = at + bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        Some((&bytes[at..end], end + 2))
    };
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let (line, next) = line_of(at)?;
        let digits = line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        at = next;
        if size == 0 {
            break;
        }
        data.extend_from_slice(bytes.get(at..at + size)?);
        at += size + 2;
    }
    loop {
        let (line, next) = line_of(at)?;
        at = next;
        if line.is_empty() {
            return Some((data, at));
        }
    }
}

/// Bodies that are nearly chunked.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let size =
        prop::sample::select(vec!["3", "03", "3;a", "3;a=b", "3 ;a=\"b\"", "3\t;a ;b", "3;", "0x3", "4", ""]);
    let chunk = size.prop_map(|size| format!("{size}\r\nabc\r\n"));
    let last = prop::sample::select(vec![
        "0\r\n\r\n",
        "0;x\r\n\r\n",
        "0\r\na: b\r\n\r\n",
        "00\r\n\r\nGET / HTTP/1.1",
        "0\r\n",
        "",
    ]);
    let joined = (prop::collection::vec(chunk, 0..4), last)
        .prop_map(|(chunks, last)| (chunks.concat() + last).into_bytes());
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\r\n ;=\"03".to_vec())];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, byte), 0..2);
    (joined, changes).prop_map(|(mut bytes, changes)| {
        for (place, kind, byte) in changes {
            let at = place.index(bytes.len() + 1);
            match kind {
                0 if at < bytes.len() => bytes[at] = byte,
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_cut_changes_nothing(bytes in nearly(), cuts: Vec<prop::sample::Index>) {
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.sort_unstable();
        prop_assert_eq!(in_parts(&bytes, &ends), whole(&bytes));
        let every: Vec<_> = (0..bytes.len()).collect();
        prop_assert_eq!(in_parts(&bytes, &every), whole(&bytes));
    }

    #[test]
    fn a_reference_reads_the_same(bytes in nearly()) {
        if let Ok(Some((out, used))) = whole(&bytes) {
            let (data, length) = reference(&bytes).unwrap();
            prop_assert_eq!(used, length);
            // What passes on is the same data in the same framing, and nothing else.
            prop_assert_eq!(reference(&out), Some((data, out.len())));
            prop_assert_eq!(whole(&out), Ok(Some((out.clone(), out.len()))));
        }
    }

    #[test]
    fn nothing_panics(bytes: Vec<u8>) {
        let every: Vec<_> = (0..bytes.len()).collect();
        prop_assert_eq!(in_parts(&bytes, &every), whole(&bytes));
    }
}
