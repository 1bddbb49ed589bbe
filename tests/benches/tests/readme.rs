//! The README says what was measured.

use wif_benches::{read_numbers, readme_file, render, splice};

#[test]
fn the_table_of_the_readme_is_the_one_of_the_numbers() {
    let readme = std::fs::read_to_string(readme_file()).unwrap();
    let expected = splice(&readme, &render(&read_numbers().unwrap())).expect("the markers of the table");
    assert_eq!(readme, expected, "run `cargo run --release -p wif-benches -- render`");
}

/// A number that misses its target without a word of why would look like one that nobody has seen.
#[test]
fn what_is_missed_is_argued() {
    for number in read_numbers().unwrap().numbers {
        assert!(number.met != Some(false) || number.remark.is_some(), "{} is missed and not argued", number.id);
    }
}
