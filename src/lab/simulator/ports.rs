//! Addresses for receivers that run as separate processes and use the same port again after a restart.
//!
//! After a port from the kernel was closed, another user may get it at once: a listener in a concurrent test, or an
//! outgoing connection. So each process uses its own loopback address, made of its process id, and ports of it that the
//! kernel does not assign.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// The first port. It is below the ports that the kernel assigns, which begin at 32768.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// A loopback address on which nobody else listens, now or later.
///
/// # Errors
/// When there is none left, as on a system with only one loopback address.
pub fn own_address() -> io::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(FIRST);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::new(own_ip(process::id()), port);
        match TcpListener::bind(address) {
            // Another process listens on this port on all addresses.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port < LAST => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(address),
        }
    }
}

/// The loopback address for a process id. An id has at most 22 bits; one more bit in front ensures that no address is
/// 127.0.0.x, which everything else uses.
fn own_ip(id: u32) -> IpAddr {
    let [_, high, middle, low] = (id | 1 << 22).to_be_bytes();
    Ipv4Addr::new(127, high, middle, low).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_given_out_once_and_can_be_listened_on() {
        let (one, other) = (own_address().expect("one"), own_address().expect("other"));
        assert_ne!(one, other);
        assert!(one.ip().is_loopback() && other.ip().is_loopback());
        TcpListener::bind(one).expect("listens");
    }

    #[test]
    fn two_processes_have_no_address_in_common() {
        assert_ne!(own_ip(1), own_ip(2));
        assert_eq!(own_ip(1).to_string(), "127.64.0.1");
        assert_eq!(own_ip((1 << 22) - 1).to_string(), "127.127.255.255");
    }
}
