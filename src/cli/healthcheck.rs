//! `healthcheck`: is a receiver ready? For containers that have no curl; needs no configuration.

use std::time::Duration;

use anyhow::Context;
use reqwest::Client;
use url::{Host, Url};

use super::Done;

const EXAMPLE: &str = "Example:
  suki-receiver healthcheck --url https://127.0.0.1:8443/readyz";

/// What `healthcheck` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// What to ask. On a loopback address the certificate's name is not checked
    #[arg(long, value_name = "U", default_value = "http://127.0.0.1:8080/readyz")]
    url: Url,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Done> {
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(3))
        .tls_danger_accept_invalid_certs(is_loopback(&args.url))
        .build()
        .context("cannot set up the HTTP client")?;
    let answer = match client.get(args.url.clone()).send().await {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("not ready: {error}");
            return Ok(Done::No);
        }
    };
    let status = answer.status();
    println!(
        "{} {}",
        status.as_u16(),
        answer.text().await.unwrap_or_default()
    );
    Ok(if status.is_success() {
        Done::Well
    } else {
        Done::No
    })
}

/// Whether the address is this machine's own, so that nobody can be in between.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
