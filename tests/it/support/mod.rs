//! What the tests share: a receiver in this process, the real binary, a client that signs, and waiting without sleeping.

mod binary;
mod client;
mod connect_proxy;
mod failing_store;
mod http_receiver;
mod postgres;
mod receiver;
mod tls_front;
mod vendor;
pub mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub use binary::{Binary, reverify};
pub use client::{
    SECRET, Signed, completed, failure, http, post_until_refused, raw_exchange, send,
};
pub use connect_proxy::{ConnectProxy, Rules as ProxyRules};
pub use failing_store::FailingStore;
pub use http_receiver::HttpReceiver;
pub use postgres::{Database, open, open_with, ready};
pub use receiver::{OPERATOR, Receiver};
pub use tls_front::TlsFront;
pub use vendor::Vendor;

/// Runs what serves a test: receivers and their peers. It goes on while a test waits at its end for one of them.
pub fn background() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    });
    &RUNTIME
}

/// A listening socket for [`background`].
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let bound = background().spawn(TcpListener::bind(address));
    bound.await.unwrap()
}

/// Any free port of this machine.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Longest wait for something that has to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `what` is so; panics with `name` when it never is.
pub async fn eventually<F, Fut>(name: &str, mut what: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + PATIENCE;
    while !what().await {
        assert!(Instant::now() < deadline, "never came: {name}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The same, of a plain condition.
pub async fn until(name: &str, mut what: impl FnMut() -> bool) {
    eventually(name, || std::future::ready(what())).await;
}

/// Every file below a folder, but for those that a sink is still writing.
pub fn files_below(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = all_files_below(dir);
    files.retain(|path| path.extension().is_none_or(|end| end != "part"));
    files
}

/// Every file below a folder.
pub fn all_files_below(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_files_below(&path))
        } else {
            found.push(path)
        }
    }
    found.sort();
    found
}

pub use binary::EXE;
pub use receiver::{config as receiver_config, files_sink, sink};
