//! What takes from the worker whatever it does not need: before it has seen a byte of the file.
//!
//! Limits on memory, CPU time, files and dumps; no new privileges; it dies with its parent. Then the kernel's seccomp, where it has it:
//! a few calls for memory, threads of control and the two pipes are left, and all others fail. Opening a file, a socket, another
//! process or another program is among those, so that a worker that a file has taken over can spoil nothing but its own answer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Resource, Rlimit, Signal, getpid, getppid, set_parent_process_death_signal, setpriority_process, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use crate::media::wire::Order;

/// Gives way to whoever serves.
const NICE: i32 = 10;

/// The pipe to the gateway, taken off standard output: what a library prints there goes nowhere.
pub fn take_stdout() -> io::Result<OwnedFd> {
    let out = rustix::io::fcntl_dupfd_cloexec(io::stdout().as_fd(), 3)?;
    let nowhere = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    Ok(out)
}

/// It ends when the gateway does.
pub fn die_with_parent() -> io::Result<()> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before that.
    if getppid() != parent || parent.is_none() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}

pub fn enter(order: &Order) -> io::Result<()> {
    // Where that is refused, it goes on as it is.
    let _ = setpriority_process(None, NICE);
    rustix::thread::set_no_new_privs(true)?;
    let limit = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    limit(Resource::As, order.memory_bytes)?;
    limit(Resource::Data, order.memory_bytes)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::Nofile, 0)?;
    // Past the first the kernel says so by a signal, past the second it ends it.
    setrlimit(Resource::Cpu, Rlimit { current: Some(order.cpu_seconds), maximum: Some(order.cpu_seconds + 1) })?;
    match filter() {
        Some(filter) => apply_filter(&filter).map_err(io::Error::other),
        // A machine whose calls are not listed here: the limits hold all the same.
        None => Ok(()),
    }
}

/// None: not for this machine.
fn filter() -> Option<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).ok()?;
    let allowed = [
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_getrandom,
        libc::SYS_sched_yield,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_restart_syscall,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = allowed.into_iter().map(|call| (call, Vec::new())).collect();
    // To end itself, and nobody else.
    let own = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());
    let itself = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own).ok()?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![itself]).ok()?]);
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, refused, SeccompAction::Allow, arch).ok()?.try_into().ok()
}
