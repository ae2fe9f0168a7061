//! What an answer sends out of a file goes to a plain socket from the file itself: the kernel hands its pages on and copies none.
//!
//! hyper knows bytes alone. So a body notes the mapped file that its pieces are slices of, and the wire looks whether what it is
//! given to write lies in one of them. Where it does not, it writes as ever.
//!
//! Invariants: a noted file keeps its map until everything was written, so no other bytes have its addresses. A file that is shorter
//! than its map breaks the connection.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::base::mapped_file::MappedFile;

/// Less is copied sooner than it is handed on.
const LEAST: usize = 32 * 1024;
/// hyper keeps a piece or two that are not yet written. Slices of an older file are written as any others.
const FILES: usize = 4;

/// The files that pieces of one connection's answers lie in.
#[derive(Debug, Default)]
pub struct SendingFrom(RefCell<Vec<MappedFile>>);

/// What of some slices lies in a file.
pub struct InFile {
    /// So many slices go before it.
    before: usize,
    file: MappedFile,
    offset: u64,
    len: usize,
}

impl SendingFrom {
    pub fn note(&self, file: MappedFile) {
        let mut files = self.0.borrow_mut();
        if files.last().is_none_or(|last| !last.is(&file)) {
            if files.len() == FILES {
                files.remove(0);
            }
            files.push(file);
        }
    }

    /// Everything was written.
    pub fn forget(&self) {
        self.0.borrow_mut().clear();
    }

    /// The first slice that lies in a file and is large enough.
    pub fn find(&self, slices: &[IoSlice<'_>]) -> Option<InFile> {
        let files = self.0.borrow();
        if files.is_empty() {
            return None;
        }
        slices.iter().enumerate().filter(|(_, slice)| slice.len() >= LEAST).find_map(|(before, slice)| {
            files.iter().find_map(|file| Some(InFile { before, offset: file.offset(slice)?, len: slice.len(), file: file.clone() }))
        })
    }
}

/// Sends what goes before, and of the file as much as the socket takes.
pub fn poll_send(tcp: &TcpStream, cx: &mut Context<'_>, slices: &[IoSlice<'_>], found: &InFile) -> Poll<io::Result<usize>> {
    let before = slices.get(..found.before).unwrap_or_default();
    let head: usize = before.iter().map(|slice| slice.len()).sum();
    if head > 0 {
        // The file's first bytes go into the same packet.
        let sent = ready!(poll_io(tcp, cx, || {
            Ok(rustix::net::sendmsg(tcp, before, &mut SendAncillaryBuffer::default(), SendFlags::MORE | SendFlags::NOSIGNAL)?)
        }))?;
        if sent < head {
            return Poll::Ready(Ok(sent));
        }
    }
    let sent = poll_io(tcp, cx, || {
        let mut offset = found.offset;
        match rustix::fs::sendfile(tcp, &found.file, Some(&mut offset), found.len)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a body's file is shorter than it was")),
            sent => Ok(sent),
        }
    });
    match sent {
        Poll::Ready(sent) => Poll::Ready(Ok(head + sent?)),
        Poll::Pending if head > 0 => Poll::Ready(Ok(head)),
        Poll::Pending => Poll::Pending,
    }
}

/// Tries until the socket takes something.
fn poll_io(tcp: &TcpStream, cx: &mut Context<'_>, mut send: impl FnMut() -> io::Result<usize>) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_write_ready(cx))?;
        match tcp.try_io(Interest::WRITABLE, &mut send) {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            sent => return Poll::Ready(sent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::Write;
    use std::sync::Arc;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    /// The map holds zeros where the file holds `content`: what arrives tells where it came from.
    fn mapped(content: &[u8], map: &[u8]) -> MappedFile {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        MappedFile::new(Arc::new(file), map)
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    #[tokio::test]
    async fn a_head_and_a_file_arrive_whole_and_in_order() {
        let content: Vec<u8> = (0..5_000_003u32).map(|i| (i >> 3) as u8).collect();
        let (map, head, tail) = (vec![0; content.len()], vec![b'h'; 700], vec![b't'; 40_000]);
        let sending = SendingFrom::default();
        sending.note(mapped(&content, &map));
        let (server, mut client) = pair().await;
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            got
        });
        let mut left: Vec<&[u8]> = vec![&head, &map[10..], &tail];
        while !left.is_empty() {
            let slices: Vec<_> = left.iter().map(|part| IoSlice::new(part)).collect();
            let mut sent = match sending.find(&slices) {
                Some(found) => poll_fn(|cx| poll_send(&server, cx, &slices, &found)).await.unwrap(),
                None => {
                    server.writable().await.unwrap();
                    server.try_write_vectored(&slices).unwrap_or(0)
                }
            };
            while let Some(first) = left.first_mut() {
                let part = sent.min(first.len());
                sent -= part;
                *first = &first[part..];
                if !first.is_empty() {
                    break;
                }
                left.remove(0);
            }
        }
        drop(server);
        let got = reader.await.unwrap();
        assert_eq!(got.len(), head.len() + content.len() - 10 + tail.len());
        assert!(got.starts_with(&head) && got.ends_with(&tail));
        // The last slice of a file that is too short to be worth it is copied: zeros.
        let file = &got[head.len()..got.len() - tail.len()];
        let copied = file.iter().rev().take_while(|byte| **byte == 0).count();
        assert!(copied < LEAST + 8, "{copied} bytes did not come from the file");
        assert!(file[..file.len() - copied] == content[10..content.len() - copied]);
    }

    #[tokio::test]
    async fn a_file_that_was_cut_breaks_the_connection() {
        let map = vec![0; 200_000];
        let (sending, (server, _client)) = (SendingFrom::default(), pair().await);
        sending.note(mapped(&[1; 50_000], &map));
        let whole = [IoSlice::new(&map)];
        let found = sending.find(&whole).unwrap();
        assert_eq!(poll_fn(|cx| poll_send(&server, cx, &whole, &found)).await.unwrap(), 50_000);
        let rest = [IoSlice::new(&map[50_000..])];
        let found = sending.find(&rest).unwrap();
        let answer = poll_fn(|cx| poll_send(&server, cx, &rest, &found)).await;
        assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn only_large_slices_of_the_newest_files_are_found() {
        let maps: Vec<_> = (0..FILES + 1).map(|_| vec![0u8; LEAST]).collect();
        let sending = SendingFrom::default();
        let is_found = |map: &[u8]| sending.find(&[IoSlice::new(b"head"), IoSlice::new(map)]).is_some_and(|found| found.before == 1);
        for map in &maps {
            assert!(!is_found(map));
            sending.note(mapped(b"", map));
            sending.note(mapped(b"", map));
            assert!(is_found(map) && !is_found(&map[1..]));
        }
        assert_eq!(maps.iter().map(|map| is_found(map)).collect::<Vec<_>>(), [false, true, true, true, true]);
        sending.forget();
        assert!(!maps.iter().any(|map| is_found(map)));
    }
}
