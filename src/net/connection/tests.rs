//! The rules of patience, and what a connection says of itself.

use super::*;
use crate::telemetry::metrics::Door;

fn setup(secure: bool) -> (Rc<Clock>, Rc<Connection>, Patience) {
    let clock = Rc::new(Clock::default());
    let address = "127.0.0.1:1".parse().unwrap();
    let peer = Peer { address, local: address, door: Door::S3, secure, client: None, connection: 1 };
    let patience = Patience { handshake: 10, header: 20, idle: 40, write: 30, linger: 5 };
    (clock.clone(), Connection::new(peer, clock, Arc::default(), Budget::new(0)), patience)
}

fn pass(clock: &Clock, ticks: u32) {
    (0..ticks).for_each(|_| clock.advance());
}

fn request(c: &Rc<Connection>) -> RunningRequest {
    c.begin_request(&Method::GET, &Uri::from_static("/b/k?secret"))
}

#[test]
fn handshake_then_head_then_idle() {
    let (clock, c, p) = setup(true);
    pass(&clock, 10);
    assert_eq!(c.verdict(&p), Verdict::Keep);
    pass(&clock, 1);
    assert_eq!(c.verdict(&p), Verdict::Cut(Timeout::Handshake));
    c.handshake_done();
    pass(&clock, 15);
    // Dribbling a head does not extend its time.
    c.on_read(1);
    pass(&clock, 6);
    assert_eq!(c.verdict(&p), Verdict::Cut(Timeout::Header));
    drop(request(&c));
    pass(&clock, 40);
    assert_eq!(c.verdict(&p), Verdict::Keep);
    pass(&clock, 1);
    assert_eq!(c.verdict(&p), Verdict::Close(Timeout::Idle));
    c.ask_close();
    assert_eq!(c.verdict(&p), Verdict::Keep);
    pass(&clock, CLOSING_TICKS);
    assert_eq!(c.verdict(&p), Verdict::Cut(Timeout::Idle));
}

#[test]
fn the_next_head_has_its_own_time() {
    let (clock, c, p) = setup(false);
    drop(request(&c));
    pass(&clock, 39);
    c.on_read(3);
    pass(&clock, 20);
    assert_eq!(c.verdict(&p), Verdict::Keep);
    assert!(c.must_linger());
    pass(&clock, 1);
    assert_eq!(c.verdict(&p), Verdict::Cut(Timeout::Header));
}

#[test]
fn a_slow_handler_is_not_a_slow_reader() {
    let (clock, c, p) = setup(false);
    let mut r = request(&c);
    for _ in 0..200 {
        pass(&clock, 1);
        assert_eq!(c.verdict(&p), Verdict::Keep);
    }
    r.waits_on_us(false);
    pass(&clock, 30);
    assert_eq!(c.verdict(&p), Verdict::Keep);
    c.on_written(MIN_PROGRESS_BYTES as usize);
    pass(&clock, 1);
    assert_eq!(c.verdict(&p), Verdict::Keep, "it took enough");
    pass(&clock, 31);
    assert_eq!(c.verdict(&p), Verdict::Cut(Timeout::Write));
}

#[test]
fn what_is_buffered_must_be_taken_too() {
    let (clock, c, p) = setup(false);
    drop(request(&c));
    c.before_write();
    c.on_written(10);
    for _ in 0..31 {
        pass(&clock, 1);
    }
    assert_eq!(c.verdict(&p), Verdict::Cut(Timeout::Write));
    c.on_flushed();
    assert_eq!(c.verdict(&p), Verdict::Keep, "the idle time starts when the answer is out");
}

#[test]
fn http2_frames_are_no_heads() {
    let (clock, c, p) = setup(false);
    c.speaks(true);
    pass(&clock, 30);
    c.on_read(9);
    assert_eq!(c.verdict(&p), Verdict::Keep);
    pass(&clock, 11);
    assert_eq!(c.verdict(&p), Verdict::Close(Timeout::Idle));
}

#[test]
fn lingering_ends() {
    let (clock, c, p) = setup(false);
    c.linger();
    pass(&clock, 5);
    assert_eq!(c.verdict(&p), Verdict::Keep);
    pass(&clock, 1);
    assert_eq!(c.verdict(&p), Verdict::Forget);
}

#[test]
fn requests_are_described_without_their_query() {
    let (_, c, _) = setup(false);
    let first = request(&c);
    let second = request(&c);
    drop(first);
    assert_eq!(c.describe_requests(), ["GET /b/k from 127.0.0.1:1"]);
    drop(second);
    assert_eq!(c.waiting_on_us.get(), 0);
}

#[test]
fn no_interim_answer_inside_an_earlier_one() {
    let (_, c, _) = setup(false);
    c.before_write();
    c.queue_continue();
    assert!(!c.take_continue());
    c.on_flushed();
    c.queue_continue();
    assert!(c.take_continue());
    assert!(!c.take_continue());
}

#[test]
fn who_closed_its_side_and_takes_nothing_may_be_gone() {
    let (clock, c, p) = setup(false);
    let _running = request(&c);
    pass(&clock, 100);
    assert_eq!(c.verdict(&p), Verdict::Keep);
    c.peer_closed_its_side();
    pass(&clock, 30);
    assert_eq!(c.verdict(&p), Verdict::Keep);
    // A sign of life of the answer is taken for one of the peer.
    c.on_written(1);
    pass(&clock, 1);
    assert_eq!(c.verdict(&p), Verdict::Keep);
    pass(&clock, 31);
    assert_eq!(c.verdict(&p), Verdict::Cut(Timeout::Write));
}
