//! The cookie that keeps a client with its variant.
//!
//! It is made before the client's first request is assigned and counts for that request already:
//! made afterwards, as Envoy does, it could name another variant than the one that the first answer
//! came from, and the visitor would flip on the second click. 128 random bits: two clients never
//! share one, and nobody guesses another's.
//!
//! `HttpOnly`, since no script needs it; `SameSite=Lax`, so that a link from elsewhere finds the same
//! variant and a foreign form does not; `Secure` where the client came over TLS.

use std::fmt::Write;

use http::HeaderValue;

use crate::split::Mint;

/// A cookie that was just made.
#[derive(Clone, Debug)]
pub struct Minted {
    /// For `set-cookie`.
    pub set: HeaderValue,
    /// `name=value`, as the client will send it back.
    pub pair: String,
}

/// Makes a cookie. `random`: from the system's generator, not from a seeded one. None: the name does
/// not fit in a header, which compiling has excluded.
pub fn mint(mint: &Mint<'_>, secure: bool, random: u128) -> Option<Minted> {
    let mut pair = String::with_capacity(mint.name.len() + 33);
    // Writing to a string cannot fail.
    let _ = write!(pair, "{}={:032x}", mint.name, random);
    let lifetime = mint.lifetime.as_secs();
    let secure = if secure { "; Secure" } else { "" };
    let set = format!("{pair}; Max-Age={lifetime}; Path=/; HttpOnly; SameSite=Lax{secure}");
    Some(Minted { set: HeaderValue::from_str(&set).ok()?, pair })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_says_all_that_a_browser_needs() {
        let wanted = Mint { name: "tg_id", lifetime: Duration::from_secs(60) };
        let plain = mint(&wanted, false, 0xabc).unwrap();
        assert_eq!(plain.pair, "tg_id=00000000000000000000000000000abc");
        assert_eq!(plain.set, format!("{}; Max-Age=60; Path=/; HttpOnly; SameSite=Lax", plain.pair));
        let secure = mint(&wanted, true, u128::MAX).unwrap();
        assert!(secure.set.to_str().unwrap().ends_with("; SameSite=Lax; Secure"));
        assert_eq!(secure.pair.len(), "tg_id=".len() + 32);
    }
}
