//! A sink whose secrets and headers can be replaced while it is in use. Deliveries under way end with the old ones.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use super::{CloudEvent, SetupError, Sink, SinkAnswer, build};
use crate::config::{self, SinkTarget};

/// Delivers by the current sink. Cheap to clone.
#[derive(Clone)]
pub struct ReloadableSink {
    settings: config::SinkConfig,
    current: Arc<ArcSwap<Box<dyn Sink>>>,
}

impl ReloadableSink {
    /// A sink as configured.
    ///
    /// # Errors
    /// As [`build`].
    pub fn new(settings: &config::SinkConfig) -> Result<Self, SetupError> {
        Ok(Self {
            settings: settings.clone(),
            current: Arc::new(ArcSwap::from_pointee(build(settings)?)),
        })
    }

    /// Builds the sink with the secrets and headers in `sinks`, without using it yet. `None` if this type of sink has
    /// no secrets, or the sink is not in `sinks`.
    ///
    /// # Errors
    /// As [`build`].
    pub fn prepare(
        &self,
        sinks: &[config::SinkConfig],
    ) -> Result<Option<Box<dyn Sink>>, SetupError> {
        let new = sinks.iter().find(|sink| sink.name == self.settings.name);
        let mut settings = self.settings.clone();
        match (&mut settings.target, new.map(|sink| &sink.target)) {
            (SinkTarget::Http(own), Some(SinkTarget::Http(new))) => {
                own.secrets.clone_from(&new.secrets);
                own.headers.clone_from(&new.headers);
            }
            _ => return Ok(None),
        }
        build(&settings).map(Some)
    }

    /// Makes `sink` the current one.
    pub fn replace(&self, sink: Box<dyn Sink>) {
        self.current.store(Arc::new(sink));
    }
}

#[async_trait]
impl Sink for ReloadableSink {
    async fn deliver(&self, event: &CloudEvent) -> SinkAnswer {
        let current = self.current.load_full();
        current.deliver(event).await
    }

    async fn tidy(&self) {
        let current = self.current.load_full();
        current.tidy().await;
    }

    async fn check(&self) -> Result<(), String> {
        let current = self.current.load_full();
        current.check().await
    }
}

impl std::fmt::Debug for ReloadableSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReloadableSink")
            .field("name", &self.settings.name)
            .finish_non_exhaustive()
    }
}
