//! Recovery against a damaged disk: every cut, every flipped bit of a small log; faults of writes and syncs; compaction.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use proptest::prelude::*;

use super::compact::{self, Input};
use super::op::parse_ops;
use super::segment::{self, Contents};
use super::sorted::Stamp;
use super::{Fault, Journal, Op, Recovered, Settings, Step};
use crate::base::error::{Error, ErrorKind, Result};

type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

fn settings(dir: &Path) -> Settings {
    Settings { dir: dir.to_path_buf(), segment_bytes: 4096, fault: None }
}

fn append(journal: &mut Journal, contents: &[Bytes], ops: &[Op]) -> Result<super::Position> {
    journal.append(contents, &mut |_| {
        let mut bytes = Vec::new();
        ops.iter().for_each(|op| assert!(op.as_ref().encode(&mut bytes)));
        Ok(bytes)
    })
}

fn set(key: u64, value: u64) -> Op {
    Op::Set { table: 1, key: key.to_be_bytes().to_vec(), value: value.to_be_bytes().to_vec() }
}

/// The state after replaying what was recovered, batch by batch, bodies proven.
fn replay(dir: &Path, recovered: &Recovered) -> Result<Rows> {
    let mut rows = Rows::new();
    for sealed in &recovered.segments {
        segment::walk(dir, &recovered.log, *sealed, segment::first_batch(), Contents::Prove, &mut |_, ops| {
            for op in parse_ops(ops).ok_or_else(|| Error::internal("ops"))? {
                match op.value {
                    Some(v) => rows.insert((op.table, op.key.to_vec()), v.to_vec()),
                    None => rows.remove(&(op.table, op.key.to_vec())),
                };
            }
            Ok(())
        })?;
    }
    Ok(rows)
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A log of `n` batches, each with a body and a row `counter = i`; returns the end of each batch in the last segment.
fn small_log(dir: &Path, n: u64, segment_bytes: u64) -> Vec<u64> {
    let (mut journal, _) = Journal::open(Settings { segment_bytes, ..settings(dir) }).unwrap();
    (1..=n).map(|i| append(&mut journal, &[Bytes::from(vec![i as u8; 21])], &[set(0, i), set(i, i)]).unwrap().offset).collect()
}

fn counter(rows: &Rows) -> u64 {
    rows.get(&(1, 0u64.to_be_bytes().to_vec())).map_or(0, |v| u64::from_be_bytes(v.as_slice().try_into().unwrap()))
}

#[test]
fn a_cut_anywhere_leaves_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let ends = small_log(&dir.path().join("log"), 5, 1 << 20);
    let name = segment::file_name(1);
    let whole = std::fs::read(dir.path().join("log").join(&name)).unwrap();
    for cut in 0..=whole.len() {
        let copy = dir.path().join("copy");
        let _ = std::fs::remove_dir_all(&copy);
        copy_dir(&dir.path().join("log"), &copy);
        std::fs::write(copy.join(&name), &whole[..cut]).unwrap();
        let (mut journal, recovered) = Journal::open(settings(&copy)).unwrap();
        let rows = replay(&copy, &recovered).unwrap();
        let expected = ends.iter().filter(|e| **e <= cut as u64).count() as u64;
        assert_eq!(counter(&rows), expected, "cut at {cut}");
        // And the log goes on from there.
        append(&mut journal, &[], &[set(0, 99)]).unwrap();
        drop(journal);
        let (_, recovered) = Journal::open(settings(&copy)).unwrap();
        assert_eq!(counter(&replay(&copy, &recovered).unwrap()), 99, "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_is_refused_or_only_in_the_unacknowledged_tail() {
    let dir = tempfile::tempdir().unwrap();
    let ends = small_log(&dir.path().join("log"), 4, 1 << 20);
    let last_batch = ends[2];
    let name = segment::file_name(1);
    let whole = std::fs::read(dir.path().join("log").join(&name)).unwrap();
    for at in 0..whole.len() {
        let copy = dir.path().join("copy");
        let _ = std::fs::remove_dir_all(&copy);
        copy_dir(&dir.path().join("log"), &copy);
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(copy.join(&name), &bytes).unwrap();
        match Journal::open(settings(&copy)) {
            // The padding of a batch is the only thing that no checksum covers.
            Ok((_, recovered)) => {
                let n = counter(&replay(&copy, &recovered).unwrap());
                let padding = n == 4;
                assert!(padding || (n == 3 && at as u64 >= last_batch), "flip at {at} gave {n}");
            }
            Err(e) => assert!((at as u64) < last_batch, "flip at {at} in the tail was refused: {e}"),
        }
    }
}

#[test]
fn damage_in_an_earlier_segment_is_refused_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    small_log(dir.path(), 200, 4096);
    let (_, recovered) = Journal::open(settings(dir.path())).unwrap();
    assert!(recovered.segments.len() > 3);
    assert_eq!(counter(&replay(dir.path(), &recovered).unwrap()), 200);
    let first = segment::path(dir.path(), recovered.segments[1].number);
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    let e = replay(dir.path(), &recovered).unwrap_err();
    assert!(e.message().contains("is damaged at offset") && e.message().contains("tidegate fsck"), "{e}");
    std::fs::remove_file(first).unwrap();
    assert!(Journal::open(settings(dir.path())).is_err(), "a segment is missing");
}

#[test]
fn another_logs_segment_and_a_newer_format_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    small_log(&dir.path().join("a"), 3, 1 << 20);
    small_log(&dir.path().join("b"), 3, 1 << 20);
    drop(Journal::open(settings(&dir.path().join("a"))).map(|(mut j, _)| append(&mut j, &[], &[set(0, 9)])));
    std::fs::copy(dir.path().join("b").join(segment::file_name(1)), dir.path().join("a").join(segment::file_name(1))).unwrap();
    assert!(Journal::open(settings(&dir.path().join("a"))).is_err());
    let path = segment::path(&dir.path().join("b"), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 9;
    std::fs::write(&path, bytes).unwrap();
    let e = Journal::open(settings(&dir.path().join("b"))).err().unwrap();
    assert!(e.message().contains("format 9"), "{e}");
}

/// Fails the steps from number `first` on, `count` of them.
fn failing(first: usize, count: usize, errno: i32) -> Fault {
    let step = AtomicUsize::new(0);
    Fault(Arc::new(move |_: Step| {
        let n = step.fetch_add(1, Ordering::Relaxed);
        if (first..first + count).contains(&n) { Err(std::io::Error::from_raw_os_error(errno)) } else { Ok(()) }
    }))
}

#[test]
fn a_batch_is_tried_in_new_files_and_a_failed_one_is_never_seen() {
    for (first, count) in (0..14).flat_map(|f| (1..12).map(move |c| (f, c))) {
        let dir = tempfile::tempdir().unwrap();
        let fault = failing(first, count, libc::EIO);
        let (mut journal, _) = Journal::open(Settings { fault: Some(fault), ..settings(dir.path()) }).unwrap();
        let mut acknowledged = 0;
        for i in 1..=12 {
            match append(&mut journal, &[Bytes::from_static(b"body")], &[set(0, i)]) {
                Ok(_) => acknowledged = i,
                Err(e) => assert_eq!(e.kind(), ErrorKind::LocalUnavailable),
            }
            let copy = dir.path().join("copy");
            let _ = std::fs::remove_dir_all(&copy);
            std::fs::create_dir(&copy).unwrap();
            for entry in std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap()).filter(|e| e.path().is_file()) {
                std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
            let (_, recovered) = Journal::open(settings(&copy)).unwrap();
            let n = counter(&replay(&copy, &recovered).unwrap());
            // A batch whose sync failed may be whole on the disk while no file after it could be made.
            assert!(n >= acknowledged && n <= i, "first {first}, count {count}: {n} of {acknowledged}");
        }
        assert_eq!(acknowledged, 12, "service resumes when the disk does");
        let (_, recovered) = Journal::open(settings(dir.path())).unwrap();
        assert_eq!(counter(&replay(dir.path(), &recovered).unwrap()), 12);
    }
    let dir = tempfile::tempdir().unwrap();
    let fault = Some(failing(0, 100, libc::ENOSPC));
    let (mut journal, _) = Journal::open(Settings { fault, ..settings(dir.path()) }).unwrap();
    assert_eq!(append(&mut journal, &[], &[set(0, 1)]).unwrap_err().kind(), ErrorKind::StorageFull);
}

fn merged(input: &Input) -> Rows {
    merged_by_runs(input, usize::MAX)
}

fn merged_by_runs(input: &Input, run_bytes: usize) -> Rows {
    let mut rows = Rows::new();
    let mut last = None;
    compact::merge_by_runs(input, run_bytes, &mut |op| {
        let key = (op.table, op.key.to_vec());
        assert!(last.as_ref() < Some(&key), "in order");
        last = Some(key.clone());
        rows.insert(key, op.value.unwrap().to_vec());
        Ok(())
    })
    .unwrap();
    rows
}

/// Both spill what they can't hold into the journal's folder.
#[test]
fn merges_side_by_side_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, recovered) = Journal::open(Settings { segment_bytes: 600, ..settings(dir.path()) }).unwrap();
    for n in 0..200 {
        append(&mut journal, &[], &[set(n % 70, n)]).unwrap();
    }
    let input = Input { dir: dir.path().to_path_buf(), log: recovered.log, snapshot: None, segments: journal.segments() };
    let whole = merged(&input);
    assert_eq!(whole.len(), 70);
    std::thread::scope(|scope| {
        for run_bytes in [500, 700, 900] {
            let (input, whole) = (&input, &whole);
            scope.spawn(move || (0..20).for_each(|_| assert_eq!(&merged_by_runs(input, run_bytes), whole)));
        }
    });
    let left = std::fs::read_dir(dir.path()).unwrap().flatten().filter(|e| e.path().extension().is_some_and(|e| e == "tmp"));
    assert_eq!(left.count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Random batches, snapshots and restarts: what is merged is what a map holds.
    #[test]
    fn compaction_keeps_every_live_row(steps in proptest::collection::vec((0u8..12, 0u64..30, any::<u64>()), 1..120)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, mut recovered) = Journal::open(Settings { segment_bytes: 600, ..settings(dir.path()) }).unwrap();
        let mut model = Rows::new();
        for (kind, key, value) in steps {
            let row_key = (1, key.to_be_bytes().to_vec());
            match kind {
                0 => {
                    drop(journal);
                    (journal, recovered) = Journal::open(Settings { segment_bytes: 600, ..settings(dir.path()) }).unwrap();
                }
                1 => {
                    journal.roll();
                    if !journal.sealed().is_empty() {
                        let input = Input {
                            dir: dir.path().to_path_buf(),
                            log: recovered.log,
                            snapshot: journal.snapshot().map(|s| s.path.clone()),
                            segments: journal.segments(),
                        };
                        let stamp = Stamp { log: recovered.log, upto: journal.end().segment, next_sequence: journal.next_sequence() };
                        let snapshot = compact::write_snapshot(&input, stamp, &mut |_| Ok(())).unwrap();
                        journal.install(snapshot);
                    }
                }
                2..=4 => {
                    append(&mut journal, &[], &[Op::Del { table: 1, key: row_key.1.clone() }]).unwrap();
                    model.remove(&row_key);
                }
                _ => {
                    append(&mut journal, &[Bytes::from_static(b"x")], &[set(key, value)]).unwrap();
                    model.insert(row_key, value.to_be_bytes().to_vec());
                }
            }
            let input = Input {
                dir: dir.path().to_path_buf(),
                log: recovered.log,
                snapshot: journal.snapshot().map(|s| s.path.clone()),
                segments: journal.segments(),
            };
            prop_assert_eq!(&merged(&input), &model);
        }
    }
}
