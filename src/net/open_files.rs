//! The limit of open files of this process. Every connection counts as one; if a listener used them all, the store, the
//! sinks and the admin listener would have none.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The number of files reserved for other purposes than the public listener's connections: store, log, sinks, calls to
/// the vendor's API, the admin listener's connections.
const RESERVE: u64 = 512;
/// When the limit is too small for [`RESERVE`], one part in this many is reserved.
const SHARE: u64 = 4;

/// Raises the limit of this process as far as the system allows, and returns the new limit. `None` if there is no
/// limit.
pub fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current == maximum {
        return maximum;
    }
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(error = %error, limit = current, "the limit of open files cannot be raised");
            current
        }
    }
}

/// How many of the `wanted` connections fit into a limit of open files. Logs a warning if not all do.
pub fn connections_within(limit: Option<u64>, wanted: usize) -> usize {
    let Some(limit) = limit else {
        return wanted;
    };
    let most = limit - RESERVE.min(limit / SHARE);
    let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
    if wanted > most {
        tracing::warn!(
            max_connections = wanted,
            open_files = limit,
            connections = most,
            "server.max_connections is more than the limit of open files allows; fewer connections are taken. \
             Raise the limit (LimitNOFILE= in a systemd unit, --ulimit nofile= of a container), or lower server.max_connections"
        );
    }
    wanted.min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_everything_else() {
        for (limit, wanted, expected) in [
            (None, 10_000, 10_000),
            (Some(1_048_576), 10_000, 10_000),
            (Some(10_512), 10_000, 10_000),
            (Some(10_511), 10_000, 9_999),
            (Some(1024), 10_000, 768),
            (Some(1), 10_000, 1),
        ] {
            assert_eq!(connections_within(limit, wanted), expected, "{limit:?}");
        }
    }
}
