//! Listeners that an outsider keeps: TCP, UDP, Unix sockets by path and by abstract name, a FIFO. Nobody serves them; what
//! arrives waits in the kernel until the stage looks.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use super::files::open_fifo;
use crate::attack::call::{own, sys};

/// The open sockets.
#[derive(Debug)]
pub struct Sockets {
    unique: String,
    tcp: TcpListener,
    tcp6: Option<TcpListener>,
    udp: UdpSocket,
    stream: UnixListener,
    packets: OwnedFd,
    datagram: UnixDatagram,
    abstract_stream: UnixListener,
    abstract_datagram: UnixDatagram,
    pair: (UnixStream, UnixStream),
    fifo: File,
}

impl Sockets {
    /// Opens them; `unique` makes the abstract names.
    pub fn open(outside: &Path, unique: &str) -> io::Result<Self> {
        let address = |kind: &str| SocketAddr::from_abstract_name(format!("{unique}-{kind}"));
        let sockets = Self {
            unique: unique.to_owned(),
            tcp: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
            tcp6: TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok(),
            udp: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
            stream: UnixListener::bind(outside.join("stream.sock"))?,
            packets: seqpacket_listener(&outside.join("packets.sock"))?,
            datagram: UnixDatagram::bind(outside.join("datagram.sock"))?,
            abstract_stream: UnixListener::bind_addr(&address("stream")?)?,
            abstract_datagram: UnixDatagram::bind_addr(&address("datagram")?)?,
            pair: UnixStream::pair()?,
            fifo: open_fifo(outside)?,
        };
        sockets.never_block()?;
        Ok(sockets)
    }

    fn never_block(&self) -> io::Result<()> {
        self.tcp.set_nonblocking(true)?;
        self.tcp6.as_ref().map_or(Ok(()), |tcp6| tcp6.set_nonblocking(true))?;
        self.udp.set_nonblocking(true)?;
        self.stream.set_nonblocking(true)?;
        self.datagram.set_nonblocking(true)?;
        self.abstract_stream.set_nonblocking(true)?;
        self.abstract_datagram.set_nonblocking(true)?;
        self.pair.0.set_nonblocking(true)
    }

    /// The far end of a connected socket, without close-on-exec.
    pub fn forgotten(&self) -> io::Result<OwnedFd> {
        Ok(own(sys!(libc::SYS_dup, self.pair.1.as_raw_fd())?))
    }

    /// Port of the IPv4 listener.
    pub fn tcp_port(&self) -> u16 {
        self.tcp.local_addr().map_or(0, |address| address.port())
    }

    /// Port of the IPv6 listener.
    pub fn tcp6_port(&self) -> Option<u16> {
        Some(self.tcp6.as_ref()?.local_addr().ok()?.port())
    }

    /// Port of the UDP socket.
    pub fn udp_port(&self) -> u16 {
        self.udp.local_addr().map_or(0, |address| address.port())
    }

    /// Name of an abstract socket.
    pub fn abstract_name(&self, kind: &str) -> String {
        format!("{}-{kind}", self.unique)
    }

    /// What arrived, one line for each kind.
    pub fn arrivals(&mut self) -> Vec<String> {
        let mut buffer = [0; 256];
        let packets = sys!(libc::SYS_accept4, &self.packets, 0, 0, libc::SOCK_CLOEXEC);
        let arrived = [
            (self.tcp.accept().is_ok(), "a TCP connection"),
            (self.tcp6.as_ref().is_some_and(|tcp6| tcp6.accept().is_ok()), "a TCP connection over IPv6"),
            (self.udp.recv(&mut buffer).is_ok(), "a UDP datagram"),
            (self.stream.accept().is_ok(), "a connection to stream.sock"),
            (packets.map(own).is_ok(), "a connection to packets.sock"),
            (self.datagram.recv(&mut buffer).is_ok(), "a datagram for datagram.sock"),
            (self.abstract_stream.accept().is_ok(), "a connection to the abstract socket"),
            (self.abstract_datagram.recv(&mut buffer).is_ok(), "a datagram for the abstract socket"),
            (received(&mut self.pair.0), "data on a socket that the caller forgot to close"),
            (received(&mut self.fifo), "data in the FIFO"),
        ];
        arrived
            .into_iter()
            .filter(|(arrived, _)| *arrived)
            .map(|(_, what)| format!("{what} arrived"))
            .collect()
    }
}

/// Whether there are bytes; the end of the stream (nobody has the FIFO open) is none.
fn received(source: &mut impl Read) -> bool {
    source.read(&mut [0; 256]).is_ok_and(|length| length > 0)
}

fn seqpacket_listener(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let socket = own(sys!(libc::SYS_socket, libc::AF_UNIX, flags, 0)?);
    let address = crate::attack::tools::unix_address(path.as_os_str());
    sys!(libc::SYS_bind, &socket, &address, address.len())?;
    sys!(libc::SYS_listen, &socket, 8)?;
    Ok(socket)
}
