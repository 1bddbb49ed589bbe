//! The header is C and C++, and says what the library has.

use std::collections::BTreeMap;
use std::fs;
use std::mem::{align_of, offset_of, size_of};

use wif_c::{wif_callable, wif_is_credential, wif_request, wif_token};
use wif_test_tools::not_run;

use crate::installed::{Installed, crate_folder, runs};

/// The functions of a text by name, each with its parameters' types and then its own.
type Functions = BTreeMap<String, Vec<String>>;

/// Those that the header declares: `type name(type parameter, ...);`.
fn declared() -> Functions {
    let header = fs::read_to_string(crate_folder().join("include/wif.h")).expect("it is there");
    let code = without_comments(&header);
    let declarations = code.split(';').filter(|text| text.contains('(') && !text.contains("typedef"));
    let declaration = |text: &str| {
        let text = text.rsplit(['{', '}']).next().unwrap_or_default();
        let text = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ");
        let (head, parameters) = text.split_once('(')?;
        let (name, result) = name_last(head);
        let parameters = parameters.trim_end().trim_end_matches(')');
        let types = parameters.split(',').filter(|text| text.trim() != "void").map(|parameter| name_last(parameter).1);
        Some((name, types.chain([result]).collect()))
    };
    declarations.filter_map(declaration).collect()
}

/// `const char *text` is `text`, of the type `const char *`.
fn name_last(declaration: &str) -> (String, String) {
    let declaration = declaration.trim();
    let start = declaration.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    (declaration[start..].to_owned(), declaration[..start].replace(' ', ""))
}

fn without_comments(text: &str) -> String {
    let mut parts = text.split("/*");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |code, part| code + part.split_once("*/").map_or("", |(_, rest)| rest))
}

/// Those that the library exports.
fn exported() -> Functions {
    let sources =
        ["src/lib.rs", "src/session.rs"].map(|path| fs::read_to_string(crate_folder().join(path)).expect("it is there"));
    let code = sources.concat();
    let functions = code.split("#[unsafe(no_mangle)]").skip(1);
    let function = |text: &str| {
        let text = text.split_once("extern \"C\" fn ")?.1;
        let (name, rest) = text.split_once('(')?;
        let (signature, _) = rest.split_once('{')?;
        let (parameters, result) = signature.rsplit_once(')')?;
        let parameters = parameters.split(',').filter_map(|parameter| parameter.split_once(':'));
        let types = parameters.map(|(_, r#type)| in_c(r#type));
        Some((name.to_owned(), types.chain([in_c(result.trim_start().trim_start_matches("->"))]).collect()))
    };
    functions.filter_map(function).collect()
}

/// A type as C writes it, without spaces.
fn in_c(r#type: &str) -> String {
    let r#type = r#type.trim();
    if let Some(function) = r#type.strip_prefix("Option<") {
        return format!("{}*", function.trim_end_matches('>'));
    }
    if let Some(pointed) = r#type.strip_prefix("*mut ") {
        return format!("{}*", in_c(pointed));
    }
    if let Some(pointed) = r#type.strip_prefix("*const ") {
        // What is pointed to is constant.
        let pointed = in_c(pointed);
        return if pointed.ends_with('*') { format!("{pointed}const*") } else { format!("const{pointed}*") };
    }
    match r#type {
        "" => "void".to_owned(),
        "c_char" => "char".to_owned(),
        "c_int" => "int".to_owned(),
        "c_void" => "void".to_owned(),
        "usize" => "size_t".to_owned(),
        "i64" => "int64_t".to_owned(),
        "u64" => "uint64_t".to_owned(),
        other => other.to_owned(),
    }
}

#[test]
fn it_declares_what_the_library_exports_with_the_same_types() {
    let (declared, exported) = (declared(), exported());
    assert!(exported.len() >= 20, "{exported:?}");
    assert_eq!(declared, exported);
}

#[test]
fn it_compiles_as_c_and_as_cpp() {
    let Some(installed) = Installed::here() else { return };
    for standard in ["-std=c99", "-std=c11", "-std=c17"] {
        installed.header_compiles("cc", standard);
    }
    if !runs("c++") {
        return not_run("g++");
    }
    for standard in ["-std=c++11", "-std=c++20"] {
        installed.header_compiles("c++", standard);
    }
}

/// The header's structs are five and four pointers, with an `int` at the end of the first; and nine members of a pointer's size.
#[test]
fn structs_lie_in_memory_as_c_lays_them() {
    let pointer = size_of::<usize>();
    let token = [
        offset_of!(wif_token, id),
        offset_of!(wif_token, origin),
        offset_of!(wif_token, value),
        offset_of!(wif_token, headers),
        offset_of!(wif_token, merged),
        offset_of!(wif_token, suspect),
    ];
    assert_eq!(token, [0, 1, 2, 3, 4, 5].map(|member| member * pointer));
    assert_eq!((size_of::<wif_token>(), align_of::<wif_token>()), (6 * pointer, pointer));
    let callable = [
        offset_of!(wif_callable, kind),
        offset_of!(wif_callable, name),
        offset_of!(wif_callable, call),
        offset_of!(wif_callable, user),
    ];
    assert_eq!(callable, [0, 1, 2, 3].map(|member| member * pointer));
    let request = [
        offset_of!(wif_request, id),
        offset_of!(wif_request, method),
        offset_of!(wif_request, url),
        offset_of!(wif_request, headers),
        offset_of!(wif_request, body),
        offset_of!(wif_request, body_length),
        offset_of!(wif_request, ca_file),
        offset_of!(wif_request, timeout_ms),
        offset_of!(wif_request, max_response_bytes),
    ];
    assert_eq!(request, [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|member| member * pointer), "with pointers of 64 bits");
}

#[test]
fn its_version_is_the_librarys() {
    let header = fs::read_to_string(crate_folder().join("include/wif.h")).expect("it is there");
    assert!(header.contains(&format!("#define WIF_VERSION \"{}\"", env!("CARGO_PKG_VERSION"))));
}

/// The lists that all hosts share.
#[test]
fn a_callers_own_credential_is_known_by_its_name() {
    let rules = fs::read_to_string(crate_folder().join("../../wit/rules.json")).expect("it is there");
    let rules: serde_json::Value = serde_json::from_str(&rules).expect("JSON");
    let credentials =
        rules["credentials"]["names"].as_array().expect("a list").iter().map(|name| (name.as_str().expect("text"), 1));
    let others = ["accept", "content-type", "anthropic-version", "anthropic-beta", "x-request-id"].map(|name| (name, 0));
    for (name, expected) in credentials.chain(others) {
        let text = std::ffi::CString::new(name).expect("a name");
        // SAFETY: it is a text.
        assert_eq!(unsafe { wif_is_credential(text.as_ptr()) }, expected, "{name}");
    }
}
