//! Real load balancers, configured as docs/examples says, in front of two instances that are restarted and killed while
//! notifications come. Only the addresses, the certificate's place and what a test must not share are put in.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use reqwest::Certificate;
use suki_receiver::lab::simulator::own_address;
use tokio::task::JoinHandle;

use super::process::all_are_files;
use crate::support::{Binary, Database, Signed, eventually, failure, http, until};

const SENDERS: usize = 8;

/// A load balancer as a process. Killed when dropped.
struct Balancer {
    child: Child,
    url: String,
    certificate: Certificate,
}

/// Where a load balancer listens, with its certificate and key in files.
struct Site {
    dir: PathBuf,
    address: SocketAddr,
    certificate: Certificate,
}

impl Site {
    fn new(dir: &Path) -> Self {
        // The certificate is for this name, and the name for this one address, where the system gives a free port.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(dir.join("fullchain.pem"), &certificate).unwrap();
        std::fs::write(dir.join("privkey.pem"), &key).unwrap();
        std::fs::write(dir.join("both.pem"), format!("{certificate}{key}")).unwrap();
        Self {
            dir: dir.to_owned(),
            address: free.local_addr().unwrap(),
            certificate: Certificate::from_pem(certificate.as_bytes()).unwrap(),
        }
    }

    /// The example with this path below docs/examples, with addresses of the test in place of its own.
    fn example(&self, path: &str, instances: [SocketAddr; 2], more: &[(&str, String)]) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs/examples")
            .join(path);
        let mut text = std::fs::read_to_string(file).unwrap();
        let own = [
            ("10.0.0.11:8080", instances[0].to_string()),
            ("10.0.0.12:8080", instances[1].to_string()),
        ];
        for (theirs, ours) in own.iter().chain(more) {
            assert_eq!(text.matches(theirs).count(), 1, "{theirs} in {path}");
            text = text.replace(theirs, ours);
        }
        text
    }

    fn nginx(self, instances: [SocketAddr; 2]) -> Balancer {
        let dir = self.dir.display();
        let example = self.example(
            "nginx/suki-receiver.conf",
            instances,
            &[
                ("listen 443 ssl", format!("listen {} ssl", self.address)),
                (
                    "/etc/ssl/hooks.example.org/fullchain.pem",
                    format!("{dir}/fullchain.pem"),
                ),
                (
                    "/etc/ssl/hooks.example.org/privkey.pem",
                    format!("{dir}/privkey.pem"),
                ),
            ],
        );
        std::fs::write(self.dir.join("suki-receiver.conf"), example).unwrap();
        let whole = format!(
            "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log warn;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
             fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
             include {dir}/suki-receiver.conf; }}\n"
        );
        std::fs::write(self.dir.join("nginx.conf"), whole).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-e").arg(self.dir.join("error.log"));
        command.arg("-c").arg(self.dir.join("nginx.conf"));
        self.start(command)
    }

    fn haproxy(self, instances: [SocketAddr; 2]) -> Balancer {
        let example = self.example(
            "haproxy/haproxy.cfg",
            instances,
            &[
                ("bind :443 ", format!("bind {} ", self.address)),
                (
                    "/etc/haproxy/hooks.example.org.pem",
                    self.dir.join("both.pem").display().to_string(),
                ),
            ],
        );
        std::fs::write(self.dir.join("haproxy.cfg"), example).unwrap();
        let mut command = Command::new("haproxy");
        command
            .arg("-db")
            .arg("-f")
            .arg(self.dir.join("haproxy.cfg"));
        self.start(command)
    }

    fn start(self, mut command: Command) -> Balancer {
        let log = std::fs::File::create(self.dir.join("output.log")).unwrap();
        let path = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
        command.env("PATH", path).stdout(Stdio::null()).stderr(log);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{name} does not start ({error}); tests/run.sh installs it")
        });
        Balancer {
            child,
            url: format!("https://localhost:{}", self.address.port()),
            certificate: self.certificate,
        }
    }
}

impl Balancer {
    /// A client that keeps so many idle connections.
    fn client(&self, idle: usize) -> reqwest::Client {
        let builder = reqwest::Client::builder()
            .no_proxy()
            // Suki sends once.
            .retry(reqwest::retry::never())
            .tls_certs_only([self.certificate.clone()]);
        builder.pool_max_idle_per_host(idle).build().unwrap()
    }

    /// Sends notifications one after another until it is `enough`; the ids that were acknowledged. Every other sender
    /// opens a connection for each.
    fn send(&self, sender: usize, enough: &Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
        let (client, enough) = (self.client(sender % 2), Arc::clone(enough));
        let url = format!("{}/webhooks/notification", self.url);
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while !enough.load(Ordering::Relaxed) {
                let session = format!("s{sender}-{}", acknowledged.len());
                let sent = Signed::new(failure(&session)).try_post(&client, &url).await;
                let (status, answer) = sent.unwrap();
                assert_eq!(status, 200, "{answer}");
                acknowledged.push(answer["id"].as_str().unwrap().to_owned());
            }
            acknowledged
        })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One of the two instances, with what it is started with.
struct Instance {
    binary: Option<Binary>,
    dir: PathBuf,
    addresses: [SocketAddr; 2],
    settings: Vec<(&'static str, String)>,
}

impl Instance {
    fn new(dir: PathBuf, settings: &[(&'static str, String)]) -> Self {
        std::fs::create_dir(&dir).unwrap();
        let mut instance = Self {
            binary: None,
            dir,
            addresses: [own_address().unwrap(), own_address().unwrap()],
            settings: settings.to_vec(),
        };
        instance.start();
        instance
    }

    fn start(&mut self) {
        let [public, admin] = self.addresses;
        self.binary = Some(Binary::spawn_on(
            &[],
            &self.dir,
            public,
            admin,
            &self.settings,
        ));
    }

    async fn is_ready(&self) {
        let url = format!("http://{}/readyz", self.addresses[0]);
        eventually("the instance is ready", || async {
            let answer = http().get(&url).send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    /// Waits until the load balancer sends it notifications.
    async fn is_used(&self) {
        let metrics = format!("http://{}/metrics", self.addresses[1]);
        eventually("the instance gets notifications", || async {
            let Ok(answer) = http().get(&metrics).send().await else {
                return false;
            };
            let text = answer.text().await.unwrap_or_default();
            let count = r#"suki_receiver_notifications_total{result="accepted"}"#;
            text.lines()
                .any(|line| line.starts_with(count) && !line.ends_with(" 0"))
        })
        .await;
    }

    async fn stop(&mut self) {
        let binary = self.binary.take().unwrap();
        binary.signal(Signal::SIGTERM);
        assert!(binary.ended().await.success());
    }

    /// Kills it while it has a request that it did not read.
    async fn kill_with_a_request(&mut self) {
        let binary = self.binary.take().unwrap();
        binary.signal(Signal::SIGSTOP);
        until("a request waits in a socket", || has_unread(binary.public)).await;
        binary.kill();
    }
}

/// Whether a socket of this address has bytes that its process did not read: by the table of the system's connections
/// (proc_pid_net(5)).
fn has_unread(address: SocketAddr) -> bool {
    let IpAddr::V4(ip) = address.ip() else {
        panic!("the tests' addresses are of IPv4")
    };
    let ip = u32::from_le_bytes(ip.octets());
    let local = format!("{ip:08X}:{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // A listening socket counts its waiting connections there.
        let (state, queues) = (fields[3], fields[4]);
        fields[1] == local && state == "01" && !queues.ends_with(":00000000")
    })
}

async fn no_notification_is_refused(balancer: fn(Site, [SocketAddr; 2]) -> Balancer) {
    let (database, shared) = (Database::create().await, tempfile::tempdir().unwrap());
    let out = shared.path().join("out");
    let settings = [
        ("STORE__URL", database.url()),
        ("STORE__POOL_SIZE", "3".to_owned()),
        ("SERVER__DRAIN_DELAY", "3s".to_owned()),
        ("SINKS__ARCHIVE__DIR", out.display().to_string()),
    ];
    let mut instances = ["a", "b"].map(|name| Instance::new(shared.path().join(name), &settings));
    let addresses = [0, 1].map(|at: usize| instances[at].addresses[0]);
    let balancer = balancer(Site::new(shared.path()), addresses);
    eventually("an instance answers through the load balancer", || async {
        let answer = balancer.client(1).get(format!("{}/readyz", balancer.url));
        answer
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
    })
    .await;

    let enough = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..SENDERS).map(|n| balancer.send(n, &enough)).collect();
    for instance in &mut instances {
        instance.is_used().await;
    }
    // The next one is restarted as soon as the one before is ready, whatever the load balancer knows by then.
    for instance in &mut instances {
        instance.stop().await;
        instance.start();
        instance.is_ready().await;
    }
    for instance in &mut instances {
        instance.is_used().await;
    }
    for instance in &mut instances {
        instance.kill_with_a_request().await;
        instance.start();
        instance.is_used().await;
    }
    enough.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for sender in senders {
        acknowledged.extend(sender.await.unwrap());
    }
    all_are_files(&out, &acknowledged).await;
}

#[tokio::test]
async fn nginx_as_documented_refuses_no_notification_while_instances_are_restarted_and_killed() {
    no_notification_is_refused(Site::nginx).await;
}

#[tokio::test]
async fn haproxy_as_documented_refuses_no_notification_while_instances_are_restarted_and_killed() {
    no_notification_is_refused(Site::haproxy).await;
}
