//! The published vectors, which a Python program made, against the code.

use crate::split::rendezvous::{self, Draw};

/// The keys as `vectors.md` writes them.
fn key(written: &str) -> Vec<u8> {
    if let Some(hex) = written.strip_prefix("hex:") {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        return (0..hex.len()).step_by(2).map(byte).collect();
    }
    match written.strip_prefix('"').and_then(|rest| rest.split_once("\"*")) {
        Some((text, times)) => text.repeat(times.parse().unwrap()).into_bytes(),
        None => written.as_bytes().to_vec(),
    }
}

#[test]
fn the_published_vectors_hold() {
    let text = include_str!("../vectors.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert!(rows.len() >= 50, "{} rows", rows.len());
    for row in rows {
        let [seed, written, variants, hashes, winner] = row[..] else { panic!("{row:?}") };
        let variants: Vec<(&str, f64)> = variants
            .split(' ')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, weight)| (name, weight.parse().unwrap()))
            .collect();
        let key = key(written);
        let mut draw = Draw::new(seed.as_bytes(), &key);
        let got: Vec<_> = variants.iter().map(|(name, _)| format!("{:016x}", draw.hash(name))).collect();
        assert_eq!(got.join(" "), hashes, "{row:?}");
        let chosen = rendezvous::choose(&mut draw, variants.iter().copied());
        assert_eq!(chosen.map_or("none", |index| variants[index].0), winner, "{row:?}");
    }
}
