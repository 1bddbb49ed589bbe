//! Which Envoy this is.
//!
//! Envoy itself only warns when a module was made for another version of the interface. Until the interface is declared
//! stable, this module takes one build of Envoy, by the build id that the linker wrote into the program: Envoy's own commit.

use std::fs::File;
use std::io::Read as _;

/// The version that the module was written for and is tested with.
pub(crate) const VERSION: &str = "1.40.0";

/// The commit of that version.
const COMMIT: &str = "9e5580933739775e8bce696a57a2e1bc99368f23";

/// The notes stand near the beginning of the program.
const BEGINNING: u64 = 64 << 10;

/// The type of a note with a build id, and its owner.
const BUILD_ID: u32 = 3;
const OWNER: &[u8] = b"GNU\0";

/// Whether the program that this module is part of is the right one; or else what to say.
pub(crate) fn check() -> Result<(), String> {
    let mut beginning = Vec::new();
    let read = File::open("/proc/self/exe").and_then(|program| program.take(BEGINNING).read_to_end(&mut beginning));
    let found = match read {
        Ok(_) => build_id(&beginning).unwrap_or_else(|| "a program without a build id".to_owned()),
        Err(error) => format!("unknown, for the program cannot be read: {error}"),
    };
    if found == COMMIT {
        return Ok(());
    }
    Err(format!("the module is for Envoy {VERSION}, build {COMMIT}, and no other; this one is {found}"))
}

/// The build id of a program, in hexadecimal (System V ABI, chapter 5: program header, note section).
fn build_id(program: &[u8]) -> Option<String> {
    const NOTES: u32 = 4;
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = program.get(at..at.checked_add(length)?)?;
        usize::try_from(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))).ok()
    };
    // 64 bits, little-endian: what Envoy is built for.
    if program.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (headers, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for header in (0..count).filter_map(|index| headers.checked_add(index.checked_mul(size)?)) {
        if number(header, 4)? != NOTES as usize {
            continue;
        }
        let (mut at, length) = (number(header.checked_add(8)?, 8)?, number(header.checked_add(32)?, 8)?);
        let end = at.checked_add(length)?;
        while at < end {
            let (owner, text, kind) = (number(at, 4)?, number(at.checked_add(4)?, 4)?, number(at.checked_add(8)?, 4)?);
            let owner_at = at.checked_add(12)?;
            let text_at = owner_at.checked_add(owner.checked_next_multiple_of(4)?)?;
            if kind == BUILD_ID as usize && program.get(owner_at..owner_at.checked_add(owner)?)? == OWNER {
                let id = program.get(text_at..text_at.checked_add(text)?)?;
                return Some(id.iter().map(|byte| format!("{byte:02x}")).collect());
            }
            at = text_at.checked_add(text.checked_next_multiple_of(4)?)?;
        }
    }
    None
}
