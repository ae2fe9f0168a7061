//! The binary: arguments go to `cli`.

/// The system's allocator keeps what many threads free in pieces; this one gives it back, and is faster on small bodies.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tidegate::cli::run()
}
