//! The simulated vendor API on a port of its own, and a configuration that follows it.

use std::net::SocketAddr;

use suki_receiver::config::{AuthMode, Config, PartnerToken, SdpAuth, Secret};
use suki_receiver::lab::simulator::{Options, Sdp, Session};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{ANY_PORT, background, listen};

/// The partner token that the tests log in with.
const PARTNER_TOKEN: &str = "PHI-partner-token";

/// A running simulator. Stopped when dropped.
pub struct Vendor {
    pub sdp: Sdp,
    pub address: SocketAddr,
    stop: CancellationToken,
}

impl Vendor {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options {
            every_session_known: false,
            ..Options::default()
        };
        change(&mut options);
        let listener = listen(ANY_PORT).await.unwrap();
        Self::serve(Sdp::new(&options), listener)
    }

    fn serve(sdp: Sdp, listener: TcpListener) -> Self {
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let (serving, stopped) = (sdp.clone(), stop.clone());
        background().spawn(async move { serving.serve(listener, stopped).await });
        Self { sdp, address, stop }
    }

    /// Points a configuration at this API.
    pub fn follow(&self, config: &mut Config) {
        config.sdp.base_url = format!("http://{}", self.address).parse().unwrap();
        config.sdp.auth = Some(SdpAuth {
            mode: AuthMode::Standard,
            partner_id: "partner-1".to_owned(),
            partner_token: PartnerToken::Given(Secret::literal(PARTNER_TOKEN)),
        });
    }

    /// The same for a process.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("SDP__BASE_URL", format!("http://{}", self.address)),
            ("SDP__AUTH__PARTNER_ID", "partner-1".to_owned()),
            ("SDP__AUTH__PARTNER_TOKEN", PARTNER_TOKEN.to_owned()),
        ]
    }

    /// A completed ambient session that the API knows, and the notification's links to it.
    pub fn completed(&self, session: &str) -> Vec<(&'static str, String)> {
        self.sdp
            .add_session(Session::ambient(session).in_encounter(format!("e-{session}")));
        let of_session = |path: &str| format!("/api/v1/ambient/session/{session}/{path}");
        vec![
            ("contents", of_session("content")),
            ("status", of_session("status")),
            ("structured_data", of_session("structured-data")),
            ("transcripts", of_session("transcript")),
        ]
    }

    /// The session of [`Vendor::completed`] was resumed, and has another note.
    pub fn resumed(&self, session: &str) {
        let resumed = Session::ambient(session).in_encounter(format!("e-{session}"));
        self.sdp.add_session(resumed.with_note(2));
    }

    /// Changes what goes wrong; empty for nothing.
    pub fn faults(&self, text: &str) {
        self.sdp.set_faults(text.parse().unwrap());
    }

    /// Stops listening; what is under way is cut.
    pub fn shut(&self) {
        self.stop.cancel();
    }

    /// Listens again on the same port.
    pub async fn reopen(&self) -> Self {
        loop {
            match listen(self.address).await {
                Ok(listener) => return Self::serve(self.sdp.clone(), listener),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
