//! Names of errors.

use std::io;

use rustix::io::Errno;

/// `ok`, or the name of the error as errno(3) has it.
pub fn shown(result: io::Result<()>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(errno) => {
                name(errno).map_or_else(|| format!("errno {}", errno.raw_os_error()), str::to_owned)
            }
            None => format!("failed: {error}"),
        },
    }
}

fn name(errno: Errno) -> Option<&'static str> {
    const NAMES: [(Errno, &str); 28] = [
        (Errno::PERM, "EPERM"),
        (Errno::NOENT, "ENOENT"),
        (Errno::ACCESS, "EACCES"),
        (Errno::EXIST, "EEXIST"),
        (Errno::XDEV, "EXDEV"),
        (Errno::NOTDIR, "ENOTDIR"),
        (Errno::ISDIR, "EISDIR"),
        (Errno::INVAL, "EINVAL"),
        (Errno::TXTBSY, "ETXTBSY"),
        (Errno::ROFS, "EROFS"),
        (Errno::BUSY, "EBUSY"),
        (Errno::NXIO, "ENXIO"),
        (Errno::LOOP, "ELOOP"),
        (Errno::NAMETOOLONG, "ENAMETOOLONG"),
        (Errno::NOTEMPTY, "ENOTEMPTY"),
        (Errno::NOSYS, "ENOSYS"),
        (Errno::NODATA, "ENODATA"),
        (Errno::NOTSUP, "ENOTSUP"),
        (Errno::AFNOSUPPORT, "EAFNOSUPPORT"),
        (Errno::ADDRINUSE, "EADDRINUSE"),
        (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (Errno::NETUNREACH, "ENETUNREACH"),
        (Errno::HOSTUNREACH, "EHOSTUNREACH"),
        (Errno::CONNREFUSED, "ECONNREFUSED"),
        (Errno::TIMEDOUT, "ETIMEDOUT"),
        (Errno::MLINK, "EMLINK"),
        (Errno::AGAIN, "EAGAIN"),
        (Errno::PROTONOSUPPORT, "EPROTONOSUPPORT"),
    ];
    NAMES.iter().find(|(known, _)| *known == errno).map(|(_, name)| *name)
}
