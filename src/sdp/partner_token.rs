//! Where the partner token comes from: given, or signed here with the partner's own key.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::SecretString;
use serde::Serialize;

use super::{Failure, Kind};
use crate::config::{PartnerToken, SigningKey};

/// How long a self-signed token is valid. It is used at once.
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

/// The partner token for one login. A file or command is read again, off the runtime's threads.
pub(super) async fn obtain(source: &PartnerToken) -> Result<SecretString, Failure> {
    let source = source.clone();
    tokio::task::spawn_blocking(move || read(&source))
        .await
        .unwrap_or_else(|_| Err(unusable("the partner token's source panicked".to_owned())))
}

fn read(source: &PartnerToken) -> Result<SecretString, Failure> {
    match source {
        PartnerToken::Given(secret) => {
            let secret = secret
                .reread()
                .map_err(|error| unusable(format!("sdp.auth.partner_token: {error}")))?;
            Ok(SecretString::from(secret.expose()))
        }
        PartnerToken::SelfSigned(signing) => sign(signing),
    }
}

fn sign(signing: &SigningKey) -> Result<SecretString, Failure> {
    let key = signing
        .key
        .reread()
        .map_err(|error| unusable(format!("sdp.auth signing_key: {error}")))?;
    let key = EncodingKey::from_rsa_pem(key.expose().as_bytes())
        .map_err(|_| unusable("sdp.auth signing_key is no RSA private key in PEM".to_owned()))?;
    let now = Timestamp::now().as_second();
    let claims = Claims {
        iss: &signing.issuer,
        aud: &signing.audience,
        sub: &signing.subject,
        email: signing.subject.contains('@').then_some(&signing.subject),
        iat: now,
        exp: now.saturating_add(LIFE.as_secs().cast_signed()),
    };
    let mut header = Header::new(Algorithm::RS256);
    header.kid = (!signing.key_id.is_empty()).then(|| signing.key_id.clone());
    encode(&header, &claims, &key)
        .map(SecretString::from)
        .map_err(|_| unusable("sdp.auth signing_key cannot sign".to_owned()))
}

/// Our own fault, and one that an operator can mend: what waits is tried again.
fn unusable(reason: String) -> Failure {
    Failure {
        kind: Kind::Outage,
        status: None,
        after: None,
        reason,
    }
}
