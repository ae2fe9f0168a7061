//! The worker's own life: it reads an order, gives up what it does not need, reads the content, does the work, tells the result, ends.
//!
//! The same binary under a hidden command. Nothing of the gateway runs here: no configuration is read and no runtime started. It is
//! expected to die at any point; its parent makes a failed job of that.

use std::fs::File;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use crate::media::inspect::{Declared, inspect};
use crate::media::optimize::optimize;
use crate::media::render::{self, Proof};
use crate::media::sandbox;
#[cfg(feature = "test-util")]
use crate::media::wire::Misdeed;
use crate::media::wire::{Frame, MAX_TEXT_BYTES, Task, file_payload, plain_name, read_order, write_frame, write_inspection};

/// The hidden command.
pub const COMMAND: &str = "media-worker";

pub fn run() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody is left to be told.
        Err(_) => ExitCode::FAILURE,
    }
}

fn work() -> io::Result<()> {
    let mut out = File::from(sandbox::take_stdout()?);
    sandbox::die_with_parent()?;
    // A panic is told as a fault, not as text.
    std::panic::set_hook(Box::new(|_| {}));
    let mut input = io::stdin().lock();
    let (order, length) = read_order(&mut input)?;
    if let Err(e) = sandbox::enter(&order) {
        return fault(&mut out, &format!("the worker could not give up its rights: {e}"));
    }
    let Some(content) = read(&mut input, length)? else {
        return fault(&mut out, &format!("its {length} bytes have no room in the memory of a worker (media.memory)"));
    };
    let done = catch_unwind(AssertUnwindSafe(|| carry_out(&order.task, &content, &mut out)));
    match done {
        Ok(Ok(result)) => write_frame(&mut out, Frame::Result, &result),
        Ok(Err(text)) => fault(&mut out, &text),
        Err(_) => fault(&mut out, "the worker came upon something that it can't do (it panicked)"),
    }
}

fn fault(out: &mut impl Write, text: &str) -> io::Result<()> {
    let end = (0..=text.len().min(MAX_TEXT_BYTES as usize)).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
    write_frame(out, Frame::Fault, &text.as_bytes()[..end])
}

/// None: there is no room for it.
fn read(input: &mut impl Read, length: u64) -> io::Result<Option<Vec<u8>>> {
    let Ok(room) = usize::try_from(length) else { return Ok(None) };
    let mut content = Vec::new();
    if content.try_reserve_exact(room).is_err() {
        return Ok(None);
    }
    input.take(length).read_to_end(&mut content)?;
    if content.len() < room { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Some(content)) }
}

fn carry_out(task: &Task, content: &[u8], out: &mut File) -> Result<Vec<u8>, String> {
    match task {
        Task::Optimize { name, recipe } => {
            let name = if name.is_empty() { String::new() } else { plain_name(name) };
            let files = optimize(content, &name, recipe, &mut |step| {
                // Who does not listen is told at the end.
                let _ = write_frame(out, Frame::Step, step.as_bytes());
            })?;
            for file in files {
                let told = file_payload(&file.name, &file.bytes).and_then(|payload| write_frame(out, Frame::File, &payload));
                told.map_err(|e| e.to_string())?;
            }
            Ok(Vec::new())
        }
        Task::Inspect { content_type, name } => {
            write_inspection(inspect(content, &Declared { content_type, name })).map_err(|e| e.to_string())
        }
        Task::Poster(poster) => render::opened(content, |model| render::poster(model, poster)),
        Task::Compare { first, side } => {
            let both = usize::try_from(*first).ok().and_then(|first| content.split_at_checked(first));
            let (original, result) = both.ok_or("the first of two models is longer than both")?;
            let proof = render::opened(original, |model| Proof::of(model, *side as usize)).map_err(|e| format!("of the original: {e}"))?;
            let views = render::opened(result, |model| proof.likeness(model)).map_err(|e| format!("of the result: {e}"))?;
            serde_json::to_vec(&views).map_err(|e| e.to_string())
        }
        #[cfg(feature = "test-util")]
        Task::Misbehave(misdeed) => misbehave(*misdeed, out),
    }
}

#[cfg(feature = "test-util")]
/// What a file might make of a worker that it has taken over.
fn misbehave(misdeed: Misdeed, out: &mut File) -> Result<Vec<u8>, String> {
    match misdeed {
        Misdeed::Abort => std::process::abort(),
        Misdeed::Hang => loop {
            std::thread::park();
        },
        Misdeed::Spin => loop {
            std::hint::spin_loop();
        },
        Misdeed::TakeMemory => Ok(vec![1; 64 << 30]),
        Misdeed::Panic => {
            let nothing: Vec<u8> = Vec::new();
            Ok(vec![nothing[0]])
        }
        Misdeed::OpenFile => File::open("/etc/passwd").map(|_| Vec::new()).map_err(|e| e.to_string()),
        Misdeed::Connect => std::net::TcpStream::connect("127.0.0.1:9").map(|_| Vec::new()).map_err(|e| e.to_string()),
        Misdeed::Flood => loop {
            write_frame(out, Frame::Step, &[b'x'; MAX_TEXT_BYTES as usize]).map_err(|e| e.to_string())?;
        },
        Misdeed::Lie => {
            // A frame that says more than it may.
            out.write_all(&[Frame::Result.byte(), 0xff, 0xff, 0xff, 0xff]).map_err(|e| e.to_string())?;
            Ok(Vec::new())
        }
    }
}
