//! Ctrl-C handling on systems without Unix signals.

use super::{INTERRUPTED, Interrupt};
use anyhow::Context;
use std::sync::atomic::Ordering;

pub(super) fn watch(interrupt: &Interrupt) -> anyhow::Result<()> {
    let interrupt = interrupt.clone();
    ctrlc::set_handler(move || {
        if interrupt.raised.swap(true, Ordering::Relaxed) {
            exit();
        }
        interrupt.tell("Ctrl-C", "Ctrl-C again");
    })
    .context("installing the Ctrl-C handler")
}

pub(super) fn exit() {
    std::process::exit(i32::from(INTERRUPTED));
}
