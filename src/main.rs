//! The `tidegate` command.

use std::process::ExitCode;

/// Small allocations by many threads are the proxy's daily bread.
///
/// Without huge pages (`no_thp` in `Cargo.toml`): Pingora has a buffer of 64 KiB in many places and
/// uses the first few of them; a huge page counts, and costs, all of it. 500 stalled streams hold
/// 20 MB so, and 50 MB with them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidegate::cli::main()
}
