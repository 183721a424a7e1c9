//! Unix sockets of an outsider: stand-ins for docker.sock, ssh-agent, D-Bus, /dev/log. By path and by abstract name, with every
//! call that takes an address.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{Message, network, socket};
use crate::attack::attempt::Attempt;
use crate::attack::call::{own, sys};
use crate::attack::tools::{CWD, MARK, c, done, open_path, unix_address};
use crate::attack::verdict::{Step, Tried};

const STREAM: i32 = libc::SOCK_STREAM;
const DATAGRAM: i32 = libc::SOCK_DGRAM;

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    network("unix-stream", "connect to an outsider's socket by path", |s| {
        connect(STREAM, &s.theirs("stream.sock"))
    }),
    network("unix-packets", "connect to an outsider's SOCK_SEQPACKET socket", |s| {
        connect(libc::SOCK_SEQPACKET, &s.theirs("packets.sock"))
    }),
    network("unix-datagram-connect", "connect to an outsider's datagram socket, and send", |s| {
        let socket = socket(libc::AF_UNIX, DATAGRAM, 0).attack("socket")?;
        connect_and_send(&socket, &s.theirs("datagram.sock"))
    }),
    network("unix-datagram-sendto", "send to an outsider's datagram socket by sendto(2)", |s| {
        let socket = socket(libc::AF_UNIX, DATAGRAM, 0).attack("socket")?;
        send_to(&socket, &s.theirs("datagram.sock"))
    }),
    network("unix-datagram-sendmsg", "the same by sendmsg(2)", |s| {
        let socket = socket(libc::AF_UNIX, DATAGRAM, 0).attack("socket")?;
        let address = unix_address(s.theirs("datagram.sock").as_os_str());
        done(Message::new(&address, MARK).send(&socket), "sendmsg")
    }),
    network("unix-datagram-sendmmsg", "the same by sendmmsg(2)", |s| {
        let socket = socket(libc::AF_UNIX, DATAGRAM, 0).attack("socket")?;
        let address = unix_address(s.theirs("datagram.sock").as_os_str());
        done(Message::new(&address, MARK).send_many(&socket), "sendmmsg")
    }),
    network(
        "unix-raw-sendto",
        "the same with a socket of type SOCK_RAW, which unix(7) takes for a datagram socket",
        |s| {
            let socket = socket(libc::AF_UNIX, libc::SOCK_RAW, 0).attack("socket")?;
            send_to(&socket, &s.theirs("datagram.sock"))
        },
    ),
    network("unix-pair-sendto", "send to an outsider's datagram socket from one of a pair", |s| {
        send_to(&pair(DATAGRAM)?, &s.theirs("datagram.sock"))
    })
    .may_believe(),
    network("unix-pair-sendmsg", "the same by sendmsg(2)", |s| {
        let address = unix_address(s.theirs("datagram.sock").as_os_str());
        done(Message::new(&address, MARK).send(&pair(DATAGRAM)?), "sendmsg")
    })
    .may_believe(),
    network("unix-pair-sendmmsg", "the same by sendmmsg(2)", |s| {
        let address = unix_address(s.theirs("datagram.sock").as_os_str());
        done(Message::new(&address, MARK).send_many(&pair(DATAGRAM)?), "sendmmsg")
    })
    .may_believe(),
    network("unix-pair-connect", "connect one of a pair to an outsider's datagram socket, and send", |s| {
        connect_and_send(&pair(DATAGRAM)?, &s.theirs("datagram.sock"))
    }),
    network("unix-pair-raw", "the same with a pair of type SOCK_RAW", |s| {
        send_to(&pair(libc::SOCK_RAW)?, &s.theirs("datagram.sock"))
    })
    .may_believe(),
    network("unix-pair-reconnect", "dissolve a pair (AF_UNSPEC), and send to an outsider", |s| {
        let near = pair(DATAGRAM)?;
        let nobody = [0; 16];
        let _refused = sys!(libc::SYS_connect, &near, &nobody[..], nobody.len());
        send_to(&near, &s.theirs("datagram.sock"))
    })
    .may_believe(),
    network("unix-stream-pair-connect", "connect one of a stream pair to an outsider's socket", |s| {
        // Already connected, which outside ends this way; a fresh socket of the same type is the real thing.
        let address = unix_address(s.theirs("stream.sock").as_os_str());
        let near = pair(STREAM)?;
        let connected = sys!(libc::SYS_connect, &near, &address, address.len());
        if connected.is_ok() { done(connected, "connect") } else { connect(STREAM, &s.theirs("stream.sock")) }
    }),
    network("unix-through-a-link", "connect through a symbolic link of the workspace", |s| {
        let link = s.ours("sock");
        symlink(s.theirs("stream.sock"), &link).ready("symlink")?;
        connect(STREAM, &link)
    }),
    network("unix-through-a-folder-link", "connect below a symbolic link to the outside folder", |s| {
        let link = s.ours("socks");
        symlink(s.outside(), &link).ready("symlink")?;
        connect(STREAM, &link.join("stream.sock"))
    }),
    network("unix-relative", "change into the outside folder and connect by a relative name", |s| {
        std::env::set_current_dir(s.outside()).ready("chdir")?;
        connect(STREAM, "stream.sock".as_ref())
    }),
    network("unix-by-proc", "connect through /proc/self/fd of an O_PATH descriptor of the socket", |s| {
        let fd = open_path(&s.theirs("stream.sock"))?;
        connect(STREAM, format!("/proc/self/fd/{}", fd.as_raw_fd()).as_ref())
    }),
    network("unix-by-proc-root", "connect through /proc/self/root", |s| {
        let path = s.theirs("stream.sock");
        // A long scene would not fit into sun_path; then the folder's magic link is as good.
        let rooted = Path::new("/proc/self/root").join(path.strip_prefix("/").unwrap_or(&path));
        if rooted.as_os_str().len() < 100 {
            return connect(STREAM, &rooted);
        }
        let folder = open_path(&s.outside())?;
        connect(STREAM, format!("/proc/self/fd/{}/stream.sock", folder.as_raw_fd()).as_ref())
    }),
    network(
        "unix-linked-in",
        "give an outsider's socket a name in the workspace, and connect to that",
        |s| {
            let (from, to) = (c(&s.theirs("stream.sock")), c(&s.ours("sock")));
            sys!(libc::SYS_linkat, CWD, &from, CWD, &to, 0).attack("linkat")?;
            connect(STREAM, &s.ours("sock"))
        },
    ),
    network("unix-bind-outside", "make a socket outside by bind(2)", |s| {
        let socket = socket(libc::AF_UNIX, STREAM, 0).ready("socket")?;
        let address = unix_address(s.theirs("new.sock").as_os_str());
        done(sys!(libc::SYS_bind, &socket, &address, address.len()), "bind")
    }),
    network("unix-bind-through-a-link", "make a socket outside by bind(2) through a folder link", |s| {
        let socket = socket(libc::AF_UNIX, STREAM, 0).ready("socket")?;
        let address = unix_address(s.ours("to-folder/new.sock").as_os_str());
        done(sys!(libc::SYS_bind, &socket, &address, address.len()), "bind")
    }),
    network("abstract-stream", "connect to an outsider's abstract socket", |s| {
        connect(STREAM, abstract_name(&s.abstract_stream).as_ref())
    }),
    network("abstract-datagram", "send to an outsider's abstract datagram socket", |s| {
        let socket = socket(libc::AF_UNIX, DATAGRAM, 0).attack("socket")?;
        send_to(&socket, abstract_name(&s.abstract_datagram).as_ref())
    }),
    network(
        "abstract-from-a-pair",
        "send to an outsider's abstract datagram socket from one of a pair",
        |s| send_to(&pair(DATAGRAM)?, abstract_name(&s.abstract_datagram).as_ref()),
    )
    .may_believe(),
    network("abstract-pair-connect", "connect one of a pair to an abstract datagram socket, and send", |s| {
        connect_and_send(&pair(DATAGRAM)?, abstract_name(&s.abstract_datagram).as_ref())
    }),
];

fn abstract_name(name: &str) -> OsString {
    format!("\0{name}").into()
}

fn pair(kind: i32) -> Result<OwnedFd, crate::attack::verdict::Stop> {
    let mut ends = [0; 8];
    let made = sys!(libc::SYS_socketpair, libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, ends.as_mut_slice());
    made.ready("socketpair")?;
    let end = |at: usize| i32::from_ne_bytes([ends[at], ends[at + 1], ends[at + 2], ends[at + 3]]);
    // The far end stays open, unused, until the process ends.
    Ok(own(end(0).into()))
}

fn connect(kind: i32, path: &Path) -> Tried {
    let socket = socket(libc::AF_UNIX, kind, 0).attack("socket")?;
    let address = unix_address(path.as_os_str());
    done(sys!(libc::SYS_connect, &socket, &address, address.len()), "connect")
}

fn connect_and_send(socket: &OwnedFd, path: &Path) -> Tried {
    let address = unix_address(path.as_os_str());
    sys!(libc::SYS_connect, socket, &address, address.len()).attack("connect")?;
    let sent: io::Result<i64> = sys!(libc::SYS_write, socket, MARK, MARK.len());
    done(sent, "write")
}

fn send_to(socket: &OwnedFd, path: &Path) -> Tried {
    let address = unix_address(path.as_os_str());
    done(sys!(libc::SYS_sendto, socket, MARK, MARK.len(), 0, &address, address.len()), "sendto")
}
