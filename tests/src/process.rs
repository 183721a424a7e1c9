//! Finding the processes of a test.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long [`eventually`] looks. Only a guard: what it waits for comes within milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks again and again until the answer is yes, and says whether it ever was.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number that no other test uses, to be found in command lines: `sleep MARKER` sleeps for about a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker(String);

impl Marker {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "no two are equal")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(format!("{}.{:09}{count:04}", 80_000 + count % 1000, std::process::id()))
    }

    /// The number, as an argument of `sleep`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Every process with the marker in its command line, the launcher included: its id and its command line.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let entries = fs::read_dir("/proc").expect("/proc can be listed");
        entries
            .filter_map(|entry| {
                let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
                let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                line.contains(&self.0).then_some((pid, line))
            })
            .collect()
    }

    /// The processes that are `sleep MARKER` and nothing else.
    pub fn sleepers(&self) -> Vec<u32> {
        let exactly = format!("sleep {}", self.0);
        self.processes()
            .into_iter()
            .filter(|(_, line)| line.trim_end().rsplit('/').next() == Some(&exactly))
            .map(|(pid, _)| pid)
            .collect()
    }

    /// Waits until there are so many sleepers, and gives them.
    #[track_caller]
    pub fn wait_for_sleepers(&self, count: usize) -> Vec<u32> {
        assert!(
            eventually(|| self.sleepers().len() >= count),
            "{count} sleepers wanted: {:?}",
            self.processes()
        );
        self.sleepers()
    }

    /// Asserts that soon no process has the marker any more.
    #[track_caller]
    pub fn expect_gone(&self) {
        assert!(eventually(|| self.processes().is_empty()), "survivors: {:?}", self.processes());
    }
}
