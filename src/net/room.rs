//! What answers may hold of memory on their way to clients: the budget of a worker, and each connection's room in it.
//!
//! - A body is asked for its next piece only when its connection has room, and then for no more than there is. A piece gives its room
//!   back when the last of it was handed to the socket, or to the cipher.
//! - A connection that holds nothing may always take `FLOOR`: whoever reads is served, however many others don't. So the bound is the
//!   budget, and `FLOOR` for each connection past it.
//! - Counted is what costs memory: no slices of files, and nothing that a cache holds too.
//!
//! Lives on one thread: plain cells. The budget is cut into equal parts for the workers, since the kernel spreads connections over
//! them, and a count that all cores share would be paid for by each request.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

/// What a connection may always take: a frame of HTTP/2, a record of TLS.
pub const FLOOR: usize = 16 * 1024;
/// The most that a connection holds in pieces of answers: enough to keep the socket full while the next piece is read.
pub const SHARE: usize = 256 * 1024;

/// Of one worker.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    held: Cell<usize>,
    highest: Cell<usize>,
}

impl Budget {
    pub fn new(limit: usize) -> Rc<Self> {
        Rc::new(Budget { limit, held: Cell::new(0), highest: Cell::new(0) })
    }

    pub fn left(&self) -> usize {
        self.limit.saturating_sub(self.held.get())
    }

    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// The most that was held since the last call.
    pub fn take_highest(&self) -> usize {
        self.highest.replace(self.held.get())
    }

    fn take(&self, bytes: usize) {
        let held = self.held.get() + bytes;
        self.held.set(held);
        self.highest.set(self.highest.get().max(held));
    }

    fn give(&self, bytes: usize) {
        self.held.set(self.held.get().saturating_sub(bytes));
    }
}

/// Of one connection.
pub struct Room {
    budget: Rc<Budget>,
    /// In pieces that are on their way, or being read.
    pieces: Cell<usize>,
    /// Encrypted, and not yet taken by the socket.
    encrypted: Cell<usize>,
    /// Small bodies at hand, whose streams wait for their turn.
    at_hand: Cell<usize>,
    /// In the order of their coming. Who is woken and takes nothing wakes the next.
    waiting: RefCell<VecDeque<Waker>>,
}

impl Room {
    pub fn new(budget: Rc<Budget>) -> Rc<Self> {
        Rc::new(Room { budget, pieces: Cell::new(0), encrypted: Cell::new(0), at_hand: Cell::new(0), waiting: RefCell::default() })
    }

    /// How much the next piece may take; 0: wait.
    pub fn allowance(&self) -> usize {
        let left = self.budget.left();
        match self.pieces.get() {
            0 => left.clamp(FLOOR, SHARE),
            held => Some(left.min(SHARE.saturating_sub(held))).filter(|n| *n >= FLOOR).unwrap_or(0),
        }
    }

    pub fn poll_allowance(&self, cx: &Context<'_>) -> Poll<usize> {
        match self.allowance() {
            0 => self.wait(cx),
            n => Poll::Ready(n),
        }
    }

    /// Whether a further request may begin: there is memory for its answer, or this connection has none under way.
    pub fn poll_begin(&self, cx: &Context<'_>) -> Poll<()> {
        if self.budget.left() == 0 && self.pieces.get() + self.at_hand.get() > 0 {
            return self.wait(cx);
        }
        self.wake_next();
        Poll::Ready(())
    }

    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|w| w.will_wake(cx.waker())) {
            waiting.push_back(cx.waker().clone());
        }
        Poll::Pending
    }

    pub fn wake_next(&self) {
        let next = self.waiting.borrow_mut().pop_front();
        if let Some(waker) = next {
            waker.wake();
        }
    }

    /// For a piece that is being read.
    pub fn reserve(self: &Rc<Self>, counted: usize) -> Held {
        let held = self.held(counted, |room| &room.pieces);
        if self.allowance() > 0 {
            self.wake_next();
        }
        held
    }

    /// A piece that costs memory.
    pub fn hold(self: &Rc<Self>, bytes: Bytes) -> Piece {
        let counted = bytes.len();
        Piece { bytes, _held: Some(self.held(counted, |room| &room.pieces)) }
    }

    /// What a stream has at hand before it may be sent.
    pub fn keep(self: &Rc<Self>, counted: usize) -> Option<Held> {
        (counted > 0).then(|| self.held(counted, |room| &room.at_hand))
    }

    fn held(self: &Rc<Self>, counted: usize, of: fn(&Room) -> &Cell<usize>) -> Held {
        let count = of(self);
        count.set(count.get() + counted);
        self.budget.take(counted);
        Held { room: self.clone(), counted, of }
    }

    /// What TLS holds because the socket did not take it.
    pub fn set_encrypted(&self, bytes: usize) {
        let before = self.encrypted.replace(bytes);
        if before != bytes {
            self.budget.give(before);
            self.budget.take(bytes);
        }
    }

    /// How much may be encrypted at once.
    pub fn encryptable(&self) -> usize {
        self.budget.left().max(FLOOR)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.give(self.encrypted.get());
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({} in pieces, {} encrypted, {} at hand)", self.pieces.get(), self.encrypted.get(), self.at_hand.get())
    }
}

/// A place in the room; its end gives it back.
#[derive(Debug)]
pub struct Held {
    room: Rc<Room>,
    counted: usize,
    of: fn(&Room) -> &Cell<usize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let count = (self.of)(&self.room);
        count.set(count.get().saturating_sub(self.counted));
        self.room.budget.give(self.counted);
        self.room.wake_next();
    }
}

/// Bytes of an answer on their way to the socket.
#[derive(Debug)]
pub struct Piece {
    bytes: Bytes,
    _held: Option<Held>,
}

impl Piece {
    /// One that costs no memory of its own.
    pub fn free(bytes: Bytes) -> Self {
        Piece { bytes, _held: None }
    }

    /// One whose room was taken before.
    pub fn of(bytes: Bytes, held: Option<Held>) -> Self {
        Piece { bytes, _held: held }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(slices)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    fn bytes(len: usize) -> Bytes {
        Bytes::from(vec![0; len])
    }

    #[test]
    fn a_connection_takes_its_share_and_gives_it_back() {
        let budget = Budget::new(10 * SHARE);
        let room = Room::new(budget.clone());
        assert_eq!(room.allowance(), SHARE);
        let first = room.hold(bytes(SHARE - FLOOR));
        assert_eq!(room.allowance(), FLOOR);
        let second = room.hold(bytes(1));
        assert_eq!(room.allowance(), 0, "less than a frame is not worth a read");
        assert_eq!(budget.held(), SHARE - FLOOR + 1);
        drop(first);
        assert_eq!(room.allowance(), SHARE - 1);
        drop(second);
        assert_eq!((budget.held(), budget.take_highest(), budget.take_highest()), (0, SHARE - FLOOR + 1, 0));
    }

    #[test]
    fn who_holds_nothing_is_served_though_others_hold_all() {
        let budget = Budget::new(2 * SHARE);
        let greedy: Vec<_> = (0..4).map(|_| Room::new(budget.clone())).collect();
        let held: Vec<_> = greedy.iter().map(|room| room.hold(bytes(room.allowance()))).collect();
        assert_eq!(budget.held(), 2 * SHARE + 2 * FLOOR);
        let reader = Room::new(budget.clone());
        let piece = reader.hold(bytes(reader.allowance()));
        assert_eq!((piece.remaining(), reader.allowance()), (FLOOR, 0));
        drop((held, piece));
        assert_eq!(reader.allowance(), SHARE);
    }

    #[test]
    fn what_is_encrypted_counts_until_the_socket_took_it() {
        let budget = Budget::new(SHARE);
        let room = Room::new(budget.clone());
        room.set_encrypted(SHARE);
        assert_eq!((budget.left(), room.encryptable(), room.allowance()), (0, FLOOR, FLOOR));
        room.set_encrypted(10);
        assert_eq!(budget.held(), 10);
        drop(room);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_request_begins_when_the_one_before_it_gave_back() {
        let budget = Budget::new(FLOOR);
        let (room, other) = (Room::new(budget.clone()), Room::new(budget));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let cx = Context::from_waker(&waker);
        let kept = room.keep(FLOOR);
        assert!(other.poll_begin(&cx).is_ready());
        assert!(room.poll_begin(&cx).is_pending() && room.poll_begin(&cx).is_pending());
        assert_eq!(room.waiting.borrow().len(), 1);
        drop(kept);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(room.poll_begin(&cx).is_ready());
    }

    #[test]
    fn who_takes_a_part_wakes_the_next() {
        let room = Room::new(Budget::new(10 * SHARE));
        let woken: Vec<_> = (0..2).map(|_| Arc::new(Woken::default())).collect();
        let all = room.hold(bytes(SHARE));
        for w in &woken {
            assert!(room.poll_allowance(&Context::from_waker(&Waker::from(w.clone()))).is_pending());
        }
        let counts = || woken.iter().map(|w| w.0.load(Ordering::Relaxed)).collect::<Vec<_>>();
        drop(all);
        assert_eq!(counts(), [1, 0]);
        let _part = room.reserve(FLOOR);
        assert_eq!(counts(), [1, 1]);
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
