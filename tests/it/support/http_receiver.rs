//! A partner's own endpoint: records what is posted to it and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use suki_receiver::config::{HttpConfig, Proxy, SinkConfig, SinkTarget};

use super::{ANY_PORT, background, listen, sink};

/// One delivery as it came.
#[derive(Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Once it is.
    pub answered: Option<StatusCode>,
}

type Answer = Box<dyn FnMut(usize) -> Response + Send>;

/// A running endpoint.
#[derive(Clone)]
pub struct HttpReceiver {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    answer: Arc<Mutex<Answer>>,
}

impl HttpReceiver {
    /// Answers 204 to everything.
    pub async fn start() -> Self {
        let listener = listen(ANY_PORT).await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            answer: Arc::new(Mutex::new(Box::new(|_| {
                StatusCode::NO_CONTENT.into_response()
            }))),
        };
        let router = axum::Router::new()
            .fallback(record)
            .with_state(receiver.clone());
        background().spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// Answers by the number of the delivery, from 0.
    pub fn answers(&self, answer: impl FnMut(usize) -> Response + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    pub fn url(&self) -> url::Url {
        format!("http://{}/suki", self.address).parse().unwrap()
    }

    /// A sink of this name that delivers here, unsigned.
    pub fn sink(&self, name: &str) -> SinkConfig {
        let http = HttpConfig {
            url: self.url(),
            secrets: Vec::new(),
            headers: Vec::new(),
            timeout: Duration::from_secs(5),
            ca_file: None,
            proxy: Proxy::None,
            template: None,
        };
        sink(name, SinkTarget::Http(http))
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// What came and was answered with a success.
    pub fn taken(&self) -> Vec<Received> {
        let mut received = self.received();
        received.retain(|one| one.answered.is_some_and(|status| status.is_success()));
        received
    }
}

async fn record(State(receiver): State<HttpReceiver>, headers: HeaderMap, body: Bytes) -> Response {
    let number = {
        let mut received = receiver.received.lock().unwrap();
        received.push(Received {
            headers,
            body,
            answered: None,
        });
        received.len() - 1
    };
    let answer = (receiver.answer.lock().unwrap())(number);
    receiver.received.lock().unwrap()[number].answered = Some(answer.status());
    answer
}
