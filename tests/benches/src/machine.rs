//! What the numbers were taken on, as far as it matters to them.

use std::fs;

use serde::{Deserialize, Serialize};

/// The machine of a run: no name, no path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor, by its own words.
    pub processor: String,
    /// How many threads it runs at once for this process.
    pub cores: usize,
    /// Operating system and architecture.
    pub system: String,
    /// Processes that were ready to run in the minute before, on average, where the system tells.
    pub load: Option<f64>,
}

impl Machine {
    /// This one, now.
    #[must_use]
    pub fn describe() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo").lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == "model name").then(|| value.trim().to_owned())
        });
        Self {
            processor: processor.unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()),
        }
    }
}
