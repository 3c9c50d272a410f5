//! The library's context of a listener: versions, ciphers, groups, and what is decided for each
//! connection.
//!
//! It follows the intermediate profile of Mozilla's guidelines: TLS 1.2 and 1.3, AEAD with forward
//! secrecy only. Without the DHE ciphers that older editions of the profile had: they cost a server
//! more than a client, and no client of today needs them. X25519MLKEM768 comes first where the
//! library has it. In one thing it departs from the profile: the order is ours, not the client's, so
//! that a client that can do both gets the ECDSA certificate, which is cheaper to sign with, and
//! `testssl.sh` finds nothing. What the client's order is good for stays: one that puts ChaCha20
//! first, as telephones without AES in hardware do, gets it.
//!
//! There is one context for all certificates of a listener, and it outlives them: OpenSSL keeps the
//! keys of session tickets in the context that a connection began with, so a context for each
//! certificate, made anew at each reload, would make every client start over. Which certificate is
//! served is decided for the connection, when the client has named what it wants, out of the set
//! that holds then. A context is made anew when [`tickets`](crate::tls::tickets) asks for it, or when
//! the authorities for clients' certificates change: a resumed session is not verified again.
//!
//! A session can be resumed for two hours, the library's own value, with tickets only: there is no
//! cache to fill. Early data is off (it can be replayed), so are renegotiation and compression.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    AlpnError, NameType, SniError, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions,
    SslRef, SslSessionCacheMode, SslVerifyMode, SslVersion, select_next_proto,
};
use openssl::x509::verify::X509VerifyFlags;

use crate::config::boot::{ClientAuthMode, Tls, TlsVersion};
use crate::tls::set::{Authorities, Set};

/// For TLS 1.2.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/// For TLS 1.3.
const SUITES: &str = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/// The first list that the library knows is used.
const GROUPS: [&str; 2] = ["X25519MLKEM768:X25519:P-256:P-384", "X25519:P-256:P-384"];

/// What is spoken, as ALPN writes it, the preferred first. Clients of HTTP/1.0 that know ALPN name it
/// (`curl --http1.0`).
const PROTOCOLS: &[u8] = b"\x02h2\x08http/1.1\x08http/1.0";

/// Sessions are only resumed where this is the same. Each context has ticket keys of its own, so
/// more is not needed.
const SESSIONS: &[u8] = b"tidegate";

/// The set that a connection was given its certificates from.
fn chosen() -> Option<Index<Ssl, Arc<Set>>> {
    static INDEX: OnceLock<Option<Index<Ssl, Arc<Set>>>> = OnceLock::new();
    *INDEX.get_or_init(|| Ssl::new_ex_index().ok())
}

/// Makes the context of a listener. Certificates come from what `sets` holds when a client comes.
///
/// # Errors
///
/// The library refuses a setting.
pub(crate) fn context(
    tls: &Tls,
    authorities: Option<&Authorities>,
    sets: Arc<ArcSwap<Set>>,
) -> Result<SslContext, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_server())?;
    context.set_min_proto_version(Some(match tls.min_version {
        TlsVersion::V1_2 => SslVersion::TLS1_2,
        TlsVersion::V1_3 => SslVersion::TLS1_3,
    }))?;
    context.set_options(
        SslOptions::NO_COMPRESSION
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::CIPHER_SERVER_PREFERENCE
            | SslOptions::PRIORITIZE_CHACHA,
    );
    // The last gives a connection's buffers back while it is idle.
    context.set_mode(
        SslMode::AUTO_RETRY
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::RELEASE_BUFFERS,
    );
    context.set_cipher_list(CIPHERS)?;
    context.set_ciphersuites(SUITES)?;
    groups(&mut context)?;
    context.set_session_id_context(SESSIONS)?;
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    if let Some((auth, authorities)) = tls.client_auth.as_ref().zip(authorities) {
        verify(&mut context, auth.mode, authorities)?;
    }
    context.set_alpn_select_callback(|_, offered| {
        select_next_proto(PROTOCOLS, offered).ok_or(AlpnError::ALERT_FATAL)
    });
    context.set_servername_callback(move |ssl, _| give(ssl, &sets).map_err(|_| SniError::ALERT_FATAL));
    context.set_status_callback(staple)?;
    Ok(context.build())
}

fn groups(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    let [first, then] = GROUPS;
    context.set_groups_list(first).or_else(|_| context.set_groups_list(then))
}

/// Asks clients for certificates. The authorities are trusted as they stand in the file: one that is
/// itself signed by another need not have that one beside it.
fn verify(
    context: &mut SslContextBuilder,
    mode: ClientAuthMode,
    authorities: &Authorities,
) -> Result<(), ErrorStack> {
    for authority in &authorities.certificates {
        context.cert_store_mut().add_cert(authority.clone())?;
        context.add_client_ca(authority)?;
    }
    context.verify_param_mut().set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    context.set_verify(match mode {
        ClientAuthMode::Require => SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
        ClientAuthMode::Request => SslVerifyMode::PEER,
    });
    Ok(())
}

/// Gives a connection the certificates for what its client asks for. Called for every client, also
/// for one that asks for nothing; twice for one that must send its hello again.
fn give(ssl: &mut SslRef, sets: &ArcSwap<Set>) -> Result<(), ErrorStack> {
    let Some(index) = chosen() else { return Ok(()) };
    if ssl.ex_data(index).is_some() {
        return Ok(());
    }
    let set = sets.load_full();
    let bundles: Vec<_> = set.find(ssl.servername(NameType::HOST_NAME)).collect();
    for bundle in bundles {
        ssl.set_certificate(&bundle.chain[0])?;
        for signer in &bundle.chain[1..] {
            ssl.add_chain_cert(signer.clone())?;
        }
        ssl.set_private_key(&bundle.key)?;
    }
    ssl.set_ex_data(index, set);
    Ok(())
}

/// Staples the response for the certificate that was chosen, if there is one that holds.
fn staple(ssl: &mut SslRef) -> Result<bool, ErrorStack> {
    let Some(set) = chosen().and_then(|index| ssl.ex_data(index)).cloned() else { return Ok(false) };
    let served = ssl.certificate();
    let bundle = served.and_then(|served| set.bundles.iter().find(|bundle| bundle.chain[0] == *served));
    let staple = bundle.and_then(|bundle| bundle.staple.as_ref()).filter(|staple| staple.fresh());
    let Some(staple) = staple else { return Ok(false) };
    ssl.set_ocsp_status(staple.der()).map(|()| true)
}
