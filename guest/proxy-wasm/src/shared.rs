//! The store that the VMs of all workers share: the proxy's shared data, with compare-and-swap.
//!
//! Numbers of writes begin at one and go up. Proxies differ in what they compare where nothing is yet: Envoy compares nothing, others
//! take a missing key for one with the number zero. A proxy that takes zero for "whatever is there" as well cannot be shared by workers.

use wif_engine::Secret;
use wif_engine::contract::{Entry, Outcome, Swap};

use crate::hostcalls::{Refused, get_shared_data, set_shared_data};
use crate::outside::wall_nanos;

/// No write has this number. With it a write succeeds only where nothing is, if the proxy compares nothing there.
const NONE: u32 = u32::MAX;

/// The number of a key that does not exist, if the proxy compares it.
const MISSING: u32 = 0;

/// The write has another number by now.
const MISMATCH: Refused = 8;

const SEEDS: &str = "wif.seeds";

/// The entry under this key, and the number of its last write.
pub(crate) fn load(key: &str) -> Result<Option<(Entry, u32)>, Refused> {
    let found = get_shared_data(&name(key))?;
    Ok(found.map(|(value, number)| {
        // Only sessions write it, and they write text.
        let value = Secret::from(String::from_utf8(value).unwrap_or_default());
        (Entry { version: number.to_string(), value }, number)
    }))
}

/// Replaces the entry if it still is the expected one. With the outcome comes the number of the last write.
pub(crate) fn swap(swap: &Swap) -> (Outcome, Option<u32>) {
    let (key, value) = (name(&swap.key), swap.value.reveal().as_bytes());
    let written = match &swap.expected {
        None => create(&key, value),
        Some(version) => set_shared_data(&key, value, version.parse().unwrap_or(NONE)),
    };
    match (written, load(&swap.key)) {
        (Ok(()), Ok(Some((entry, number)))) if entry.value == swap.value => (Outcome::Swapped(entry.version), Some(number)),
        // Another has written since. The version that was ours is not known, and no longer matters.
        (Ok(()), _) => (Outcome::Swapped("overwritten".to_owned()), None),
        (Err(MISMATCH), Ok(there)) => {
            let (entry, number) = there.unzip();
            (Outcome::Conflict(entry), number)
        }
        (Err(status), _) => (failed("proxy_set_shared_data", status), None),
    }
}

/// What a function of the proxy did not do.
pub(crate) fn failed(function: &str, status: Refused) -> Outcome {
    Outcome::Failed(format!("{function} answers with status {status}"))
}

/// Writes the first value of a key, if nothing is there.
fn create(key: &str, value: &[u8]) -> Result<(), Refused> {
    set_shared_data(key, value, NONE).or_else(|refused| {
        if refused != MISMATCH || get_shared_data(key)?.is_some() || !counts_from_zero() {
            return Err(refused);
        }
        set_shared_data(key, value, MISSING)
    })
}

/// Whether zero is the number of a key that does not exist, and of no other. Tried on a key that nobody else has.
fn counts_from_zero() -> bool {
    let key = format!("wif.tried.{}", wall_nanos());
    set_shared_data(&key, b"1", MISSING).is_ok() && set_shared_data(&key, b"2", MISSING).is_err()
}

/// More tries than a proxy has workers that could be in each other's way.
const TRIES: u32 = 200;

/// A seed that no other VM of this proxy has, from a time in nanoseconds. An `Err` says what the proxy does not do.
pub(crate) fn seed(nanos: u64) -> Result<u64, String> {
    // The count makes it another, and the time makes it another in other processes.
    Ok((count()? << 48) ^ (nanos & ((1 << 48) - 1)))
}

/// A number that no other VM of this proxy gets.
fn count() -> Result<u64, String> {
    let mut refused = MISMATCH;
    for _ in 0..TRIES {
        let written = get_shared_data(SEEDS).and_then(|found| {
            let last = found.as_ref().and_then(|(value, _)| Some(u64::from_le_bytes(value.as_slice().try_into().ok()?)));
            let next = last.unwrap_or_default().wrapping_add(1);
            let value = next.to_le_bytes();
            match found {
                Some((_, number)) => set_shared_data(SEEDS, &value, number),
                None => create(SEEDS, &value),
            }
            .map(|()| next)
        });
        match written {
            Ok(next) => return Ok(next),
            Err(status) => refused = status,
        }
        if refused != MISMATCH {
            break;
        }
    }
    Err(format!(
        "cannot be used: proxy_set_shared_data does not write the first value of a key for one worker alone (status {refused})"
    ))
}

fn name(key: &str) -> String {
    format!("wif.entry.{key}")
}
