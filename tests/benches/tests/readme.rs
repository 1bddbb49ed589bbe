//! The README and NUMBERS.md say what was measured.

use std::path::Path;

use wif_benches::{headlines, read_numbers, readme_file, render, splice, table_file};

#[test]
fn the_table_of_the_readme_is_the_one_of_the_numbers() {
    holds(&readme_file(), &headlines(&read_numbers().unwrap()));
}

#[test]
fn the_whole_table_is_the_one_of_the_numbers() {
    holds(&table_file(), &render(&read_numbers().unwrap()));
}

fn holds(file: &Path, table: &str) {
    let document = std::fs::read_to_string(file).unwrap();
    let expected = splice(&document, table).expect("the markers of the table");
    assert_eq!(document, expected, "run `cargo run --release -p wif-benches -- render`");
}

/// A number that misses its target without a word of why would look like one that nobody has seen.
#[test]
fn what_is_missed_is_argued() {
    for number in read_numbers().unwrap().numbers {
        assert!(number.met != Some(false) || number.remark.is_some(), "{} is missed and not argued", number.id);
    }
}
