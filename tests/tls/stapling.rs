//! OCSP responses: stapled while they hold, refused if they are none.

use std::path::Path;
use std::process::Command;

use crate::kit::{SOON, s_client, says, to};
use crate::support::{Backend, Tidegate, eventually};

/// An authority, a certificate `a` with its issuer behind it, and responses for it: `good.der`,
/// `old.der` (over), and `other.der`, which is about another certificate.
const MAKE: &str = r#"
set -e
new() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 "$@" 2>/dev/null; }
new -keyout ca.key -out ca.pem -subj /CN=ca
for name in a b; do
  new -CA ca.pem -CAkey ca.key -keyout $name.key -out $name.own -subj /CN=$name -addext subjectAltName=DNS:$name.test
  cat $name.own ca.pem > $name.pem
  serial=$(openssl x509 -in $name.own -noout -serial | cut -d= -f2)
  printf 'V\t400101000000Z\t\t%s\tunknown\t/CN=%s\n' $serial $name >> index.txt
done
answer() { openssl ocsp -index index.txt -rsigner ca.pem -rkey ca.key -CA ca.pem -issuer ca.pem "$@" >/dev/null 2>&1 || true; }
answer -cert a.own -ndays 1 -respout good.der
answer -cert b.own -ndays 1 -respout other.der
answer -cert a.own -nmin 0 -respout old.der
"#;

fn make(dir: &Path) {
    let made = Command::new("sh").arg("-c").arg(MAKE).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    assert!(dir.join("other.der").is_file(), "openssl ocsp wrote nothing: {made:?}");
}

#[tokio::test]
async fn a_response_is_stapled_and_followed() {
    let backend = Backend::start("a").await;
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let at = |name: &str| dir.path().join(name);
    std::fs::copy(at("good.der"), at("now.der")).unwrap();
    let key = format!(
        "tls: {{ certificates: [ {{ cert: '{}', key: '{}', ocsp: '{}' }} ] }}",
        at("a.pem").display(),
        at("a.key").display(),
        at("now.der").display()
    );
    let tidegate = Tidegate::new(&to(&backend)).listener_key("http", &key).start().await;
    let addr = tidegate.addr("http");
    for version in ["-tls1_2", "-tls1_3"] {
        let seen = s_client(addr, &["-status", version, "-CAfile", at("ca.pem").to_str().unwrap()]).await;
        assert!(
            says(&seen, "OCSP Response Status: successful") && says(&seen, "Cert Status: good"),
            "{seen}"
        );
        let seen = s_client(addr, &[version]).await;
        assert!(!seen.contains("OCSP Response Status"), "not asked for: {seen}");
    }
    // One for another certificate changes nothing; it is told.
    std::fs::copy(at("other.der"), at("now.der")).unwrap();
    let failed = async || {
        let count = tidegate.metric("tidegate_tls_certificate_reloads_total", &["result=\"failure\""]).await;
        if count >= 1.0 { Ok(()) } else { Err(count) }
    };
    eventually(SOON, failed).await;
    eventually(SOON, async || {
        let said = tidegate.stderr();
        let told = said.contains("listeners[0].tls.certificates[0].ocsp") && said.contains("about another");
        if told { Ok(()) } else { Err(said) }
    })
    .await;
    assert!(says(&s_client(addr, &["-status"]).await, "Cert Status: good"));
    // One that is over is not sent.
    if at("old.der").is_file() {
        std::fs::copy(at("old.der"), at("now.der")).unwrap();
        eventually(SOON, async || {
            let seen = s_client(addr, &["-status"]).await;
            if says(&seen, "OCSP response: no response sent") { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}
