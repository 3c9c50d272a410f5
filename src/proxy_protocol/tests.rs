use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

fn whole(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Ok(Progress::Whole { header, length }) if length == bytes.len() => header,
        other => panic!("{other:?} of {bytes:?}"),
    }
}

fn proxied(source: &str, destination: &str) -> Header {
    Header::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE.as_slice(), &[command, family], &length, body].concat()
}

/// Feeds exactly as many bytes as are asked for.
fn fed(bytes: &[u8]) -> (Result<Progress, Malformed>, usize) {
    let mut taken = 0;
    loop {
        match parse(&bytes[..taken]) {
            Ok(Progress::Needs(more)) if taken + more <= bytes.len() => {
                assert!(more > 0);
                taken += more;
            }
            other => return (other, taken),
        }
    }
}

#[test]
fn lines_of_version_1() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n";
    assert_eq!(whole(line), proxied("192.0.2.1:56324", "198.51.100.7:443"));
    let line = b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 1 65535\r\n";
    assert_eq!(whole(line), proxied("[2001:db8::1]:1", "[::ffff:1.2.3.4]:65535"));
    assert_eq!(whole(b"PROXY UNKNOWN\r\n"), Header::Local);
    assert_eq!(whole(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), Header::Local);
}

#[test]
fn what_is_no_line_of_version_1() {
    use Malformed::{Invalid, Missing, TooLong};
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    for (text, why) in [
        ("GET / HTTP/1.1\r\n", Missing),
        ("POST / HTTP/1.1\r\n", Missing),
        ("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Missing),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", Invalid),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", Invalid),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", Invalid),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", Invalid),
        ("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Invalid),
        ("PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", Invalid),
        ("PROXY TCP4\t1.2.3.4 1.2.3.4 1 2\r\n", Invalid),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", Invalid),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", Invalid),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", Invalid),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", Invalid),
        ("PROXY TCP4 1.2.3.004 1.2.3.4 1 2\r\n", Invalid),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", Invalid),
        ("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", Invalid),
        ("PROXY TCP6 [::1] [::1] 1 2\r\n", Invalid),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", Invalid),
        ("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", Invalid),
        ("PROXY UNKNOWNX\r\n", Invalid),
        ("PROXY \r\n", Invalid),
        (&long, TooLong),
    ] {
        assert_eq!(parse(text.as_bytes()), Err(why), "{text:?}");
    }
}

#[test]
fn blocks_of_version_2() {
    let tcp4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
    assert_eq!(whole(&v2(0x21, 0x11, &tcp4)), proxied("192.0.2.1:4660", "10.0.0.1:80"));
    let with_alpn = [tcp4.as_slice(), &[1, 0, 2, b'h', b'2'], &[4, 0, 0]].concat();
    assert_eq!(whole(&v2(0x21, 0x11, &with_alpn)), proxied("192.0.2.1:4660", "10.0.0.1:80"));
    let mut tcp6 = [0; 36];
    (tcp6[15], tcp6[31], tcp6[33], tcp6[35]) = (1, 2, 9, 10);
    assert_eq!(whole(&v2(0x21, 0x21, &tcp6)), proxied("[::1]:9", "[::2]:10"));
    for (command, family, body) in [
        (0x20, 0x00, &[][..]),
        (0x20, 0x11, &tcp4[..]),
        (0x20, 0x77, &[1, 2, 3][..]),
        (0x21, 0x00, &[9, 9][..]),
        (0x21, 0x12, &tcp4[..]),
        (0x21, 0x31, &[0; 216][..]),
        (0x21, 0x32, &[0; 220][..216]),
    ] {
        assert_eq!(whole(&v2(command, family, body)), Header::Local, "{command:x} {family:x}");
    }
}

#[test]
fn what_is_no_block_of_version_2() {
    use Malformed::{Invalid, Missing, TooLong};
    let tcp4 = [0; 12];
    for (bytes, why) in [
        (b"\r\n\r\nGET / HTTP/1.1\r\n".to_vec(), Missing),
        (b"\x16\x03\x01\x02\x00".to_vec(), Missing),
        (v2(0x11, 0x11, &tcp4), Invalid),
        (v2(0x22, 0x11, &tcp4), Invalid),
        (v2(0x21, 0x13, &tcp4), Invalid),
        (v2(0x21, 0x41, &tcp4), Invalid),
        (v2(0x21, 0x11, &tcp4[..11]), Invalid),
        (v2(0x21, 0x21, &tcp4), Invalid),
        (v2(0x21, 0x31, &tcp4), Invalid),
        (v2(0x21, 0x11, &[0; 14]), Invalid),
        (v2(0x21, 0x11, &[[0; 12].as_slice(), &[1, 0, 9, 1]].concat()), Invalid),
        (v2(0x21, 0x11, &[[0; 12].as_slice(), &[CRC32C, 0, 1, 1]].concat()), Invalid),
        (v2(0x21, 0x11, &[0; 4097]), TooLong),
        (v2(0x20, 0x00, &[0; 4097])[..FIXED].to_vec(), TooLong),
    ] {
        assert_eq!(parse(&bytes), Err(why), "{bytes:?}");
    }
}

#[test]
fn a_checksum_is_compared_where_there_is_one() {
    let body = |sum: u32| {
        let addresses = [1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10];
        [addresses.as_slice(), &[4, 0, 1, 0, CRC32C, 0, 4], &sum.to_be_bytes(), &[5, 0, 1, 7]].concat()
    };
    let sum = crc32c::checksum(&[&v2(0x21, 0x11, &body(0))]);
    assert_eq!(whole(&v2(0x21, 0x11, &body(sum))), proxied("1.2.3.4:9", "5.6.7.8:10"));
    assert_eq!(parse(&v2(0x21, 0x11, &body(sum ^ 1))), Err(Malformed::Checksum));
}

#[test]
fn two_families_are_written_as_one() {
    let header = proxied("1.2.3.4:5", "[2001:db8::1]:6");
    let text = write(Version::V1, &header);
    assert_eq!(text, b"PROXY TCP6 ::ffff:1.2.3.4 2001:db8::1 5 6\r\n");
    assert_eq!(whole(&write(Version::V2, &header)), proxied("[::ffff:1.2.3.4]:5", "[2001:db8::1]:6"));
    let mapped = proxied("[::ffff:1.2.3.4]:5", "[::ffff:4.3.2.1]:6");
    assert_eq!(write(Version::V1, &mapped), b"PROXY TCP4 1.2.3.4 4.3.2.1 5 6\r\n");
}

fn any_header() -> impl Strategy<Value = Header> {
    let address = |wide: bool| {
        let ip = if wide {
            any::<[u8; 16]>().prop_map(std::net::IpAddr::from).boxed()
        } else {
            any::<[u8; 4]>().prop_map(std::net::IpAddr::from).boxed()
        };
        (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
    };
    let pair = any::<bool>().prop_flat_map(move |wide| (address(wide), address(wide)));
    prop_oneof![
        1 => Just(Header::Local),
        9 => pair.prop_filter("of one family", |(a, b)| a.is_ipv4() == b.is_ipv4())
            .prop_map(|(source, destination)| Header::Proxied { source, destination }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_written_is_read(header in any_header(), tail in any::<[u8; 4]>(), second in any::<bool>()) {
        let version = if second { Version::V2 } else { Version::V1 };
        let bytes = write(version, &header);
        prop_assert!(second || bytes.len() <= MOST_V1);
        prop_assert_eq!(whole(&bytes), header);
        let longer = [bytes.as_slice(), &tail].concat();
        let (read, taken) = fed(&longer);
        prop_assert_eq!(read, Ok(Progress::Whole { header, length: bytes.len() }));
        prop_assert_eq!(taken, bytes.len(), "not a byte of what follows is asked for");
        for length in 0..bytes.len() {
            let asks = matches!(parse(&bytes[..length]), Ok(Progress::Needs(more)) if length + more <= bytes.len());
            prop_assert!(asks, "{}", length);
        }
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..300), start in 0..3_usize) {
        let starts = [&[][..], WORD.as_slice(), SIGNATURE.as_slice()];
        let bytes = [starts[start], &bytes].concat();
        let (read, taken) = fed(&bytes);
        prop_assert!(taken <= MOST);
        if let Ok(Progress::Whole { length, .. }) = read {
            prop_assert_eq!(length, taken);
        }
    }

    #[test]
    fn a_flipped_bit_does_no_harm(header in any_header(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        for version in [Version::V1, Version::V2] {
            let mut bytes = write(version, &header);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let _ = fed(&bytes);
        }
    }
}
