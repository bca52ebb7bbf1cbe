//! The user who runs a command, for the audit log: the system's user, and for root also the user who became root.

use std::os::unix::fs::MetadataExt;

/// The user in the form of the audit log: `cli:alice`, or `cli:root(alice)` if Alice acts as root.
pub(super) fn actor() -> String {
    // The owner of this process according to the kernel; the environment could be set to anything.
    let own = std::fs::metadata("/proc/self").map_or(0, |process| process.uid());
    let own_name = name_of(own);
    match login() {
        Some(login) if login != own => format!("cli:{own_name}({})", name_of(login)),
        Some(_) | None => format!("cli:{own_name}"),
    }
}

/// The user who logged in, if the system records it (pam_loginuid(8)).
fn login() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/self/loginuid").ok()?;
    text.trim().parse().ok().filter(|id| *id != u32::MAX)
}

/// The name of a user, or the number if the user has no name on this system.
fn name_of(id: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    named(&users, id).unwrap_or_else(|| format!("uid {id}"))
}

/// The name of a user in a file in the format of passwd(5).
fn named(users: &str, id: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(named(users, 1000).as_deref(), Some("alice"));
        assert_eq!(named(users, 7), None);
    }
}
