//! The entry point. All it does is hand over to the command line.

fn main() -> std::process::ExitCode {
    nexus::cli::main()
}
