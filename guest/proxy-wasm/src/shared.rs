//! The store that the VMs of all workers share: the proxy's shared data, with compare-and-swap.

use proxy_wasm::hostcalls;
use wif_engine::Secret;
use wif_engine::contract::{Entry, Outcome, Swap};

/// Numbers of writes begin at one and go up; this one will not be reached. With it a write succeeds only where nothing is yet, for
/// the proxy compares numbers only where something is.
const NONE: u32 = u32::MAX;

const SEEDS: &str = "wif.seeds";

/// The entry under this key, and the number of its last write.
pub(crate) fn load(key: &str) -> Option<(Entry, u32)> {
    let (value, number) = hostcalls::get_shared_data(&name(key)).ok()?;
    let (value, number) = (value?, number?);
    // Only sessions write it, and they write text.
    let value = Secret::from(String::from_utf8(value).unwrap_or_default());
    Some((Entry { version: number.to_string(), value }, number))
}

/// Replaces the entry if it still is the expected one. With the outcome comes the number of the last write.
pub(crate) fn swap(swap: &Swap) -> (Outcome, Option<u32>) {
    let expected = match &swap.expected {
        None => NONE,
        Some(version) => version.parse().unwrap_or(NONE),
    };
    let written = hostcalls::set_shared_data(&name(&swap.key), Some(swap.value.reveal().as_bytes()), Some(expected));
    let there = load(&swap.key);
    match (written, there) {
        (Ok(()), Some((entry, number))) if entry.value == swap.value => (Outcome::Swapped(entry.version), Some(number)),
        // Another has written since. The version that was ours is not known, and no longer matters.
        (Ok(()), _) => (Outcome::Swapped("overwritten".to_owned()), None),
        (Err(_), Some((entry, number))) => (Outcome::Conflict(Some(entry)), Some(number)),
        (Err(_), None) => (Outcome::Conflict(None), None),
    }
}

/// More tries than a proxy has workers that could be in each other's way. A proxy that never takes the first value of a key
/// would be asked for ever.
const TRIES: u32 = 1_000;

/// A seed that no other VM of this proxy has, from a time in nanoseconds. An `Err` says what the proxy does not do.
pub(crate) fn seed(nanos: u64) -> Result<u64, String> {
    // The count makes it another, and the time makes it another in other processes.
    Ok((count()? << 48) ^ (nanos & ((1 << 48) - 1)))
}

/// A number that no other VM of this proxy gets.
fn count() -> Result<u64, String> {
    for _ in 0..TRIES {
        let (value, number) = hostcalls::get_shared_data(SEEDS).unwrap_or_default();
        let last = value.and_then(|value| Some(u64::from_le_bytes(value.try_into().ok()?))).unwrap_or_default();
        let next = last.wrapping_add(1);
        if hostcalls::set_shared_data(SEEDS, Some(&next.to_le_bytes()), Some(number.unwrap_or(NONE))).is_ok() {
            return Ok(next);
        }
    }
    Err(format!(
        "cannot be used: proxy_set_shared_data did not take the first value of a key in {TRIES} tries, so that workers \
                 could not share one exchange"
    ))
}

fn name(key: &str) -> String {
    format!("wif.entry.{key}")
}
