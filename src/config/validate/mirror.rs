//! Mirrors: a share is a share, a method is one that a request can have.

use crate::config::Problem;
use crate::config::live::{Live, Mirror};

use super::route::known_cluster;

/// Those that a lower-case word is taken for.
const STANDARD: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];

pub(super) fn check(path: &str, mirror: &Mirror, live: &Live, problems: &mut Vec<Problem>) {
    known_cluster(&format!("{path}.cluster"), &mirror.cluster, live, problems);
    if !(0.0..=1.0).contains(&mirror.fraction) {
        let what = format!("{} is not a share", mirror.fraction);
        let hint = match mirror.fraction {
            percent if percent > 1.0 && percent <= 100.0 => {
                format!("give 0 to 1; {percent} percent are {}", percent / 100.0)
            }
            _ => "give 0 to 1".into(),
        };
        problems.push(Problem::new(format!("{path}.fraction"), what).hint(hint));
    }
    for (index, text) in mirror.methods.iter().enumerate() {
        if let Some((what, hint)) = method(text) {
            problems.push(Problem::new(format!("{path}.methods[{index}]"), what).hint(hint));
        }
    }
}

/// What is wrong with a method, and what to do.
fn method(text: &str) -> Option<(String, String)> {
    let upper = text.to_ascii_uppercase();
    if upper == "CONNECT" {
        return Some(("CONNECT is not mirrored".into(), "it is answered 405; leave it out".into()));
    }
    if text != upper && STANDARD.contains(&upper.as_str()) {
        let what = format!("no request has the method `{text}`; methods are case-sensitive");
        return Some((what, format!("write `{upper}`")));
    }
    let word = http::Method::from_bytes(text.as_bytes()).is_ok();
    let hint = "a method is one word of letters, digits and `-`, such as GET";
    (!word).then(|| (format!("`{text}` is not a method"), hint.into()))
}
