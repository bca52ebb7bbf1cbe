//! `verify`: checks the signature of a body.

use std::path::PathBuf;

use bytes::Bytes;

use super::input;
use crate::signature::{Claim, SecretBytes, Secrets, SentBody, verify};
use crate::terminal::ExitStatus;
use crate::terminal::emit;

const EXAMPLE: &str = "Example:
  suki-receiver verify --secret-file secret.txt --generated-at 1765977748432 --signature 760d16… body.json";

/// The arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// File that holds the secret
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// The generated-at header as received
    #[arg(long, value_name = "MS")]
    generated_at: String,
    /// The X-API-Key header as received
    #[arg(long, value_name = "HEX")]
    signature: String,
    /// File that holds the body, or - for standard input
    #[arg(value_name = "BODYFILE")]
    body: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let (secret, body) = (
        input::secret(&args.secret_file)?,
        input::body(args.body.as_deref())?,
    );
    let secrets = Secrets::new([SecretBytes {
        id: "given",
        key: &secret,
    }]);
    let (signature, generated_at) = (args.signature.as_bytes(), args.generated_at.as_bytes());
    Ok(
        match verify(
            &secrets,
            &Claim::of(Some(signature), Some(generated_at)),
            &SentBody::plain(Bytes::from(body)),
        ) {
            Ok(_) => {
                emit(b"the signature holds\n")?;
                ExitStatus::Success
            }
            Err(rejection) => {
                emit(format!("the signature does not hold: {rejection}\n").as_bytes())?;
                ExitStatus::Failure
            }
        },
    )
}
