//! `healthcheck`: checks whether a receiver is ready, for containers that have no curl. Without an address it uses the
//! configured one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use reqwest::Client;
use url::{Host, Url};

use super::ConfigArgs;
use crate::terminal::ExitStatus;
use crate::terminal::{emit, note};

const EXAMPLE: &str = "Example:
  suki-receiver healthcheck
  suki-receiver healthcheck --url https://127.0.0.1:8443/readyz";

/// The arguments of `healthcheck`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// URL to request [default: /readyz at the configuration's server.listen]. By default, and on a loopback address, the
    /// certificate is not checked
    #[arg(long, value_name = "U")]
    url: Option<Url>,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let (url, is_this_machine) = match &args.url {
        Some(url) => (url.clone(), is_loopback(url)),
        None => (configured(&args.config)?, true),
    };
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(3))
        .tls_danger_accept_invalid_certs(is_this_machine)
        .build()
        .context("cannot set up the HTTP client")?;
    let answer = match client.get(url.clone()).send().await {
        Ok(answer) => answer,
        Err(error) => {
            note!("not ready: {} at {url}", crate::net::describe(&error));
            return Ok(ExitStatus::Failure);
        }
    };
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    emit(format!("{} {text}\n", status.as_u16()).as_bytes())?;
    Ok(if status.is_success() {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

/// The address at which this machine reaches the public listener.
fn configured(config: &ConfigArgs) -> anyhow::Result<Url> {
    let server = config.load_store()?.config.server;
    let scheme = if server.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let address = reachable(server.listen);
    Url::parse(&format!("{scheme}://{address}/readyz")).context("server.listen makes no address")
}

/// The address at which its own machine reaches a listener: loopback if it listens on all addresses.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Whether the address is loopback, so that nobody can be in between.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
