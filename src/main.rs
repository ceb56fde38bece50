//! The binary: everything it does is in the library, so that tests and other programs can do it too.

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    margay::cli::main()
}
