//! Addresses for receivers that run as processes of their own, and come back on the same port after a restart.
//!
//! A port that the kernel gave out and got back may be another's a moment later: a listener's in a test beside this one,
//! or an outgoing connection's. So each process has an address of loopback for itself, made of its id, and takes ports
//! of it that the kernel does not give out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the kernel gives out, which begin at 32768.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// An address of loopback that nobody else listens on, now or later.
///
/// # Errors
/// When there is none left, as on a system whose loopback is one address only.
pub fn own_address() -> io::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(FIRST);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::new(own_ip(process::id()), port);
        match TcpListener::bind(address) {
            // Someone listens there on all addresses.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port < LAST => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(address),
        }
    }
}

/// An id has at most 22 bits; with one more in front of them no address is 127.0.0.x, which all others use.
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
