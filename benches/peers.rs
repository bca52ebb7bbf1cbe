//! Handlers in other frameworks that verify a notification as the service does and keep nothing.
//!
//! All but `webhook`: it can verify a signature over the body alone, and ours has `generated-at` in it, so it verifies
//! none. It runs a command for each call, which is what it is made for, and answers when that has ended: else it answers
//! long before, and only its queue would be measured. They are started here, with one process each, and installed by
//! `benches/peers/install.sh`.

use std::path::Path;

use suki_receiver::lab::simulator::{Sender, Signing, own_address};
use url::Url;

use super::messages::Messages;
use super::process::Process;
use super::receiver::{PATIENCE, SECRET};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Express,
    FastApi,
    Webhook,
}

impl Peer {
    pub(crate) const ALL: [Self; 3] = [Self::Express, Self::FastApi, Self::Webhook];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Express => "Express",
            Self::FastApi => "FastAPI on uvicorn",
            Self::Webhook => "webhook (unverified, waits for a command)",
        }
    }
}

/// Starts one from the folder in which it was installed.
pub(crate) async fn start(
    dir: &Path,
    installed: &Path,
    peer: Peer,
) -> anyhow::Result<(Process, Url)> {
    let address = own_address()?;
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let at = |name: &str| installed.join(name).display().to_string();
    let line: Vec<String> = match peer {
        Peer::Express => vec!["node".to_owned(), at("express.js"), host, port],
        Peer::FastApi => [
            at("venv/bin/uvicorn").as_str(),
            "fastapi_app:app",
            "--app-dir",
            &at(""),
        ]
        .into_iter()
        .chain(["--host", &host, "--port", &port, "--no-access-log"])
        .map(str::to_owned)
        .collect(),
        Peer::Webhook => [
            "webhook",
            "-hooks",
            &at("hooks.json"),
            "-ip",
            &host,
            "-port",
            &port,
            "-urlprefix",
            "",
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    let secret = ("SECRET".to_owned(), SECRET.to_owned());
    let mut process = Process::start(dir, "peer", &line, [(&secret.0, &secret.1)])?;
    let url: Url = format!("http://{address}/").parse()?;
    let hook = url.join("hook")?;
    let ready = match peer {
        // Its hook takes no GET.
        Peer::Webhook => &url,
        Peer::Express | Peer::FastApi => &hook,
    };
    process.ready(ready.as_str(), PATIENCE).await?;
    if peer != Peer::Webhook {
        // One that verifies nothing would look fast.
        let forged = Messages::new(1, 60)
            .get(0)
            .clone()
            .signed(Signing::WrongSecret);
        let answer = Sender::new(hook.clone(), SECRET, 1)?.send(&forged).await?;
        anyhow::ensure!(
            answer.status == 401,
            "{} answers {} to a forged notification",
            peer.name(),
            answer.status
        );
    }
    Ok((process, hook))
}
