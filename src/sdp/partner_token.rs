//! Obtains the partner token: it is given, or signed here with the partner's own key.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::SecretString;
use serde::Serialize;

use super::{Failure, Kind};
use crate::config::{PartnerToken, SigningKey, for_provider};

/// The lifetime of a self-signed token, which is used at once.
const LIFE: Duration = Duration::from_secs(300);

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    iat: i64,
    exp: i64,
}

/// The partner token for one login, for the given provider if it depends on one. A file is read again and a command run
/// again each time, on a blocking thread. `key` is the identity's key in the configuration.
pub(super) async fn obtain(
    key: String,
    source: PartnerToken,
    provider: Option<Arc<str>>,
) -> Result<SecretString, Failure> {
    tokio::task::spawn_blocking(move || read(&key, &source, provider.as_deref()))
        .await
        .unwrap_or_else(|_| Err(unusable("the partner token's source panicked".to_owned())))
}

fn read(key: &str, source: &PartnerToken, provider: Option<&str>) -> Result<SecretString, Failure> {
    let secret = match source {
        PartnerToken::Given(secret) => secret.reread(),
        PartnerToken::Command(command) => command.run(provider.ok_or_else(no_provider)?),
        PartnerToken::SelfSigned(signing) => return sign(key, signing, provider),
    };
    let secret = secret.map_err(|error| unusable(format!("{key}.partner_token: {error}")))?;
    Ok(SecretString::from(secret.expose()))
}

fn sign(at: &str, signing: &SigningKey, provider: Option<&str>) -> Result<SecretString, Failure> {
    let key = signing
        .key
        .reread()
        .map_err(|error| unusable(format!("{at} signing_key: {error}")))?;
    let key = EncodingKey::from_rsa_pem(key.expose().as_bytes())
        .map_err(|_| unusable(format!("{at} signing_key is no RSA private key in PEM")))?;
    let subject = for_provider(&signing.subject, provider).ok_or_else(no_provider)?;
    let now = Timestamp::now().as_second();
    let claims = Claims {
        iss: &signing.issuer,
        aud: &signing.audience,
        sub: &subject,
        email: subject.contains('@').then_some(&*subject),
        iat: now,
        exp: now.saturating_add(LIFE.as_secs().cast_signed()),
    };
    let mut header = Header::new(Algorithm::RS256);
    header.kid = (!signing.key_id.is_empty()).then(|| signing.key_id.clone());
    encode(&header, &claims, &key)
        .map(SecretString::from)
        .map_err(|_| unusable(format!("{at} signing_key cannot sign")))
}

fn no_provider() -> Failure {
    unusable("no provider is known for which to get a partner token".to_owned())
}

/// A failure on this side that an operator can fix, so calls are tried again.
fn unusable(reason: String) -> Failure {
    Failure::new(Kind::Outage, None, reason)
}
