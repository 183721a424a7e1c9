//! Socket families that reach past network namespaces, or into corners of the kernel. Opening one is the whole attempt.

use super::socket;
use crate::attack::attempt::{Attempt, Group, Need};
use crate::attack::call::sys;
use crate::attack::tools::probe;
use crate::attack::verdict::{Step, Tried};

const PART: &[Need] = &[Need::Facility];
const ROOT_AND_PART: &[Need] = &[Need::Root, Need::Facility];

/// An attempt that opens a socket.
macro_rules! family {
    ($name:literal, $what:literal, $family:expr, $kind:expr, $protocol:expr, $needs:expr) => {
        Attempt::seen_inside(Group::Network, $name, $what, |_| open($family, $kind, $protocol)).needs($needs)
    };
}

/// Families that not every C library names (linux/socket.h).
const NFC: i32 = 39;
const VSOCK: i32 = 40;
const QIPCRTR: i32 = 42;
const SMC: i32 = 43;
const XDP: i32 = 44;

const STREAM: i32 = libc::SOCK_STREAM;
const DATAGRAM: i32 = libc::SOCK_DGRAM;
const RAW: i32 = libc::SOCK_RAW;
const PACKETS: i32 = libc::SOCK_SEQPACKET;

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    family!("vsock", "open a vsock, which knows no network namespace", VSOCK, STREAM, 0, PART),
    family!("vsock-datagram", "open a vsock for datagrams", VSOCK, DATAGRAM, 0, PART),
    Attempt::seen_inside(Group::Network, "vsock-connect", "connect to the hypervisor by vsock", |_| {
        let socket = socket(VSOCK, STREAM | libc::SOCK_NONBLOCK, 0).attack("socket")?;
        // sockaddr_vm: family, reserved, port 1, VMADDR_CID_HOST.
        let mut address = (VSOCK as u16).to_ne_bytes().to_vec();
        address.extend([0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        // Whether anybody answers is not the question.
        let reached =
            [libc::EINPROGRESS, libc::ECONNRESET, libc::ENODEV, libc::ETIMEDOUT, libc::EHOSTUNREACH];
        probe(sys!(libc::SYS_connect, &socket, &address, address.len()), &reached, "connect")
    })
    .needs(PART),
    family!("kernel-crypto", "open the kernel's cryptography (AF_ALG)", libc::AF_ALG, PACKETS, 0, PART),
    family!("packet", "open a packet socket", libc::AF_PACKET, RAW, 0, ROOT_AND_PART),
    family!("bluetooth", "open a Bluetooth socket", libc::AF_BLUETOOTH, RAW, 1, PART),
    family!("can", "open a CAN socket", libc::AF_CAN, RAW, 1, PART),
    family!("key", "open an IPsec key socket", libc::AF_KEY, RAW, 2, ROOT_AND_PART),
    family!("xdp", "open an XDP socket", XDP, RAW, 0, ROOT_AND_PART),
    family!("tipc", "open a TIPC socket", libc::AF_TIPC, STREAM, 0, PART),
    family!("rds", "open an RDS socket", libc::AF_RDS, PACKETS, 0, PART),
    family!("appletalk", "open an AppleTalk socket", libc::AF_APPLETALK, DATAGRAM, 0, PART),
    family!("ax25", "open an AX.25 socket", libc::AF_AX25, PACKETS, 0, PART),
    family!("nfc", "open an NFC socket", NFC, RAW, 0, PART),
    family!("smc", "open an SMC socket, which may be TCP", SMC, STREAM, 0, PART),
    family!("ieee802154", "open an IEEE 802.15.4 socket", libc::AF_IEEE802154, DATAGRAM, 0, PART),
    family!("pppox", "open a PPPoX socket", libc::AF_PPPOX, STREAM, 0, PART),
    family!("qipcrtr", "open a Qualcomm router socket", QIPCRTR, DATAGRAM, 0, PART),
    family!(
        "netlink-uevent",
        "listen for device events",
        libc::AF_NETLINK,
        RAW,
        libc::NETLINK_KOBJECT_UEVENT,
        PART
    ),
    family!("netlink-audit", "open the audit system", libc::AF_NETLINK, RAW, libc::NETLINK_AUDIT, PART),
    family!(
        "netlink-netfilter",
        "open the packet filter",
        libc::AF_NETLINK,
        RAW,
        libc::NETLINK_NETFILTER,
        PART
    ),
    family!("netlink-generic", "open generic netlink", libc::AF_NETLINK, RAW, libc::NETLINK_GENERIC, PART),
    family!(
        "netlink-diagnosis",
        "list sockets (sock_diag)",
        libc::AF_NETLINK,
        RAW,
        libc::NETLINK_SOCK_DIAG,
        PART
    ),
    family!(
        "netlink-connector",
        "listen for process events",
        libc::AF_NETLINK,
        DATAGRAM,
        libc::NETLINK_CONNECTOR,
        PART
    ),
    family!(
        "netlink-crypto",
        "configure the kernel's cryptography",
        libc::AF_NETLINK,
        RAW,
        libc::NETLINK_CRYPTO,
        PART
    ),
];

fn open(family: i32, kind: i32, protocol: i32) -> Tried {
    socket(family, kind, protocol).attack("socket").map(|_| "opened".into())
}
