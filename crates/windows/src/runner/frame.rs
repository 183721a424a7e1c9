//! Frames: four bytes of length, little-endian, and as many bytes.

use std::io::{self, Read, Write};

use super::error::{Broken, ProtocolError};

/// The longest frame, without its length.
pub const FRAME: usize = 8 << 20;

/// Bytes of the length in front.
pub const HEAD: usize = 4;

/// At first so much is allocated; more only for what has arrived.
const FIRST: usize = 256 << 10;

/// Reads one frame. `None` at the end of the channel between two frames.
///
/// # Errors
/// [`Broken`]: the channel's, a frame of no or too many bytes, an end within a frame.
pub fn read(channel: &mut impl Read) -> Result<Option<Vec<u8>>, Broken> {
    let mut head = [0; HEAD];
    let mut have = 0;
    while have < HEAD {
        match channel.read(&mut head[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(ProtocolError::Short.into()),
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if have == 0 => return ended(error),
            Err(error) => return Err(error.into()),
        }
    }
    let len = u32::from_le_bytes(head);
    let wanted = usize::try_from(len).unwrap_or(usize::MAX);
    if !(1..=FRAME).contains(&wanted) {
        return Err(ProtocolError::FrameLength(len).into());
    }
    let mut frame = Vec::with_capacity(wanted.min(FIRST));
    let have = channel.take(u64::from(len)).read_to_end(&mut frame)?;
    if have < wanted { Err(ProtocolError::Short.into()) } else { Ok(Some(frame)) }
}

/// Between two frames a broken pipe is an end like another.
fn ended(error: io::Error) -> Result<Option<Vec<u8>>, Broken> {
    match Broken::from(error) {
        Broken::Closed => Ok(None),
        other => Err(other),
    }
}

/// A frame that is being written: [`HEAD`] bytes are kept free for its length.
pub fn begin(room: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD + room);
    frame.extend_from_slice(&[0; HEAD]);
    frame
}

/// Puts the length in front.
///
/// # Errors
/// [`ProtocolError::FrameLength`].
pub fn finish(frame: &mut [u8]) -> Result<(), ProtocolError> {
    let len = frame.len() - HEAD;
    let told = u32::try_from(len).unwrap_or(u32::MAX);
    if !(1..=FRAME).contains(&len) {
        return Err(ProtocolError::FrameLength(told));
    }
    frame[..HEAD].copy_from_slice(&told.to_le_bytes());
    Ok(())
}

/// Writes a finished frame, in one call where the channel takes it so.
///
/// # Errors
/// The channel's.
pub fn write(channel: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    channel.write_all(frame)?;
    channel.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut frame = begin(body.len());
        frame.extend_from_slice(body);
        finish(&mut frame).expect("short enough");
        frame
    }

    #[test]
    fn what_is_written_is_read_and_the_end_is_seen() {
        let bytes = [framed(b"a"), framed(b"bcd")].concat();
        let mut channel = bytes.as_slice();
        assert_eq!(read(&mut channel).expect("a frame"), Some(b"a".to_vec()));
        assert_eq!(read(&mut channel).expect("a frame"), Some(b"bcd".to_vec()));
        assert_eq!(read(&mut channel).expect("the end"), None);
    }

    #[test]
    fn lengths_are_checked_before_anything_is_allocated() {
        for len in [0, u32::try_from(FRAME).expect("8 MiB") + 1, u32::MAX] {
            let error = read(&mut len.to_le_bytes().as_slice()).expect_err("refused");
            assert!(matches!(error, Broken::Protocol(ProtocolError::FrameLength(told)) if told == len));
        }
        assert!(finish(&mut begin(0)).is_err());
        assert!(finish(&mut vec![0; HEAD + FRAME + 1]).is_err());
    }

    #[test]
    fn an_end_within_a_frame_is_no_end() {
        let whole = framed(b"abc");
        for len in 1..whole.len() {
            let error = read(&mut &whole[..len]).expect_err("it is cut");
            assert!(matches!(error, Broken::Protocol(ProtocolError::Short)), "{len}: {error}");
        }
    }

    #[test]
    fn a_length_alone_allocates_little() {
        struct Never(usize);
        impl Read for Never {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                let head = u32::try_from(FRAME).expect("8 MiB").to_le_bytes();
                assert!(room.len() <= 2 * FIRST, "room for {} bytes", room.len());
                if self.0 == HEAD {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                room[0] = head[self.0];
                self.0 += 1;
                Ok(1)
            }
        }
        assert!(matches!(read(&mut Never(0)), Err(Broken::Closed)));
    }
}
