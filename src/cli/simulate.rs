//! `simulate`: runs only the simulated SDP API, for experiments and for tests in any language.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use jiff::SignedDuration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::lab::simulator::{Faults, Options, Sdp};
use crate::lifecycle::Signals;
use crate::terminal::ExitStatus;
use crate::terminal::note;

const HELP: &str = "Example:
  suki-receiver simulate --faults 'content=404:2,any=500:10%'
  SUKI_RECEIVER__SDP__BASE_URL=http://127.0.0.1:8090 suki-receiver serve

Faults are rules with commas between them. The first that fits a call and is not used up decides:
  rule      endpoint=kind, then :part and ;option as often as needed
  endpoint  any, login, jwks, status, content, transcript, structured-data, recording,
            encounter-content, encounter-structured-data, form-filling-status,
            form-filling-structured-data
  kind      an HTTP status from 200 to 599, slow, drip, cut, huge, notjson, empty, redirect, expire,
            only-for (a 403 for the token of any provider but this one),
            linger (a session that has not ended), wrong-kind (another status in place of a 404)
  part      3 (so many times), 25% (with this chance), 2s (how long: slow, drip)
  option    message=<error id>, retry-after=<seconds> (a status), to=<address> (redirect),
            provider=<name> (only-for), in=<state> (linger; running), as=<status> (wrong-kind; 412)
  e.g.      login=401:1;message=provider_not_registered,status=slow:2s,any=429:1;retry-after=2
            status=linger:20%;in=paused,form-filling-status=wrong-kind;as=400

Driving it while it runs:
  GET    /simulator/faults    the faults in force, with the times that are left
  POST   /simulator/faults    puts the faults in the body in force; an empty body clears them
  POST   /simulator/sessions  adds a session, or an array of them; only session_id is needed:
                              {\"session_id\":…, \"kind\":\"ambient|form_filling\",
                              \"encounter_id\":…, \"provider\":…, \"status\":…, \"note\":…}
                              A list of states is gone through, one for each question:
                              [\"running\", \"aborted\", \"completed\"]. One that is added again
                              with \"note\": 2 was resumed, and has another note
  GET    /simulator/calls     the calls that came, as JSON
  DELETE /simulator/calls     forgets them";

/// The arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Address and port to answer on
    #[arg(long, value_name = "A", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Faults to inject, e.g. content=404:2 (the rules are below)
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    faults: Faults,
    /// Demand the header sdp_provider_id on each call, as for partners with one shared token
    #[arg(long)]
    single_auth: bool,
    /// How long a token is valid
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    token_lifetime: Duration,
    /// Answer 404 for sessions that were not added, instead of making them up
    #[arg(long)]
    only_known_sessions: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let sdp = Sdp::new(&Options {
        token_lifetime: args.token_lifetime,
        single_auth: args.single_auth,
        every_session_known: !args.only_known_sessions,
        seed: rand::random(),
    });
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    note!("simulated SDP API on http://{}", listener.local_addr()?);
    if !args.faults.0.is_empty() {
        note!("faults in force: {}", args.faults);
    }
    note!("control routes: /simulator/faults, /simulator/sessions, /simulator/calls (see --help)");
    sdp.set_faults(args.faults);

    let stop = CancellationToken::new();
    let serving = sdp.serve(listener, stop.clone());
    tokio::select! {
        () = serving => {}
        signal = signals.stop(async || {}) => {
            stop.cancel();
            note!("{signal}: stopped after {} calls", sdp.calls().len());
        }
    }
    Ok(ExitStatus::Success)
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| format!("invalid duration '{text}'; expected one such as 1h, 90s or 500ms"))
}
