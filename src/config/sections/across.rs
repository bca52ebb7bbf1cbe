//! Reads the whole configuration section by section, and checks for errors and risks that concern several sections.

use crate::config::Config;
use crate::config::reader::section::Section;

use super::{
    Admin, Canary, Follow, Log, Net, Otel, Reconcile, Refresh, Retention, Sdp, Server, Signature,
    SinkConfig, Store,
};

impl Config {
    pub(in crate::config) fn read(root: &mut Section<'_>) -> Self {
        let (server, net): (Server, Net);
        let config = Self {
            server: {
                server = root.section("server", Server::read);
                server.clone()
            },
            admin: root.section("admin", Admin::read),
            signature: root.section("signature", |section| {
                Signature::read(section, server.has_webhook())
            }),
            store: root.section("store", Store::read),
            net: {
                net = root.section("net", Net::read);
                net.clone()
            },
            sdp: root.section("sdp", |sdp| Sdp::read(sdp, &net.proxy)),
            follow: root.section("follow", Follow::read),
            reconcile: root.section("reconcile", Reconcile::read),
            refresh: root.section("refresh", Refresh::read),
            canary: root.section("canary", Canary::read),
            sinks: SinkConfig::read_all(root, &net.proxy),
            retention: root.section("retention", Retention::read),
            log: root.section("log", Log::read),
            otel: root.section("otel", |otel| Otel::read(otel, &net.proxy)),
        };
        config.check_listeners(root);
        config.check_pull(root);
        config.warn_of_risks(root);
        config
    }

    fn check_listeners(&self, root: &mut Section<'_>) {
        let (public, admin) = (self.server.listen, self.admin.listen);
        // Port 0 stands for any free port, so the two listeners get different ones.
        let is_same_port = public.port() == admin.port() && admin.port() != 0;
        let is_same_address = public.ip() == admin.ip()
            || public.ip().is_unspecified()
            || admin.ip().is_unspecified();
        if is_same_port && is_same_address {
            root.problem(
                "admin.listen",
                format!("{admin} and server.listen {public} overlap; use another port"),
            );
        }
    }

    /// Without a webhook all sessions must be polled. If polling is not possible either, nothing would ever arrive.
    fn check_pull(&self, root: &mut Section<'_>) {
        if self.canary.enabled && !self.server.has_webhook() {
            root.problem(
                "canary.enabled",
                "is true, and server.path is empty: there is nothing to post to; turn the canary off",
            );
        } else if self.canary.enabled && self.canary.url.is_none() && self.server.tls.is_some() {
            root.problem(
                "canary.url",
                "is empty, and the public listener has a certificate for a name; set the address that Suki was given",
            );
        }
        if self.server.has_webhook() {
            return;
        }
        if !self.reconcile.enabled {
            root.problem(
                "server.path",
                "is empty, and reconcile.enabled is false, so no session is polled; set a path, or enable polling",
            );
        } else if !self.sdp.has_credentials() {
            root.problem(
                "server.path",
                "is empty, so every session has to be polled, and there are no credentials for that; set [sdp.auth] or [[sdp.identities]], or a path",
            );
        }
    }

    fn warn_of_risks(&self, root: &mut Section<'_>) {
        if !self.sdp.has_credentials() {
            root.warn(
                "sdp.auth is not set: no link is followed; events that need the SDP API wait for credentials",
            );
        }
        let identities = self.sdp.all_identities();
        if !identities.is_empty() && identities.iter().all(|it| it.auth.is_per_provider()) {
            root.warn(
                "every SDP identity needs the provider's name ({provider}), so the event of a session without a known \
                 provider becomes dead, as after a notification alone; set one that needs no name",
            );
        }
        // A sink that takes only alerts does not count: no note can be delivered to it.
        if !self.sinks.iter().any(SinkConfig::takes_events) {
            root.warn(
                "no sink is configured that takes sessions: notes are stored, and only the admin API shows them",
            );
        }
    }
}
