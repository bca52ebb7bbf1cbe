//! A sender that signs, and raw bytes for what no well-behaved client sends.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde_json::Value;
use suki_receiver::signature::sign;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::background;

/// The secret that the tests' receivers know.
pub const SECRET: &str = "suki-test-secret-key";

/// A signed request, changeable before it is sent.
#[derive(Clone)]
pub struct Signed {
    pub body: Vec<u8>,
    pub generated_at: String,
    pub signature: String,
}

/// A plain client.
pub fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

/// A failure notification: it needs no call to the vendor's API.
pub fn failure(session: &str) -> Vec<u8> {
    format!(
        r#"{{"encounter_id":"e-{session}","error_code":"ERROR_CODE_TRANSCRIPTION","error_detail":"PHI-detail","session_id":"{session}","status":"failure"}}"#
    )
    .into_bytes()
}

/// A success notification with these links, as `(group, href)`.
pub fn completed(session: &str, links: &[(&str, String)]) -> Vec<u8> {
    let mut groups = serde_json::Map::new();
    for (group, href) in links {
        let link = serde_json::json!({"href": href, "method": "GET", "name": group, "type": "application/json"});
        groups
            .entry(*group)
            .or_insert_with(|| Value::Array(vec![]))
            .as_array_mut()
            .unwrap()
            .push(link);
    }
    let body = serde_json::json!({
        "_links": groups, "additional_info": {"priority": "PHI-info"}, "encounter_id": format!("e-{session}"),
        "session_id": session, "sessions": [session], "status": "success",
    });
    body.to_string().into_bytes()
}

impl Signed {
    /// Signed with the known secret, now.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self::at(body, Timestamp::now().as_millisecond())
    }

    /// Signed with the known secret, at another time.
    pub fn at(body: impl Into<Vec<u8>>, millis: i64) -> Self {
        let (body, generated_at) = (body.into(), millis.to_string());
        Self {
            signature: sign(SECRET.as_bytes(), &generated_at, &body),
            generated_at,
            body,
        }
    }

    /// Signed with another secret.
    pub fn with_secret(mut self, secret: &str) -> Self {
        self.signature = sign(secret.as_bytes(), &self.generated_at, &self.body);
        self
    }

    /// The request, not yet sent.
    pub fn request(&self, client: &reqwest::Client, url: &str) -> reqwest::RequestBuilder {
        client
            .post(url)
            .header("X-API-Key", &self.signature)
            .header("generated-at", &self.generated_at)
            .body(self.body.clone())
    }

    /// Sends it; the answer's status and JSON.
    pub async fn post(&self, url: &str) -> (u16, Value) {
        send(self.request(&http(), url)).await.unwrap()
    }

    /// Sends it with a client of one's own.
    pub async fn try_post(
        &self,
        client: &reqwest::Client,
        url: &str,
    ) -> reqwest::Result<(u16, Value)> {
        read(self.request(client, url)).await
    }
}

/// Sends a request; the answer's status and JSON, or else its text. The connection lives in the background: it closes also
/// while the test waits for its receiver to end.
pub async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<(u16, Value)> {
    AbortOnDropHandle::new(background().spawn(read(request)))
        .await
        .unwrap()
}

async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<(u16, Value)> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let text = answer.text().await?;
    let json = serde_json::from_str(&text);
    Ok((status, json.unwrap_or(Value::String(text))))
}

/// Posts new notifications one after another until the receiver no longer takes connections; the ids it acknowledged.
pub fn post_until_refused(url: &str, sender: usize) -> tokio::task::JoinHandle<Vec<String>> {
    let url = url.to_owned();
    tokio::spawn(async move {
        let (client, mut acknowledged) = (http(), Vec::new());
        for n in 0.. {
            let session = format!("s{sender}-{n}");
            match Signed::new(failure(&session)).try_post(&client, &url).await {
                Ok((200, answer)) => acknowledged.push(answer["id"].as_str().unwrap().to_owned()),
                Ok((status, answer)) => panic!("answered {status} {answer}"),
                Err(_) => break,
            }
        }
        acknowledged
    })
}

/// Sends raw bytes and reads until the peer closes.
pub async fn raw_exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end like any other.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
