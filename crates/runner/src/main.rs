//! The program `uphill`.

use std::process::ExitCode;

fn main() -> ExitCode {
    uphill::main()
}
