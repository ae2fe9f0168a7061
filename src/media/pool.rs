//! The gateway's side of the workers: so many at once, each a process for one file, under a deadline. What becomes of one never reaches
//! whoever serves: a crash, a hang or a flood is a `Failure` with a reason.
//!
//! Workers are started by one thread with a runtime of its own, since they end with the thread that started them.
//! Called by `ops` and the command line. Memory: one piece of the content, and what a worker may answer.

use std::future::poll_fn;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::base::error::{Error, Result};
use crate::media::settings::Settings;
use crate::media::wire::{FRAME_HEAD, Frame, Order, Task, opening, read_file_payload};
use crate::media::worker::COMMAND;
use crate::origin::Body;

/// All frames of one answer together, without what is made of the content. It bounds what they say, too.
const MAX_ANSWER_BYTES: u64 = 8 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// The file broke the worker, or went past its limits: another attempt would end the same way.
    OfFile(String),
    /// The content could not be read, or no worker be started.
    OfUs(Error),
}

pub type Steps = mpsc::UnboundedSender<String>;
pub type Files = Vec<(String, Vec<u8>)>;

#[derive(Debug)]
pub struct Answer {
    pub result: Vec<u8>,
    /// By names that a file may have.
    pub files: Files,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    settings: Settings,
    slots: Semaphore,
    runtime: Handle,
    /// Dropped, the thread ends.
    _stop: oneshot::Sender<()>,
}

impl Pool {
    pub fn start(settings: Settings) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::internal)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("media".into()).spawn(run).map_err(Error::internal)?;
        let slots = Semaphore::new(settings.workers.max(1));
        Ok(Pool(Arc::new(Inner { settings, slots, runtime: handle, _stop: stop })))
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Waits for a worker, gives it the content and answers its result. Dropped, the worker ends.
    pub async fn run(&self, task: Task, content: Body, length: u64) -> Result<Vec<u8>, Failure> {
        self.run_telling(task, content, length, None).await.map(|answer| answer.result)
    }

    /// The same, with the files that it makes, and what it says that it is doing.
    pub async fn run_telling(&self, task: Task, content: Body, length: u64, steps: Option<Steps>) -> Result<Answer, Failure> {
        let _slot = self.0.slots.acquire().await.map_err(|e| Failure::OfUs(Error::internal(e)))?;
        let mut settings = self.0.settings.clone();
        if matches!(task, Task::Optimize { .. }) {
            (settings.cpu, settings.time) = (settings.optimize_cpu, settings.optimize_time);
        }
        let order = Order { memory_bytes: settings.memory_bytes, cpu_seconds: settings.cpu.as_secs().max(1), task };
        let attempt = Ending(self.0.runtime.spawn(async move { attempt(&settings, &order, content, length, steps).await }));
        attempt.await
    }
}

/// A task that ends with whoever waits for it.
struct Ending(tokio::task::JoinHandle<Result<Answer, Failure>>);

impl Future for Ending {
    type Output = Result<Answer, Failure>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|ended| ended.unwrap_or_else(|e| Err(Failure::OfUs(Error::internal(e)))))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn attempt(settings: &Settings, order: &Order, content: Body, length: u64, steps: Option<Steps>) -> Result<Answer, Failure> {
    let most = match &order.task {
        // The original at most, for each step, and what is said of all.
        Task::Optimize { recipe, .. } => MAX_ANSWER_BYTES.saturating_add(length.saturating_mul(recipe.steps().len() as u64)),
        _ => MAX_ANSWER_BYTES,
    };
    let of_us = |e: io::Error| Failure::OfUs(Error::internal(format!("no worker for media can be started: {e}")));
    let opening = opening(order, length).map_err(of_us)?;
    let mut worker = start(settings).map_err(of_us)?;
    let pipes = worker.stdin.take().zip(worker.stdout.take());
    let (input, mut output) = pipes.ok_or_else(|| of_us(io::ErrorKind::BrokenPipe.into()))?;
    let talk = async { tokio::join!(feed(input, opening, content), hear(&mut output, most, steps)) };
    let Ok((fed, heard)) = timeout(settings.time, talk).await else {
        end(&mut worker).await;
        return Err(Failure::OfFile(format!("it took longer than {} ({})", order.task.limits().1, seconds(settings.time))));
    };
    if let Err(e) = fed {
        end(&mut worker).await;
        return Err(Failure::OfUs(e));
    }
    match heard {
        Ok((Frame::Result, result, files)) => {
            end(&mut worker).await;
            Ok(Answer { result, files })
        }
        Ok((_, text, _)) => {
            end(&mut worker).await;
            Err(Failure::OfFile(String::from_utf8_lossy(&text).into_owned()))
        }
        Err(Unheard::TooMuch) => {
            end(&mut worker).await;
            Err(Failure::OfFile("the worker answered more than it may, or what can't be read".to_owned()))
        }
        Err(Unheard::Ended) => match timeout(settings.time, worker.wait()).await {
            Ok(Ok(status)) => Err(Failure::OfFile(how(status, &order.task, settings))),
            Ok(Err(e)) => Err(of_us(e)),
            Err(_) => {
                end(&mut worker).await;
                Err(Failure::OfFile("the worker answered nothing and did not end".to_owned()))
            }
        },
    }
}

fn start(settings: &Settings) -> io::Result<Child> {
    let mut command = Command::new(&settings.program);
    // Room that the allocator had taken beforehand would be no part of the limit.
    command.arg(COMMAND).env_clear().env("MIMALLOC_ARENA_RESERVE", "0").current_dir("/").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn()
}

async fn end(worker: &mut Child) {
    // It may have ended by itself.
    let _ = worker.kill().await;
}

/// Err: the content can't be had. A worker that does not listen to the end has its reason, which it tells.
async fn feed(mut to: ChildStdin, opening: Vec<u8>, content: Body) -> Result<()> {
    if to.write_all(&opening).await.is_err() {
        return Ok(());
    }
    match content {
        Body::Memory(bytes) => {
            let _ = write(&mut to, bytes).await;
        }
        Body::Stream(mut source) => {
            while let Some(piece) = poll_fn(|cx| source.as_mut().poll_next(cx)).await {
                if write(&mut to, piece?).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

async fn write(to: &mut ChildStdin, bytes: Bytes) -> io::Result<()> {
    for piece in bytes.chunks(PIECE) {
        to.write_all(piece).await?;
    }
    Ok(())
}

enum Unheard {
    /// Without a last frame.
    Ended,
    TooMuch,
}

/// The last frame, and the files before it.
async fn hear(from: &mut ChildStdout, most: u64, steps: Option<Steps>) -> Result<(Frame, Vec<u8>, Files), Unheard> {
    let (mut left, mut files) = (most, Vec::new());
    loop {
        let mut head = [0; FRAME_HEAD];
        from.read_exact(&mut head).await.map_err(|_| Unheard::Ended)?;
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        let (frame, most) = Frame::of(kind).ok_or(Unheard::TooMuch)?;
        left = left.checked_sub(u64::from(length) + FRAME_HEAD as u64).filter(|_| length <= most).ok_or(Unheard::TooMuch)?;
        let mut payload = vec![0; length as usize];
        from.read_exact(&mut payload).await.map_err(|_| Unheard::Ended)?;
        match frame {
            Frame::Result | Frame::Fault => return Ok((frame, payload, files)),
            Frame::File => files.push(read_file_payload(payload).ok_or(Unheard::TooMuch)?),
            Frame::Step => {
                if let Some(steps) = &steps {
                    // Who asked may have gone.
                    let _ = steps.send(String::from_utf8_lossy(&payload).into_owned());
                }
            }
        }
    }
}

fn how(status: ExitStatus, task: &Task, settings: &Settings) -> String {
    match status.signal() {
        Some(libc::SIGXCPU) => format!("it needed more CPU time than {} ({})", task.limits().0, seconds(settings.cpu)),
        Some(signal @ (libc::SIGABRT | libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE)) => {
            format!("it broke the worker (signal {signal}), or needed more memory than media.memory ({} bytes)", settings.memory_bytes)
        }
        Some(signal) => format!("the worker was ended by signal {signal}"),
        None => format!("the worker ended without an answer (status {})", status.code().unwrap_or_default()),
    }
}

fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs())
}
