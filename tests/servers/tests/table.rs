//! The README's table says what the hosts' tests run.

use std::path::Path;

use wif_servers::cases::{CASES, table};

#[test]
fn the_readme_says_which_host_was_run_with_which_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/recipes/README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let (_, rest) = readme.split_once("<!-- hosts -->\n").expect("the table begins");
    let (found, _) = rest.split_once("<!-- /hosts -->").expect("the table ends");
    assert_eq!(found.trim(), table().trim(), "put this there:\n{}", table());
}

#[test]
fn every_platform_has_a_case() {
    for name in wif_recipes::names() {
        assert!(CASES.iter().any(|case| case.split(' ').next() == Some(name)), "nothing runs {name}");
    }
}
