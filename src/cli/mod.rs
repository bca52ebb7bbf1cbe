//! The command line: one enum of commands, one match, and one file for each command.
//!
//! Results go to stdout, everything else to stderr. The exit code is 0 for success, 1 for failure, and 2 for an error
//! in usage or configuration.

mod check;
mod events;
mod healthcheck;
mod input;
mod packaging;
mod send;
mod serve;
mod sessions;
mod sign;
mod simulate;
mod sinks;
mod store;
mod user;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::app::{Asks, faults};
use crate::config::{Config, Env, LoadOptions, Loaded, Problems};
use crate::lab::{demo, torture};
use crate::terminal::{ExitStatus, chain, note};

/// Receives Suki's session notifications, keeps them, follows their links and delivers the result.
#[derive(Debug, Parser)]
#[command(
    name = "suki-receiver",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
#[command(
    after_help = "Start here:\n  suki-receiver demo      the whole job on this machine, no account and no configuration needed"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM or SIGINT
    Serve(serve::Args),
    /// Demonstrate the whole path on this machine: send, receive, follow, deliver, and account for all
    Demo(demo::Args),
    /// Validate the configuration and print the effective one, secrets masked
    Check(check::Args),
    /// Print the two headers that sign a body
    Sign(sign::Args),
    /// Check a body's signature: exit code 0 when it holds, 1 when not
    Verify(verify::Args),
    /// Look at stored events, replay or export them
    Events(events::Args),
    /// Register expected sessions, and see their states
    Sessions(sessions::Args),
    /// See the deliveries that wait for each sink; pause sinks, drop or readdress deliveries
    Sinks(sinks::Args),
    /// Check, copy, restore or create the whole store
    Store(store::Args),
    /// Send signed notifications, one or a load, and count the answers
    Send(send::Args),
    /// Run a simulated SDP API, with faults on demand
    Simulate(simulate::Args),
    /// Prove that nothing is lost: send while everything is killed, cut, filled and stopped, then count
    Torture(torture::Args),
    /// Ask a running receiver whether it is ready: exit code 0 when it is
    Healthcheck(healthcheck::Args),
    /// Print a script that completes commands in a shell
    #[command(hide = true)]
    Completions(packaging::Completions),
    /// Write the manual pages
    #[command(hide = true)]
    Man(packaging::Man),
}

/// The sources of the configuration.
#[derive(Debug, Clone, Args)]
struct ConfigArgs {
    /// Configuration file [default: $SUKI_RECEIVER_CONFIG, config/receiver.toml, /etc/suki-receiver/receiver.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key over file and environment, e.g. --set server.listen=127.0.0.1:8080 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    overrides: Vec<(String, String)>,
}

impl ConfigArgs {
    /// Loads the configuration.
    fn load(&self) -> Result<Loaded, Problems> {
        self.load_for(false)
    }

    /// Loads the configuration for a command that needs only the store, so that other secrets may be missing.
    fn load_store(&self) -> Result<Loaded, Problems> {
        self.load_for(true)
    }

    /// Like [`ConfigArgs::load`], but also fails for faults that would make a start fail.
    fn load_to_serve(&self, asks: Asks) -> Result<Loaded, Problems> {
        let loaded = self.load()?;
        let faults = faults(&loaded.config, asks);
        if faults.is_empty() {
            Ok(loaded)
        } else {
            Err(loaded.located(faults))
        }
    }

    fn load_for(&self, only_store: bool) -> Result<Loaded, Problems> {
        let loaded = Config::load(&LoadOptions {
            file: self.config.clone(),
            only_store,
            env: Env::process(),
            overrides: self.overrides.clone(),
        })?;
        if only_store {
            for warning in &loaded.warnings {
                note!("warning: {warning}");
            }
        }
        Ok(loaded)
    }
}

/// Parses the arguments, runs the command and returns the exit code.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            note!("error: cannot start the runtime: {error}");
            return ExitCode::from(1);
        }
    };
    let result = runtime.block_on(run(command));
    // A blocking read of a slow disk must not delay the exit.
    runtime.shutdown_background();
    match result {
        Ok(ExitStatus::Success) => ExitCode::SUCCESS,
        Ok(ExitStatus::Failure) => ExitCode::from(1),
        Err(error) => {
            note!("error: {}", chain(&error));
            ExitCode::from(if error.is::<Problems>() { 2 } else { 1 })
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitStatus> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Check(args) => check::run(args).await,
        Command::Sign(args) => sign::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Events(args) => events::run(args).await,
        Command::Sessions(args) => sessions::run(args).await,
        Command::Sinks(args) => sinks::run(args).await,
        Command::Store(args) => store::run(args).await,
        Command::Send(args) => send::run(args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Torture(args) => torture::run(args).await,
        Command::Healthcheck(args) => healthcheck::run(&args).await,
        Command::Completions(args) => packaging::completions(&args, Cli::command()),
        Command::Man(args) => packaging::man(&args, Cli::command()),
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("use KEY=VALUE, e.g. server.listen=127.0.0.1:8080")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
