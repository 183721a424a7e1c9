//! Operations on sockets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind, connect,
    listen, recv, send, socket, socketpair,
};

/// Runs the operation, if it is one of these with so many arguments.
pub fn run(name: &str, args: &[&Path]) -> Option<io::Result<()>> {
    Some(match (name, args) {
        ("connect-tcp", [address]) => address_of(address).and_then(TcpStream::connect).and_then(greet),
        ("send-udp", [address]) => send_udp(address),
        ("connect-unix", [path]) => UnixStream::connect(path).map(drop),
        ("connect-seqpacket", [path]) => connect_seqpacket(path),
        ("send-unix", [path]) => {
            UnixDatagram::unbound().and_then(|socket| socket.send_to(b"probe", path)).map(drop)
        }
        ("bind-unix", [path]) => UnixListener::bind(path).map(drop),
        ("tcp-talk", [address]) => tcp_talk(address),
        ("unix-talk", [path]) => unix_talk(path),
        ("seqpacket-talk", [path]) => seqpacket_talk(path),
        ("pair-talk", []) => pair_talk().map_err(Into::into),
        _ => return None,
    })
}

fn address_of(text: &Path) -> io::Result<SocketAddr> {
    let text = text.to_string_lossy();
    text.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{text} is no address")))
}

/// A connection counts once a byte came back: the listeners of the tests send one.
fn greet(mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0])
}

fn send_udp(address: &Path) -> io::Result<()> {
    let address = address_of(address)?;
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    UdpSocket::bind(any)?.send_to(b"probe", address).map(drop)
}

fn unix_address(path: &Path) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(path)?)
}

fn seqpacket() -> rustix::io::Result<OwnedFd> {
    socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)
}

fn connect_seqpacket(path: &Path) -> io::Result<()> {
    Ok(connect(seqpacket()?, &unix_address(path)?)?)
}

/// A server and its client, in one process.
fn tcp_talk(address: &Path) -> io::Result<()> {
    let listener = TcpListener::bind(address_of(address)?)?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    talk(client, server)
}

fn unix_talk(path: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    let client = UnixStream::connect(path)?;
    let (server, _) = listener.accept()?;
    talk(client, server)
}

fn talk(mut client: impl Read + Write, mut server: impl Read + Write) -> io::Result<()> {
    let mut word = [0; 4];
    client.write_all(b"ping")?;
    server.read_exact(&mut word)?;
    server.write_all(&word)?;
    client.read_exact(&mut word)?;
    if &word == b"ping" { Ok(()) } else { Err(io::Error::other("the answer differs")) }
}

fn seqpacket_talk(path: &Path) -> io::Result<()> {
    let (server, client) = (seqpacket()?, seqpacket()?);
    bind(&server, &unix_address(path)?)?;
    listen(&server, 1)?;
    connect(&client, &unix_address(path)?)?;
    Ok(packet(&client, &accept(&server)?)?)
}

fn pair_talk() -> rustix::io::Result<()> {
    for kind in [SocketType::STREAM, SocketType::DGRAM, SocketType::SEQPACKET] {
        let (one, other) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        packet(&one, &other)?;
        packet(&other, &one)?;
    }
    Ok(())
}

fn packet(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    let mut word = [0; 8];
    send(from, b"ping", SendFlags::empty())?;
    let (count, _) = recv(to, &mut word, RecvFlags::empty())?;
    if &word[..count] == b"ping" { Ok(()) } else { Err(rustix::io::Errno::BADMSG) }
}
