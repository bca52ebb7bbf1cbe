//! `sign`: prints the two headers that sign a body.

use std::path::PathBuf;

use jiff::Timestamp;

use super::input;
use crate::signature::sign;
use crate::terminal::ExitStatus;
use crate::terminal::emit;

const EXAMPLE: &str = "Example:
  suki-receiver sign --secret-file secret.txt body.json
  curl -H \"$(suki-receiver sign --secret-file s --generated-at 1765977748432 b | head -1)\" …";

/// The arguments of `sign`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// File that holds the secret
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// Time of sending in Unix milliseconds [default: now]
    #[arg(long, value_name = "MS")]
    generated_at: Option<u64>,
    /// File that holds the body, or - for standard input
    #[arg(value_name = "BODYFILE")]
    body: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let (secret, body) = (
        input::secret(&args.secret_file)?,
        input::body(args.body.as_deref())?,
    );
    let generated_at = match args.generated_at {
        Some(millis) => millis.to_string(),
        None => Timestamp::now().as_millisecond().to_string(),
    };
    let signature = sign(&secret, &generated_at, &body);
    emit(format!("X-API-Key: {signature}\ngenerated-at: {generated_at}\n").as_bytes())?;
    Ok(ExitStatus::Success)
}
