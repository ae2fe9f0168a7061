//! A queue as it was written before there were stored forms (tests/golden/queue): its rows are read and written byte for byte.

use std::path::Path;

use super::*;
use crate::journal::Journal;
use crate::journal::op::parse_ops;
use crate::journal::segment::{self, Contents};
use crate::queue::rows::{self, Table};
use crate::queue::view::Filter;

#[tokio::test]
async fn a_queue_of_before_is_read_and_written_as_it_lies_there() {
    let bench = Bench::new();
    let settings = bench.settings();
    let journal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/queue/journal");
    std::fs::create_dir_all(settings.dir.join("journal")).unwrap();
    for file in std::fs::read_dir(journal).unwrap().map(|file| file.unwrap()) {
        std::fs::copy(file.path(), settings.dir.join("journal").join(file.file_name())).unwrap();
    }
    let (journal, recovered) = Journal::open(settings.journal()).unwrap();
    let mut jobs = 0;
    for sealed in &recovered.segments {
        segment::walk(journal.dir(), &recovered.log, *sealed, segment::first_batch(), Contents::Prove, &mut |_, ops| {
            for op in parse_ops(ops).unwrap() {
                let Some(value) = op.value else { continue };
                match Table::of(op.table)? {
                    Table::Jobs => {
                        assert_eq!(rows::encode_job(&rows::decode_job(value)?)?, value);
                        jobs += 1;
                    }
                    Table::Payloads | Table::Changes => assert_eq!(rows::encode_payload(&rows::decode_payload(value)?), value),
                    Table::Items => assert!(value.is_empty()),
                    table => panic!("{table:?} is derived"),
                }
            }
            Ok(())
        })
        .unwrap();
    }
    assert!(jobs > 0);
    drop(journal);
    let queue = bench.open();
    let page = queue.list(Filter { max: 10, ..Filter::default() }).await.unwrap();
    assert_eq!((page.jobs.len(), &*page.jobs[0].kind, page.jobs[0].tenant.as_str()), (1, "warm", "acme"));
    queue.close();
}
