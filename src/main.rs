//! The `tidegate` command.

use std::process::ExitCode;

/// Small allocations by many threads are the proxy's daily bread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidegate::cli::main()
}
