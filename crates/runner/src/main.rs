//! Entry point of the program `uphill`.

use std::process::ExitCode;

fn main() -> ExitCode {
    uphill::main()
}
