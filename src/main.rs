//! `suki-receiver`: parses the arguments, runs the command, turns its result into an exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    suki_receiver::cli::main()
}
