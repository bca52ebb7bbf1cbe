//! One process follows another on the same addresses: nobody is refused, nothing is lost, nothing is done twice.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rustix::process::Uid;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{
    Binary, EXE, HttpReceiver, PATIENCE, Signed, eventually, failure, http, until,
};

/// Senders that post without pause until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    senders: JoinSet<usize>,
}

impl Load {
    /// Half of the senders keep their connection, half open a new one for each request. Each checks that it is
    /// answered 200, whatever happens, and gives back how many it has sent.
    fn start(url: &str, name: &str) -> Self {
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let mut senders = JoinSet::new();
        for sender in 0..8 {
            let (url, name) = (url.to_owned(), format!("{name}-{sender}"));
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            senders.spawn(async move {
                let kept = http();
                let mut count = 0;
                while !stop.load(SeqCst) {
                    let client = if sender % 2 == 0 {
                        kept.clone()
                    } else {
                        http()
                    };
                    let signed = Signed::new(failure(&format!("{name}-{count}")));
                    let answer = signed.try_post(&client, &url).await;
                    let (status, body) = answer.expect("a connection was refused or reset");
                    assert_eq!(status, 200, "{body}");
                    count += 1;
                    sent.fetch_add(1, SeqCst);
                }
                count
            });
        }
        Self {
            stop,
            sent,
            senders,
        }
    }

    /// Waits until some more were answered.
    async fn goes_on(&self) {
        let before = self.sent.load(SeqCst);
        until("requests are answered", || {
            self.sent.load(SeqCst) > before + 50
        })
        .await;
    }

    async fn stop(self) -> usize {
        self.stop.store(true, SeqCst);
        self.senders.join_all().await.iter().sum()
    }
}

/// How often each event was delivered.
fn deliveries(sink: &HttpReceiver) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for delivery in sink.received() {
        let event: Value = serde_json::from_slice(&delivery.body).unwrap();
        *counts
            .entry(event["id"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn processes_follow_one_another_under_load_and_nothing_is_refused_lost_or_done_twice() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), HttpReceiver::start().await);
    let settings = [
        ("SINKS__EHR__TYPE", "http".to_owned()),
        ("SINKS__EHR__URL", sink.url().to_string()),
        ("SERVER__DRAIN_DELAY", "500ms".to_owned()),
    ];
    let mut current = Binary::start(dir.path(), &settings).await;
    let load = Load::start(&current.webhook(), "s");
    for _ in 0..3 {
        load.goes_on().await;
        let ready = current
            .log()
            .matches("a successor has the listening sockets")
            .count();
        let next = current.spawn_successor(&settings);
        until("the successor takes notifications", || {
            current
                .log()
                .matches("a successor has the listening sockets")
                .count()
                > ready
        })
        .await;
        load.goes_on().await;
        for path in ["readyz", "livez"] {
            let answer = http()
                .get(format!("http://{}/{path}", current.public))
                .send()
                .await;
            assert_eq!(answer.unwrap().status(), 200, "{path}");
        }
        current.signal(Signal::SIGTERM);
        load.goes_on().await;
        assert!(current.ended().await.success());
        load.goes_on().await;
        let metrics = http()
            .get(format!("http://{}/metrics", next.admin))
            .send()
            .await;
        assert_eq!(
            metrics.unwrap().status(),
            200,
            "the admin listener went over as well"
        );
        current = next;
    }
    let sent = load.stop().await;
    until("everything is delivered", || {
        deliveries(&sink).len() == sent
    })
    .await;
    let twice: Vec<_> = deliveries(&sink)
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .collect();
    assert_eq!(twice, [], "delivered more than once");
}

#[tokio::test]
async fn a_successor_takes_over_the_work_of_a_process_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let first = Binary::start(dir.path(), &[]).await;
    let second = first.spawn_successor(&[]);
    until("the successor takes notifications", || {
        first
            .log()
            .contains("a successor has the listening sockets")
    })
    .await;
    let webhook = first.webhook();
    first.kill();
    for n in 0..10 {
        assert_eq!(
            Signed::new(failure(&format!("s{n}")))
                .post(&webhook)
                .await
                .0,
            200
        );
    }
    let out = dir.path().join("out");
    until("all are delivered", || {
        crate::support::files_below(&out).len() == 10
    })
    .await;
    let third = second.spawn_successor(&[]);
    until("the next one follows the second", || {
        second
            .log()
            .matches("a successor has the listening sockets")
            .count()
            == 2
    })
    .await;
    drop(third);
    until("the second goes on alone", || {
        second.log().contains("the successor is gone")
    })
    .await;
    assert_eq!(Signed::new(failure("last")).post(&webhook).await.0, 200);
}

#[tokio::test]
async fn another_user_does_not_get_the_sockets() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = other.path().join("handover.sock");
    let settings = [("SERVER__HANDOVER_SOCKET", path.display().to_string())];
    let binary = Binary::start(dir.path(), &settings).await;
    until("the socket is there", || path.exists()).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        rustix::process::geteuid().is_root(),
        "this test asks for the sockets as another user, and only root can be one: run it as root"
    );
    // Even were the file's mode wrong, the peer is looked at.
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    std::fs::set_permissions(other.path(), PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(asked_as(65534, &path), "", "the server gave something");
    // Nor does a newcomer trust a process of another user.
    let exe = other.path().join("suki-receiver");
    std::fs::copy(EXE, &exe).unwrap();
    let errors = std::fs::File::create(other.path().join("errors")).unwrap();
    let mut newcomer = Command::new(&exe)
        .arg("serve")
        .uid(65534)
        .current_dir(other.path())
        .env_clear()
        .env("SUKI_RECEIVER__SIGNATURE__SECRET", "x")
        .env("SUKI_RECEIVER__SERVER__HANDOVER_SOCKET", &path)
        .stderr(errors)
        .spawn()
        .unwrap();
    // Were it let in, it would run for ever.
    let deadline = Instant::now() + PATIENCE;
    while newcomer.try_wait().unwrap().is_none() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    newcomer.kill().unwrap();
    assert_eq!(newcomer.wait().unwrap().code(), Some(1));
    let error = std::fs::read_to_string(other.path().join("errors")).unwrap();
    assert!(error.contains("belongs to user 0"), "{error}");
    assert!(
        !binary
            .log()
            .contains("a successor has the listening sockets")
    );
    assert_eq!(
        Signed::new(failure("s")).post(&binary.webhook()).await.0,
        200
    );
}

/// What a client of this user gets that asks for the sockets and checks nothing itself.
fn asked_as(user: u32, path: &Path) -> String {
    let path = path.to_owned();
    // The system knows a user for each thread.
    let asking = std::thread::spawn(move || {
        let user = Uid::from_raw(user);
        rustix::thread::set_thread_res_uid(user, user, user).unwrap();
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    asking.join().unwrap()
}

const FOLLOWED: &str = "a successor has the listening sockets";

#[tokio::test]
async fn whoever_takes_the_sockets_and_stands_still_holds_up_neither_a_successor_nor_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let first = Binary::start(dir.path(), &[]).await;
    let path = dir.path().join("data/handover.sock");
    until("it offers the sockets", || path.exists()).await;
    let stuck = UnixStream::connect(&path).unwrap();
    let next = first.spawn_successor(&[]);
    until("the next one follows", || first.log().contains(FOLLOWED)).await;
    first.signal(Signal::SIGTERM);
    assert!(first.ended().await.success());
    until("the next one offers the sockets", || path.exists()).await;
    let stuck_too = UnixStream::connect(&path).unwrap();
    // One that goes away without having been ready changes nothing either.
    drop(stuck);
    drop(UnixStream::connect(&path).unwrap());
    until("it is noticed", || {
        next.log().contains("this process goes on alone")
    })
    .await;
    assert_eq!(Signed::new(failure("s")).post(&next.webhook()).await.0, 200);
    next.signal(Signal::SIGTERM);
    assert!(next.ended().await.success());
    drop(stuck_too);
}

#[tokio::test]
async fn a_start_at_another_address_is_refused_while_a_process_has_the_data_folder() {
    let dir = tempfile::tempdir().unwrap();
    let first = Binary::start(dir.path(), &[]).await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = free.local_addr().unwrap();
    drop(free);
    for (public, admin, key, found) in [
        (elsewhere, first.admin, "server.listen", first.public),
        (first.public, elsewhere, "admin.listen", first.admin),
    ] {
        let other = Binary::spawn_on(&[], dir.path(), public, admin, &[]);
        assert_eq!(other.ended().await.code(), Some(1));
        let problem = format!(
            "a process with this data folder listens on {found}, and {key} is {elsewhere}; stop it first"
        );
        first.logs(&problem).await;
    }
    assert!(!first.log().contains(FOLLOWED));
    first.signal(Signal::SIGTERM);
    assert!(first.ended().await.success());
}

#[tokio::test]
async fn a_folder_whose_path_is_too_long_for_the_hand_over_is_served_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("x".repeat(120));
    let url = format!("sqlite:{}", folder.join("receiver.db").display());
    let binary = Binary::start(dir.path(), &[("STORE__URL", url)]).await;
    assert_eq!(
        Signed::new(failure("s")).post(&binary.webhook()).await.0,
        200
    );
    binary.logs("no other process can take over").await;
}

#[tokio::test]
async fn the_service_manager_hears_of_readiness_once_the_next_process_may_follow() {
    let dir = tempfile::tempdir().unwrap();
    let notify = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let variable = format!("NOTIFY_SOCKET={}", dir.path().join("notify").display());
    let command = ["env".to_owned(), variable];
    let binary = Binary::spawn_under(&command, dir.path(), &[]);
    let mut told = [0; 64];
    let size = notify.recv(&mut told).unwrap();
    assert_eq!(told[..size].trim_ascii(), b"READY=1");
    UnixStream::connect(dir.path().join("data/handover.sock")).expect("the offer stands");
    drop(binary);
}

#[tokio::test]
async fn a_process_that_is_stopped_before_its_successor_is_ready_refuses_nobody() {
    let dir = tempfile::tempdir().unwrap();
    // Long enough for each kept connection to hear that it is to close.
    let settings = [("SERVER__DRAIN_DELAY", "1s".to_owned())];
    let first = Binary::start(dir.path(), &settings).await;
    let load = Load::start(&first.webhook(), "s");
    load.goes_on().await;
    // The next one has the sockets and does not get on: what it reads then has no end yet.
    let token = dir.path().join("data/admin-token");
    std::fs::remove_file(&token).unwrap();
    mkfifo(&token, Mode::S_IRWXU).unwrap();
    let next = first.spawn_successor(&[]);
    let stands = tokio::task::spawn_blocking({
        let token = token.clone();
        move || std::fs::File::create(token).unwrap()
    });
    let mut stands = stands.await.unwrap();
    next.logs("another process serves from this data folder")
        .await;
    first.signal(Signal::SIGTERM);
    assert!(first.ended().await.success());
    assert!(!next.log().contains(FOLLOWED));
    stands.write_all(b"a token").unwrap();
    drop(stands);
    load.goes_on().await;
    assert!(load.stop().await > 0);
}

#[tokio::test]
async fn on_sockets_of_the_service_manager_a_restart_refuses_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (sockets, [public, admin]) = sockets_of_the_service_manager();
    let start = || activated(&sockets, dir.path(), public, admin, &[]);
    let url = format!("http://{public}/webhooks/notification");
    // Sent before anything runs: it waits in the queue.
    let early = tokio::spawn({
        let url = url.clone();
        async move { Signed::new(failure("early")).post(&url).await.0 }
    });
    let mut binary = start();
    assert_eq!(early.await.unwrap(), 200);
    for n in 0..3 {
        binary.signal(Signal::SIGTERM);
        assert!(binary.ended().await.success());
        let waiting = tokio::spawn({
            let url = url.clone();
            async move {
                Signed::new(failure(&format!("between-{n}")))
                    .post(&url)
                    .await
                    .0
            }
        });
        binary = start();
        assert_eq!(waiting.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn sockets_of_the_service_manager_in_another_order_are_told_apart_and_strange_ones_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (sockets, [admin, public]) = sockets_of_the_service_manager();
    let binary = activated(&sockets, dir.path(), public, admin, &[]);
    let signed = Signed::new(failure("s"));
    assert_eq!(signed.post(&binary.webhook()).await.0, 200);
    for (address, status) in [(public, 404), (admin, 200)] {
        let answer = http().get(format!("http://{address}/metrics")).send().await;
        assert_eq!(answer.unwrap().status(), status);
    }
    drop(binary);

    let elsewhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let binary = activated(&sockets, dir.path(), elsewhere, admin, &[]);
    assert_eq!(binary.ended().await.code(), Some(1));
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    let problem = format!("a socket is at {public}, which is neither server.listen");
    assert!(log.contains(&problem), "{log}");
}

#[tokio::test]
async fn a_service_whose_sockets_stay_open_is_ready_while_it_drains() {
    let dir = tempfile::tempdir().unwrap();
    let (sockets, [public, admin]) = sockets_of_the_service_manager();
    let settings = [("SERVER__DRAIN_DELAY", "2s".to_owned())];
    let binary = activated(&sockets, dir.path(), public, admin, &settings);
    let ready = async || {
        let answer = http().get(format!("http://{public}/readyz")).send().await;
        let answer = answer.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    assert_eq!(ready().await.0, 200);
    binary.signal(Signal::SIGTERM);
    // A load balancer that found it unready would refuse what can wait for the next start.
    eventually("it says that it drains", || async {
        let (status, report) = ready().await;
        assert_eq!(status, 200, "{report}");
        report.contains("draining")
    })
    .await;
    assert!(binary.ended().await.success());
}

/// Two listening sockets that stay open for as long as the test holds them, and their addresses.
fn sockets_of_the_service_manager() -> ([TcpListener; 2], [SocketAddr; 2]) {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = sockets
        .each_ref()
        .map(|socket| socket.local_addr().unwrap());
    (sockets, addresses)
}

/// Starts as systemd does: the sockets are descriptors 3 and 4.
fn activated(
    sockets: &[TcpListener; 2],
    dir: &std::path::Path,
    public: SocketAddr,
    admin: SocketAddr,
    settings: &[(&str, String)],
) -> Binary {
    for socket in sockets {
        rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).unwrap();
    }
    let script = format!(
        "exec 3<&{} 4<&{}; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$@\"",
        sockets[0].as_raw_fd(),
        sockets[1].as_raw_fd()
    );
    let command = ["bash", "-c", &script, "bash"].map(str::to_owned);
    Binary::spawn_on(&command, dir, public, admin, settings)
}
