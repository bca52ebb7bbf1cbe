//! The resources that a receiver should finally have of a session: those of its links, as the API serves them without
//! faults.

use bytes::Bytes;

use super::{Endpoint, Sdp, Session, bodies};
use crate::domain::SessionKind;

/// A resource of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The group of its link.
    pub group: &'static str,
    /// The address without the API's origin.
    pub href: String,
    /// The body, as the API sends it.
    pub body: Bytes,
}

impl Sdp {
    /// All resources of a session; none if it is not known or not completed.
    pub fn served(&self, session: &Session) -> Vec<Served> {
        if !session.is_completed() {
            return Vec::new();
        }
        let endpoints: &[(&str, Endpoint)] = match session.kind {
            SessionKind::FormFilling => &[
                ("status", Endpoint::FormStatus),
                ("structured_data", Endpoint::FormStructuredData),
            ],
            SessionKind::Ambient | SessionKind::Unknown => &[
                ("contents", Endpoint::Content),
                ("status", Endpoint::Status),
                ("structured_data", Endpoint::StructuredData),
                ("transcripts", Endpoint::Transcript),
            ],
        };
        let of_encounter = [
            ("encounter_content", Endpoint::EncounterContent),
            (
                "encounter_structured_data",
                Endpoint::EncounterStructuredData,
            ),
        ];
        let of_session = endpoints
            .iter()
            .map(|(group, endpoint)| (*group, *endpoint, session.id.as_str()));
        let of_encounter = session
            .encounter_id
            .iter()
            .flat_map(|id| of_encounter.map(|(group, endpoint)| (group, endpoint, id.as_str())));
        of_session
            .chain(of_encounter)
            .filter_map(|(group, endpoint, id)| {
                Some(Served {
                    group,
                    href: endpoint.path().replace("{id}", &bodies::encoded(id)),
                    body: self.body(endpoint, id)?,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::Notification;
    use crate::lab::simulator::{Options, Plan};

    #[test]
    fn what_is_served_is_where_the_links_of_the_notification_lead() {
        let (sdp, mix) = (
            Sdp::new(&Options::default()),
            "success=3,form-filling=2".parse().expect("a mix"),
        );
        for planned in Plan::new(&mix, 1).messages(50) {
            let session = planned.session.expect("a session");
            sdp.add_session(session.clone());
            let told = Notification::parse(planned.message.body).expect("a notification");
            let told: BTreeSet<_> = told
                .links()
                .iter()
                .map(|link| (link.group.as_str().to_owned(), link.href.clone()))
                .collect();
            let served = sdp.served(&session);
            assert!(served.iter().all(|one| one.body.starts_with(b"{")));
            let served: BTreeSet<_> = served
                .into_iter()
                .map(|one| (one.group.to_owned(), one.href))
                .collect();
            assert_eq!(told, served);
        }
    }

    #[test]
    fn of_a_session_that_failed_or_is_not_known_nothing_is_served() {
        let sdp = Sdp::new(&Options::default());
        let failed = Session::ambient("a").with_status("failed");
        sdp.add_session(failed.clone());
        assert_eq!(sdp.served(&failed), []);
        assert_eq!(sdp.served(&Session::ambient("b")), []);
    }
}
