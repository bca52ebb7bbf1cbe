//! `completions` and `man`: make the files that a package installs besides the binary. They are hidden, since users
//! hardly need them.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap_complete::Shell;

use crate::terminal::ExitStatus;

const COMPLETIONS: &str = "Example:
  suki-receiver completions bash > /etc/bash_completion.d/suki-receiver";

/// The arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

const MAN: &str = "Example:
  suki-receiver man /usr/local/share/man/man1";

/// The arguments of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = MAN)]
pub(super) struct Man {
    /// The folder to write to, which is there; one page for each command
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn completions(
    args: &Completions,
    mut command: clap::Command,
) -> anyhow::Result<ExitStatus> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "suki-receiver", &mut text);
    std::io::stdout()
        .write_all(&text)
        .context("cannot write to the standard output")?;
    Ok(ExitStatus::Success)
}

pub(super) fn man(args: &Man, command: clap::Command) -> anyhow::Result<ExitStatus> {
    clap_mangen::generate_to(command, &args.folder)
        .with_context(|| format!("cannot write to {}", args.folder.display()))?;
    Ok(ExitStatus::Success)
}
