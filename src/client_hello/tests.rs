use proptest::prelude::*;

use super::*;

fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [length.as_slice(), bytes].concat()
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().as_slice(), &vector(value)].concat()
}

fn server_name(name: &str) -> Vec<u8> {
    let entry = [&[0], vector(name.as_bytes()).as_slice()].concat();
    extension(0, &vector(&entry))
}

/// The message with these extensions; None: without any.
fn message(extensions: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([&[32], [9; 32].as_slice()].concat());
    body.extend(vector(&[0x0a, 0x0a, 0x13, 0x01]));
    body.extend([1, 0]);
    body.extend(extensions.map(vector).unwrap_or_default());
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &length[1..], &body].concat()
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|piece| [&[22, 3, 1], vector(piece).as_slice()].concat()).collect()
}

fn read(bytes: &[u8], size: usize) -> Result<Step, Unreadable> {
    let mut reader = Reader::default();
    for piece in bytes.chunks(size) {
        match reader.feed(piece)? {
            Step::More => {}
            step => return Ok(step),
        }
    }
    Ok(Step::More)
}

fn one(extensions: &[u8]) -> Result<Step, Unreadable> {
    read(&records(&message(Some(extensions)), 1 << 14), 1 << 14)
}

fn name(name: &str) -> Result<Step, Unreadable> {
    Ok(Step::Name(Some(name.into())))
}

#[test]
fn a_name_is_found_among_others() {
    let grease = extension(0x1a1a, &[0]);
    let alpn = extension(16, &vector(b"\x02h2"));
    assert_eq!(one(&[grease, alpn.clone(), server_name("A.Example.com.")].concat()), name("a.example.com"));
    assert_eq!(one(&[server_name("b"), extension(0xfafa, &[]), alpn.clone()].concat()), name("b"));
    assert_eq!(one(&alpn), Ok(Step::Name(None)));
    assert_eq!(one(&[]), Ok(Step::Name(None)));
    assert_eq!(read(&records(&message(None), 999), 9), Ok(Step::Name(None)));
}

#[test]
fn what_is_not_one_hello_with_one_name() {
    use Unreadable::{Malformed, NotTls, TooLong};
    for extensions in [
        [server_name("a"), server_name("a")].concat(),
        server_name(""),
        server_name("."),
        server_name("a b"),
        server_name("a/b"),
        server_name("\u{e9}"),
        server_name("a\0.com"),
        server_name(&"a".repeat(254)),
        extension(0, &[]),
        extension(0, &vector(&[])),
        extension(0, &vector(&[1, 0, 1, b'a'])),
        extension(0, &vector(&[0, 0, 1, b'a', 0, 0, 1, b'b'])),
        extension(0, &vector(&[0, 0, 9, b'a'])),
        extension(0, &[vector(&[0, 0, 1, b'a']).as_slice(), &[0]].concat()),
        vec![0],
        vec![0, 0, 0, 9, 1],
    ] {
        assert_eq!(one(&extensions), Err(Malformed), "{extensions:?}");
    }
    for (bytes, why) in [
        (&b"GET / HTTP/1.1\r\n"[..], NotTls),
        (&b"\x15\x03\x01\x00\x02\x02\x28"[..], NotTls),
        (&b"\x16\x02\x00\x00\x05"[..], NotTls),
        (&b"\x16\x03\x01\x00\x00"[..], Malformed),
        (&b"\x16\x03\x01\x40\x01"[..], Malformed),
        (&b"\x16\x03\x01\x00\x04\x02\x00\x00\x00"[..], Malformed),
        (&b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"[..], Malformed),
        (&b"\x16\x03\x01\x00\x04\x01\x00\x40\x00"[..], TooLong),
        (&b"\x16\x03\x01\x00\x01\x01\x17\x03\x03\x00\x01"[..], Malformed),
        (&b"\x80\x2e\x01\x03\x01"[..], NotTls),
    ] {
        assert_eq!(read(bytes, 64), Err(why), "{bytes:?}");
    }
    let mut longer = message(Some(&server_name("a")));
    longer.push(0);
    longer[3] += 1;
    assert_eq!(read(&records(&longer, 999), 99), Err(Malformed), "bytes after the extensions");
}

#[test]
fn the_longest_hello_passes_and_tiny_records_end() {
    let fixed = message(Some(&server_name("a"))).len() + 4;
    let padded =
        |length: usize| message(Some(&[extension(21, &vec![0; length - fixed]), server_name("a")].concat()));
    assert_eq!(padded(MOST).len(), MOST);
    assert_eq!(read(&records(&padded(MOST), 1 << 14), 1 << 14), name("a"));
    assert_eq!(read(&records(&padded(MOST + 1), 1 << 13), 1), Err(Unreadable::TooLong));
    assert_eq!(read(&records(&padded(MOST), 1), 1), Err(Unreadable::TooLong));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn however_it_is_cut(host in "[a-z0-9-]{1,20}(\\.[a-z]{1,8}){0,3}", record in 1..700_usize, piece in 1..700_usize,
        other in proptest::collection::vec(any::<u8>(), 0..300)) {
        let extensions = [extension(0xcaca, &other), server_name(&host), extension(51, &other)].concat();
        let bytes = records(&message(Some(&extensions)), record);
        prop_assert_eq!(read(&bytes, piece), name(&host));
        prop_assert_eq!(read(&bytes[..bytes.len() - 1], piece), Ok(Step::More));
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1..50_usize) {
        let _ = read(&bytes, piece);
        let _ = read(&records(&bytes, 100), piece);
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        let _ = read(&records(&[&[1], &length[1..], &bytes].concat(), 1 << 14), piece);
    }

    #[test]
    fn a_flipped_bit_does_no_harm(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = records(&message(Some(&server_name("www.example.com"))), 50);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = read(&bytes, 7);
    }
}
