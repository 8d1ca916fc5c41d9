#[doc(hidden)]
#[allow(missing_docs, clippy::all)]
pub mod mistakes {
    //! Appended to `uphill-cpu` by scripts/mutants: which mistake is made.

    use std::io::Write;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

    const UNKNOWN: u32 = u32::MAX;
    const RECORDED: u32 = u32::MAX - 1;
    static MADE: AtomicU32 = AtomicU32::new(UNKNOWN);
    static SEEN: [AtomicBool; 1 << 14] = [const { AtomicBool::new(false) }; 1 << 14];

    /// Number of the mistake that is made in this process, 0 for none. `place` is recorded if that is asked for.
    #[inline(always)]
    pub fn at(place: u32) -> u32 {
        let made = MADE.load(Relaxed);
        if made < RECORDED { made } else { first(place) }
    }

    #[cold]
    #[inline(never)]
    fn first(place: u32) -> u32 {
        let record = std::env::var_os("MISTAKES_SEEN");
        if MADE.load(Relaxed) == UNKNOWN {
            let number = std::env::var("MISTAKE")
                .ok()
                .and_then(|number| number.parse().ok());
            MADE.store(
                if record.is_some() {
                    RECORDED
                } else {
                    number.unwrap_or(0)
                },
                Relaxed,
            );
            return at(place);
        }
        if let Some(path) = record
            && !SEEN[place as usize].swap(true, Relaxed)
        {
            let file = std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path);
            file.unwrap()
                .write_all(format!("{place}\n").as_bytes())
                .unwrap();
        }
        0
    }
}
