//! A proxy that knows CONNECT and nothing else, as hospitals have them: names what it was asked for, may ask for
//! credentials, may refuse, and resolves names by a table of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::{ANY_PORT, background, listen};

/// A running proxy. Stopped when dropped.
pub struct ConnectProxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

/// How it is set up.
#[derive(Clone, Default)]
pub struct Rules {
    /// What `Proxy-Authorization` has to say.
    pub authorization: Option<String>,
    /// Refuses everything.
    pub refuses: bool,
    /// Where each host and port leads.
    pub hosts: Vec<(String, SocketAddr)>,
}

impl ConnectProxy {
    pub async fn start(rules: Rules) -> Self {
        let listener = listen(ANY_PORT).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let task = background().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, rules.clone(), Arc::clone(&seen)));
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    pub fn url(&self) -> url::Url {
        format!("http://{}", self.address).parse().unwrap()
    }

    /// The first line of every request.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, rules: Rules, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    asked.lock().unwrap().push(line.clone());
    let authorization = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("proxy-authorization");
        is_it.then(|| value.trim().to_owned())
    });
    let target = line
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.strip_suffix(" HTTP/1.1"))
        .and_then(|host| rules.hosts.iter().find(|(known, _)| known == host));
    let refusal = if rules.authorization.is_some() && authorization != rules.authorization {
        Some("407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"test\"")
    } else if rules.refuses {
        Some("403 Forbidden")
    } else if target.is_none() {
        Some("502 Bad Gateway")
    } else {
        None
    };
    if let Some(refusal) = refusal {
        let answer = format!("HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n");
        client.write_all(answer.as_bytes()).await.ok();
        return;
    }
    let Ok(mut server) = TcpStream::connect(target.unwrap().1).await else {
        return;
    };
    let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
    if client.write_all(answer).await.is_ok() {
        copy_bidirectional(&mut client, &mut server).await.ok();
    }
}
