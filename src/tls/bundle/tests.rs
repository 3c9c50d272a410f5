use super::*;
use crate::tls::testing::{certificate, ecdsa, rsa, write};

fn flaws(files: &Certificate) -> Vec<(&'static str, String)> {
    let flaws = Bundle::read(files).err().unwrap_or_default();
    flaws.into_iter().map(|flaw| (flaw.key, flaw.what)).collect()
}

#[test]
fn a_chain_its_names_and_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let root = certificate(&["root"], ecdsa(), 90, None);
    let own = certificate(&["A.test", "*.a.test", "https://x"], rsa(2048), 90, Some(&root));
    let files = write(dir.path(), "a", &[&own, &root]);
    let bundle = Bundle::read(&files).map_err(|flaws| format!("{flaws:?}")).unwrap();
    assert_eq!(bundle.names, ["a.test".into(), "*.a.test".into()]);
    assert_eq!((bundle.chain.len(), bundle.doubts(&files)), (2, Vec::new()));
    let days = (bundle.expires - unix(&Asn1Time::days_from_now(0).unwrap())) as f64 / 86_400.0;
    assert!((days - 90.0).abs() < 0.1, "{days}");
}

#[test]
fn each_file_that_cannot_be_used_is_told_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (
        certificate(&["a"], ecdsa(), 9, None),
        certificate(&["b"], ecdsa(), 9, Some(&certificate(&["r"], ecdsa(), 9, None))),
    );
    let (one, two) = (write(dir.path(), "one", &[&one]), write(dir.path(), "two", &[&other, &one]));
    let mixed = Certificate { key: one.key.clone(), ..two.clone() };
    let problem = &Bundle::read(&mixed).err().unwrap()[0];
    assert_eq!(
        (problem.key, problem.hint),
        ("key", "it is the key of a later certificate in that file; put that one first")
    );
    let mixed = Certificate { key: two.key, ..one.clone() };
    assert!(flaws(&mixed)[0].1.ends_with("one.pem"), "{:?}", flaws(&mixed));
    let swapped = Certificate { cert: one.key.clone(), key: one.cert.clone(), ocsp: Some("/nowhere".into()) };
    let keys: Vec<_> = flaws(&swapped).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["cert", "key", "ocsp"]);
    let locked =
        ecdsa().private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_128_cbc(), b"secret").unwrap();
    std::fs::write(dir.path().join("locked.key"), locked).unwrap();
    let locked = Certificate { key: dir.path().join("locked.key"), ..one };
    assert!(flaws(&locked)[0].1.contains("it is encrypted"), "{:?}", flaws(&locked));
}

#[test]
fn a_key_that_the_library_finds_too_short_is_told_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let files = write(dir.path(), "short", &[&certificate(&["a"], rsa(1024), 9, None)]);
    assert!(flaws(&files)[0].1.ends_with("ee key too small"), "{:?}", flaws(&files));
}

#[test]
fn what_is_over_or_for_nobody_is_odd_and_served() {
    let dir = tempfile::tempdir().unwrap();
    for (name, pair, odd) in [
        ("over", certificate(&["a"], ecdsa(), 0, None), "is over since"),
        ("nobody", certificate(&[], ecdsa(), 9, None), "is for no name"),
    ] {
        let files = write(dir.path(), name, &[&pair]);
        let doubts = Bundle::read(&files).map_err(|flaws| format!("{flaws:?}")).unwrap().doubts(&files);
        assert!(doubts.len() == 1 && doubts[0].what.contains(odd), "{doubts:?}");
    }
}
