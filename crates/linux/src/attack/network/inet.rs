//! IPv4 and IPv6: listeners of an outsider on the host's loopback, and sockets below them.

use super::{Message, network, socket};
use crate::attack::attempt::{Attempt, Group, Need};
use crate::attack::call::sys;
use crate::attack::scene::Scene;
use crate::attack::tools::{MARK, done};
use crate::attack::verdict::{Step, Stop, Tried};

const PART: &[Need] = &[Need::Facility];

const fn opens(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_inside(Group::Network, name, what, run)
}

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    network("tcp", "connect to a TCP listener on the host's 127.0.0.1", |s| {
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0).attack("socket")?;
        let address = v4([127, 0, 0, 1], s.tcp);
        done(sys!(libc::SYS_connect, &socket, &address, address.len()), "connect")
    }),
    network("tcp-by-another-loopback-address", "connect to the same by 0.0.0.0", |s| {
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0).attack("socket")?;
        let address = v4([0, 0, 0, 0], s.tcp);
        done(sys!(libc::SYS_connect, &socket, &address, address.len()), "connect")
    }),
    network("tcp6", "connect to a TCP listener on the host's ::1", |s| {
        let Some(port) = s.tcp6 else { return Err(Stop::skipped("the host has no IPv6")) };
        let socket = socket(libc::AF_INET6, libc::SOCK_STREAM, 0).attack("socket")?;
        let mut ip = [0; 16];
        ip[15] = 1;
        let address = v6(ip, port);
        done(sys!(libc::SYS_connect, &socket, &address, address.len()), "connect")
    }),
    network("tcp-by-mapped-address", "connect to 127.0.0.1 by an IPv6 socket (::ffff:127.0.0.1)", |s| {
        if s.tcp6.is_none() {
            return Err(Stop::skipped("the host has no IPv6"));
        }
        let socket = socket(libc::AF_INET6, libc::SOCK_STREAM, 0).attack("socket")?;
        let address = v6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1], s.tcp);
        done(sys!(libc::SYS_connect, &socket, &address, address.len()), "connect")
    }),
    network("tcp-fast-open", "connect by sending (MSG_FASTOPEN), without connect(2)", |s| {
        /// MSG_FASTOPEN.
        const FAST_OPEN: i32 = 0x2000_0000;
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0).attack("socket")?;
        let address = v4([127, 0, 0, 1], s.tcp);
        done(sys!(libc::SYS_sendto, &socket, MARK, MARK.len(), FAST_OPEN, &address, address.len()), "sendto")
    })
    .needs(PART),
    network("mptcp", "connect by multipath TCP", |s| {
        /// IPPROTO_MPTCP.
        const MPTCP: i32 = 262;
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, MPTCP).attack("socket")?;
        let address = v4([127, 0, 0, 1], s.tcp);
        done(sys!(libc::SYS_connect, &socket, &address, address.len()), "connect")
    })
    .needs(PART),
    network("udp", "send a datagram to the host's 127.0.0.1", |s| {
        let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0).attack("socket")?;
        let address = v4([127, 0, 0, 1], s.udp);
        done(sys!(libc::SYS_sendto, &socket, MARK, MARK.len(), 0, &address, address.len()), "sendto")
    })
    .may_believe(),
    network("udp-by-sendmsg", "the same by sendmsg(2) and sendmmsg(2)", |s| {
        let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0).attack("socket")?;
        let address = v4([127, 0, 0, 1], s.udp);
        let message = Message::new(&address, MARK);
        done(message.send(&socket).or_else(|_| message.send_many(&socket)), "sendmsg, sendmmsg")
    })
    .may_believe(),
    opens("raw", "open a raw IPv4 socket", |_| {
        socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP).attack("socket").map(|_| "opened".into())
    })
    .needs(&[Need::Root]),
    opens("raw6", "open a raw IPv6 socket", |_| {
        socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6).attack("socket").map(|_| "opened".into())
    })
    .needs(&[Need::Root, Need::Facility]),
    opens("leave-by-any-interface", "find a network interface other than loopback", |_| {
        let devices = std::fs::read_to_string("/proc/self/net/dev").ready("/proc/self/net/dev")?;
        let names = devices.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim);
        // Tunnel devices that a kernel makes by itself in every namespace, unconfigured.
        let by_itself = [
            "lo", "sit0", "tunl0", "gre0", "gretap0", "erspan0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0",
        ];
        let others: Vec<&str> = names.filter(|name| !by_itself.contains(name)).collect();
        if others.is_empty() {
            Err(Stop::refused(
                &std::io::Error::from_raw_os_error(libc::ENOENT),
                "an interface other than loopback",
            ))
        } else {
            Ok(others.join(", "))
        }
    })
    .needs(&[Need::File])
    .open_without_namespaces(),
];

/// `sockaddr_in`.
fn v4(ip: [u8; 4], port: u16) -> Vec<u8> {
    [&(libc::AF_INET as u16).to_ne_bytes()[..], &port.to_be_bytes(), &ip, &[0; 8]].concat()
}

/// `sockaddr_in6`.
fn v6(ip: [u8; 16], port: u16) -> Vec<u8> {
    [&(libc::AF_INET6 as u16).to_ne_bytes()[..], &port.to_be_bytes(), &[0; 4], &ip, &[0; 4]].concat()
}
