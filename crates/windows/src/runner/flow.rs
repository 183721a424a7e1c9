//! One direction of one stream: who sends takes from a window, who receives gives back what has been read. Nothing is lost, and never
//! more than [`WINDOW`] bytes are held.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::error::ProtocolError;
use super::message::Payload;
use super::{DATA, WINDOW};

/// So many bytes are read before they are given back: rarely enough not to cost, soon enough that the sender never waits for a
/// reader who keeps up.
const GIVE_BACK: usize = WINDOW / 4;

/// Pieces up to this length are put together while they wait.
const SMALL: usize = 4 << 10;

/// A panic of another thread leaves the counts as they were: each is changed in one go.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sending side.
#[derive(Debug)]
pub struct Outlet {
    state: Mutex<Window>,
    changed: Condvar,
}

#[derive(Debug)]
struct Window {
    free: usize,
    open: bool,
}

impl Default for Outlet {
    fn default() -> Self {
        Self { state: Mutex::new(Window { free: WINDOW, open: true }), changed: Condvar::new() }
    }
}

impl Outlet {
    /// Waits until something may be sent, and takes up to `most` bytes of it. `None` once nobody wants any.
    pub fn reserve(&self, most: usize) -> Option<usize> {
        let wait = |window: &mut Window| window.open && window.free == 0;
        let mut window =
            self.changed.wait_while(lock(&self.state), wait).unwrap_or_else(PoisonError::into_inner);
        if !window.open {
            return None;
        }
        let count = most.min(window.free);
        window.free -= count;
        Some(count)
    }

    /// Puts back what was reserved and not sent.
    pub fn put_back(&self, bytes: usize) {
        lock(&self.state).free += bytes;
        self.changed.notify_all();
    }

    /// The receiver has read so many bytes.
    ///
    /// # Errors
    /// [`ProtocolError::Credit`]: more than were sent.
    pub fn credit(&self, bytes: u32) -> Result<(), ProtocolError> {
        let mut window = lock(&self.state);
        let free = usize::try_from(bytes).ok().and_then(|bytes| window.free.checked_add(bytes));
        window.free = free.filter(|free| *free <= WINDOW).ok_or(ProtocolError::Credit)?;
        self.changed.notify_all();
        Ok(())
    }

    /// Nobody wants any more.
    pub fn close(&self) {
        lock(&self.state).open = false;
        self.changed.notify_all();
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it has come.
    Whole,
    /// The session broke: what has come may not be all.
    Cut,
}

/// The receiving side.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    queue: VecDeque<Payload>,
    /// Received and not given back: what the sender cannot send again yet.
    outstanding: usize,
    /// Of these, read.
    read: usize,
    end: Option<End>,
    unwanted: bool,
}

impl Inbox {
    /// One that ended before anything came: of a stream that is connected to nothing.
    pub fn ended() -> Self {
        let inbox = Self::default();
        lock(&inbox.state).end = Some(End::Whole);
        inbox
    }

    /// Bytes have come.
    ///
    /// # Errors
    /// [`ProtocolError::Credit`]: more than were asked for; [`ProtocolError::Turn`]: after the end.
    pub fn push(&self, data: Payload) -> Result<(), ProtocolError> {
        let mut held = lock(&self.state);
        if held.end.is_some() {
            return Err(ProtocolError::Turn("bytes of a stream that has ended"));
        }
        held.outstanding += data.len();
        if held.outstanding > WINDOW {
            return Err(ProtocolError::Credit);
        }
        if held.unwanted {
            return Ok(());
        }
        match held.queue.back_mut() {
            // Else a million single letters would take a hundred times their room.
            Some(last) if data.len() <= SMALL && last.len() < DATA => last.append(&data),
            _ => held.queue.push_back(data),
        }
        self.changed.notify_all();
        Ok(())
    }

    /// No more will come; the first end counts. Whether it is the first.
    pub fn end(&self, end: End) -> bool {
        let mut held = lock(&self.state);
        let first = held.end.is_none();
        held.end.get_or_insert(end);
        self.changed.notify_all();
        first
    }

    /// Whether no more will come.
    pub fn has_ended(&self) -> bool {
        lock(&self.state).end.is_some()
    }

    /// Waits for the next bytes; the end when all have been taken.
    ///
    /// # Errors
    /// The [`End`].
    pub fn take(&self) -> Result<Payload, End> {
        let wait = |held: &mut Held| held.queue.is_empty() && held.end.is_none() && !held.unwanted;
        let mut held =
            self.changed.wait_while(lock(&self.state), wait).unwrap_or_else(PoisonError::into_inner);
        held.queue.pop_front().ok_or(held.end.unwrap_or(End::Cut))
    }

    /// So many bytes have been used; how many the sender is to be given back now.
    pub fn used(&self, bytes: usize) -> Option<u32> {
        let mut held = lock(&self.state);
        held.read += bytes;
        if held.read < GIVE_BACK || held.end.is_some() {
            return None;
        }
        let back = std::mem::take(&mut held.read);
        held.outstanding -= back;
        u32::try_from(back).ok()
    }

    /// Nobody reads any more: what is there and what comes is dropped, and [`Self::take`] ends.
    pub fn close(&self) {
        let mut held = lock(&self.state);
        held.unwanted = true;
        held.queue.clear();
        self.changed.notify_all();
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        lock(&self.state).queue.iter().map(Payload::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(len: usize) -> Payload {
        Payload::from(vec![7; len])
    }

    #[test]
    fn what_is_not_given_back_cannot_be_sent_again() {
        let outlet = Outlet::default();
        assert_eq!(outlet.reserve(WINDOW - 1), Some(WINDOW - 1));
        assert_eq!(outlet.reserve(10), Some(1));
        assert_eq!(outlet.credit(5), Ok(()));
        assert_eq!(outlet.reserve(10), Some(5));
        outlet.put_back(2);
        assert_eq!(outlet.reserve(10), Some(2));
        outlet.close();
        assert_eq!(outlet.reserve(10), None);
    }

    #[test]
    fn a_reader_cannot_give_back_more_than_was_sent() {
        let outlet = Outlet::default();
        assert_eq!(outlet.credit(1), Err(ProtocolError::Credit));
        assert_eq!(outlet.reserve(3), Some(3));
        assert_eq!(outlet.credit(4), Err(ProtocolError::Credit));
        assert_eq!(outlet.credit(u32::MAX), Err(ProtocolError::Credit));
    }

    #[test]
    fn a_sender_cannot_send_more_than_the_window() {
        let inbox = Inbox::default();
        assert_eq!(inbox.push(data(WINDOW)), Ok(()));
        assert_eq!(inbox.push(data(1)), Err(ProtocolError::Credit));
        let inbox = Inbox::default();
        inbox.close();
        assert_eq!(inbox.push(data(WINDOW)), Ok(()));
        assert_eq!(inbox.held(), 0, "nobody wants it");
        assert_eq!(inbox.push(data(1)), Err(ProtocolError::Credit), "dropped bytes count too");
    }

    #[test]
    fn bytes_are_given_back_in_pieces_and_all_before_the_end_are_read() {
        let inbox = Inbox::default();
        inbox.push(data(GIVE_BACK)).expect("room");
        inbox.push(data(SMALL + 1)).expect("room");
        assert!(inbox.end(End::Whole) && !inbox.end(End::Cut));
        assert_eq!(inbox.push(data(1)).map_err(|_| ()), Err(()));
        assert_eq!(inbox.take().map(|data| data.len()), Ok(GIVE_BACK));
        assert_eq!(inbox.take().map(|data| data.len()), Ok(SMALL + 1));
        assert_eq!(inbox.take(), Err(End::Whole));

        let inbox = Inbox::default();
        inbox.push(data(GIVE_BACK)).expect("room");
        assert_eq!(inbox.used(GIVE_BACK - 1), None);
        assert_eq!(inbox.used(1), u32::try_from(GIVE_BACK).ok());
        assert_eq!(inbox.push(data(WINDOW)), Ok(()));
    }

    #[test]
    fn single_letters_are_kept_together() {
        let inbox = Inbox::default();
        for _ in 0..WINDOW {
            inbox.push(data(1)).expect("room");
        }
        assert_eq!(inbox.held(), WINDOW);
        assert!(lock(&inbox.state).queue.len() <= WINDOW / DATA + 1);
    }

    #[test]
    fn waiting_ends_with_the_stream() {
        let (inbox, outlet) = (Inbox::default(), Outlet::default());
        assert_eq!(outlet.reserve(WINDOW), Some(WINDOW));
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| inbox.take());
            let reserved = scope.spawn(|| outlet.reserve(1));
            inbox.end(End::Cut);
            outlet.close();
            assert_eq!(taken.join().expect("no panic"), Err(End::Cut));
            assert_eq!(reserved.join().expect("no panic"), None);
        });
    }
}
