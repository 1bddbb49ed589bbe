//! Shortens the names of functions in a built guest, and leaves out what tools write about themselves.
//!
//! A trap's backtrace is all that a component without imports can say about its end, so functions keep their names. As the
//! compiler writes them, with every type and trait in full, they weigh more than the texts of the program do. Here
//! `<wif_engine::contract::Failure as core::fmt::Debug>::fmt` becomes `wif_engine::Failure::fmt`, and functions of libraries lose
//! theirs.

use rustc_demangle::try_demangle;

/// What begins a core module, after the magic bytes.
const MODULE: [u8; 4] = [1, 0, 0, 0];

/// Sections, by their ids: those of a component that hold what may hold functions, and the one of a module that can have any name.
const CUSTOM: u8 = 0;
const NESTED_MODULE: u8 = 1;
const NESTED_COMPONENT: u8 = 4;

/// Sections of a module in which compiler and linker tell of themselves. Nothing that runs it reads them.
const TOOLS: [&[u8]; 2] = [b"producers", b"target_features"];

/// The part of the section `name` that names functions.
const FUNCTIONS: u8 = 1;

/// The module or component with short names; none where it is neither.
pub(crate) fn shortened(wasm: &[u8]) -> Option<Vec<u8>> {
    let (head, mut rest) = wasm.split_at_checked(8)?;
    let module = head.get(4..8)? == MODULE;
    let mut shortened = head.to_vec();
    while let Some((&id, after)) = rest.split_first() {
        let (content, after) = sized(after)?;
        rest = after;
        if module && id == CUSTOM && TOOLS.contains(&sized(content)?.0) {
            continue;
        }
        shortened.push(id);
        match (module, id) {
            (true, CUSTOM) => append_sized(&mut shortened, &custom(content)?),
            // Names of the glue between component and module, which no backtrace shows.
            (false, CUSTOM) if sized(content)?.0 == b"component-name" => drop(shortened.pop()),
            (false, NESTED_MODULE | NESTED_COMPONENT) => append_sized(&mut shortened, &self::shortened(content)?),
            _ => append_sized(&mut shortened, content),
        }
    }
    Some(shortened)
}

fn custom(content: &[u8]) -> Option<Vec<u8>> {
    let (name, mut parts) = sized(content)?;
    if name != b"name" {
        return Some(content.to_vec());
    }
    let mut section = Vec::new();
    append_sized(&mut section, name);
    while let Some((&id, after)) = parts.split_first() {
        let (part, after) = sized(after)?;
        parts = after;
        section.push(id);
        append_sized(&mut section, &if id == FUNCTIONS { functions(part)? } else { part.to_vec() });
    }
    Some(section)
}

/// Indices and names.
fn functions(part: &[u8]) -> Option<Vec<u8>> {
    let (count, mut rest) = number(part)?;
    let mut kept = 0;
    let mut names = Vec::new();
    for _ in 0..count {
        let (index, after) = number(rest)?;
        let (name, after) = sized(after)?;
        rest = after;
        let name = short(std::str::from_utf8(name).ok()?);
        if is_common(&name) {
            continue;
        }
        kept += 1;
        append_number(&mut names, index);
        append_sized(&mut names, name.as_bytes());
    }
    let mut renamed = Vec::new();
    append_number(&mut renamed, kept);
    renamed.extend(names);
    Some(renamed)
}

/// Whether nobody misses the name: what libraries do for everybody. Whoever reads a backtrace sees by whom they were called. How they
/// fail is worth a name.
fn is_common(name: &str) -> bool {
    let library = name.contains("::") && !name.starts_with("wif_");
    library && !["panic", "fail"].iter().any(|word| name.contains(word))
}

/// The crate, the type and the function; in the engine the module of a function without a type. A name that no compiler of Rust made stays.
fn short(name: &str) -> String {
    let Ok(demangled) = try_demangle(name) else { return name.to_owned() };
    let path = path(&format!("{demangled:#}"));
    let segments: Vec<&str> = path.split("::").filter(|segment| !segment.is_empty()).collect();
    let last = segments.len().saturating_sub(1);
    // Of a function's parents the type is worth its bytes, and of a closure's the function.
    let is_type = |segment: &str| segment.starts_with(|letter: char| letter.is_ascii_uppercase());
    let has_type = last > 0 && is_type(segments[last - 1]);
    let module = usize::from(segments.first() == Some(&"wif_engine") && !has_type);
    let kept =
        |at: usize| at <= module || at == last || at + 1 == last && (is_type(segments[at]) || segments[last].starts_with('{'));
    let kept: Vec<&str> = segments.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, segment)| *segment).collect();
    kept.join("::")
}

/// A path without arguments of types. Of `<T as Trait>` and `<impl Trait for T>` the type stays.
fn path(name: &str) -> String {
    let mut path = String::new();
    let mut rest = name;
    while let Some(open) = rest.find('<') {
        let (before, bracket) = rest.split_at(open);
        path.push_str(before);
        let Some((inside, after)) = bracketed(bracket) else { break };
        rest = after;
        let begins = path.is_empty() || path.ends_with("::");
        if begins && (rest.starts_with("::") || inside.starts_with("impl ")) {
            let of = of_whom(inside);
            // `a::b::<impl c::D>::e` is of `c::D`, wherever it is written.
            if of.contains("::") {
                path.clear();
            }
            path.push_str(&of);
        }
    }
    path.push_str(rest);
    path
}

/// The type of what stands in brackets before a function's name.
fn of_whom(inside: &str) -> String {
    let inside = inside.strip_prefix("impl ").unwrap_or(inside);
    let (first, last) = (outside(inside, " for "), outside(inside, " as "));
    let of = match (first, last) {
        (Some((_, of)), _) | (None, Some((of, _))) => of,
        (None, None) => inside,
    };
    let of = of.trim_start_matches(['&', '*', '[', '(']);
    let of = ["mut ", "const ", "dyn "].iter().fold(of, |of, word| of.strip_prefix(word).unwrap_or(of));
    path(of.trim_end_matches([']', ')']))
}

/// Parts a text at a word that stands in no brackets.
fn outside<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let mut found = text.match_indices(word).map(|(at, _)| at);
    let at = found.find(|at| depth(&text[..*at]) == 0)?;
    Some((&text[..at], &text[at + word.len()..]))
}

fn depth(text: &str) -> i64 {
    let text = text.replace("->", "");
    let count = |bracket: char| i64::try_from(text.matches(bracket).count()).unwrap_or(i64::MAX);
    count('<') - count('>')
}

/// What stands between the bracket that begins a text and its partner, and what follows.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let mut open = 0_usize;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        match character {
            '<' => open += 1,
            '>' if before != '-' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some((&text[1..at], &text[at + 1..]));
        }
        before = character;
    }
    None
}

/// A size and as many bytes; and what follows.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = number(bytes)?;
    rest.split_at_checked(usize::try_from(size).ok()?)
}

fn append_sized(to: &mut Vec<u8>, bytes: &[u8]) {
    append_number(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// LEB128.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

fn append_number(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_crate_its_type_and_its_function() {
        for (long, expected) in [
            ("_ZN11wif_recipes3run3Run4next17hb05b87fbd98528e1E", "wif_recipes::Run::next"),
            ("_ZN10wif_engine6answer4read17hebee88f50fdd0391E", "wif_engine::answer::read"),
            (
                "_ZN10wif_engine7session11configuring46_$LT$impl$u20$wif_engine..session..Session$GT$8discover17hcce8681f3b259c14E",
                "wif_engine::Session::discover",
            ),
            ("_ZN5alloc11collections5btree3map25BTreeMap$LT$K$C$V$C$A$GT$6insert17hb511b0b8a44367deE", "alloc::BTreeMap::insert"),
            (
                "_ZN98_$LT$$RF$mut$u20$serde_json..de..Deserializer$LT$R$GT$$u20$as$u20$serde_core..de..Deserializer$GT$15deserialize_any17h5f60bad58f6c2fbaE",
                "serde_json::Deserializer::deserialize_any",
            ),
            (
                "_ZN10serde_json5value3ser81_$LT$impl$u20$serde_core..ser..Serialize$u20$for$u20$serde_json..value..Value$GT$9serialize17ha43c905a511e6f09E",
                "serde_json::Value::serialize",
            ),
            (
                "_ZN45_$LT$f64$u20$as$u20$zmij..private..Sealed$GT$20write_to_zmij_buffer17h866e364af3ce7e90E",
                "f64::write_to_zmij_buffer",
            ),
            ("_RNvMsa_NtCsgXGp5Oqx2Ny_4core3fmtNtB5_9Formatter12pad_integral", "core::Formatter::pad_integral"),
            ("_RNvXsh_NtCsgXGp5Oqx2Ny_4core3fmteNtB5_5Debug3fmt", "str::fmt"),
            (
                "_ZN4core3ptr58drop_in_place$LT$wif_engine..configuration..Federation$GT$17h280038f1676dc0ebE",
                "core::drop_in_place",
            ),
            ("wif:credential/session@0.2.0#[method]session.step", "wif:credential/session@0.2.0#[method]session.step"),
            ("memcpy", "memcpy"),
        ] {
            assert_eq!(short(long), expected, "{long}");
        }
    }

    #[test]
    fn names_of_libraries_are_left_out_but_for_how_they_fail() {
        for common in ["alloc::BTreeMap::insert", "serde_json::Value::clone", "wit_bindgen::Cleanup::new", "T::fmt"] {
            assert!(is_common(common), "{common}");
        }
        let ours = ["wif_engine::answer::read", "wif:credential/session@0.2.0#[method]session.step", "memcpy"];
        let failing = ["core::panicking::panic_fmt", "core::len_mismatch_fail", "std::panic_handler::{closure#0}"];
        for kept in ours.into_iter().chain(failing) {
            assert!(!is_common(kept), "{kept}");
        }
    }

    #[test]
    fn what_tools_say_of_themselves_is_left_out() {
        let module = b"\0asm\x01\0\0\0".to_vec();
        let mut told = module.clone();
        for tool in TOOLS {
            told.push(CUSTOM);
            let mut section = vec![u8::try_from(tool.len()).unwrap()];
            section.extend_from_slice(tool);
            append_sized(&mut told, &[section, vec![1, 2, 3]].concat());
        }
        assert_eq!(shortened(&told), Some(module));
    }

    #[test]
    fn nothing_but_names_changes() {
        // A component of one custom section and one module: one of another name, and `name` with a module's name and two functions.
        let mut names = vec![0, 2, 1, b'm', FUNCTIONS];
        let long = "_ZN11wif_recipes3run3Run4next17hb05b87fbd98528e1E";
        let mut functions = vec![3, 0];
        append_sized(&mut functions, long.as_bytes());
        functions.push(7);
        append_sized(&mut functions, b"_ZN5alloc11collections5btree3map25BTreeMap$LT$K$C$V$C$A$GT$6insert17hb511b0b8a44367deE");
        functions.push(200);
        functions.push(1);
        append_sized(&mut functions, b"memcpy");
        append_sized(&mut names, &functions);
        let module = |names: &[u8]| {
            let mut module = b"\0asm".to_vec();
            module.extend(MODULE);
            module.extend([CUSTOM, 3, 1, b'x', 9]);
            let mut section = vec![4, b'n', b'a', b'm', b'e'];
            section.extend_from_slice(names);
            module.push(CUSTOM);
            append_sized(&mut module, &section);
            module
        };
        let component = |module: &[u8]| {
            let mut component = b"\0asm\x0d\0\x01\0".to_vec();
            component.extend([CUSTOM, 2, 1, b'y', NESTED_MODULE]);
            append_sized(&mut component, module);
            component
        };
        let mut expected = vec![0, 2, 1, b'm', FUNCTIONS];
        let mut functions = vec![2, 0];
        append_sized(&mut functions, b"wif_recipes::Run::next");
        functions.push(200);
        functions.push(1);
        append_sized(&mut functions, b"memcpy");
        append_sized(&mut expected, &functions);
        let once = shortened(&component(&module(&names))).unwrap();
        assert_eq!(once, component(&module(&expected)));
        assert_eq!(shortened(&once).as_ref(), Some(&once), "a second time changes nothing");
        assert_eq!(shortened(b"\0asm"), None);
    }
}
