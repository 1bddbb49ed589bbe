//! The tables of numbers: some in the README, all in NUMBERS.md.

use crate::report::{Number, Numbers, Unit};

const BEGIN: &str = "<!-- numbers: written by `cargo run --release -p wif-benches` -->\n";
const END: &str = "<!-- numbers end -->\n";

/// The numbers that the README shows: of each part the one that a reader asks for first, whether it is met or missed.
const HEADLINES: [&str; 13] = [
    "request",
    "edge.nothing",
    "start",
    "callers.exchanges",
    "scale.memory",
    "scale.ready",
    "scale.request",
    "python",
    "javascript.node.request",
    "envoy.static_filter.cpu",
    "envoy.filter.cpu",
    "envoy.module.cpu",
    "build.command",
];

/// The README's table, in Markdown.
#[must_use]
pub fn headlines(numbers: &Numbers) -> String {
    table(numbers, |number| HEADLINES.contains(&number.id.as_str()))
}

/// The whole table, and the curves, in Markdown.
#[must_use]
pub fn render(numbers: &Numbers) -> String {
    let curves = numbers.numbers.iter().filter(|number| !number.curve.is_empty()).map(plot);
    table(numbers, |number| !number.detail) + &curves.collect::<String>()
}

/// A curve as a chart, which a viewer of Markdown draws.
fn plot(number: &Number) -> String {
    let (unit, name) = unit_of(number.curve.iter().map(|point| point.measured).fold(0.0, f64::max), number.unit);
    let at: Vec<String> = number.curve.iter().map(|point| format!("\"{}\"", thousands(point.at))).collect();
    let measured: Vec<String> = number.curve.iter().map(|point| significant(point.measured / unit)).collect();
    let title = number.what.trim_start_matches("… ");
    format!(
        "\n```mermaid\nxychart-beta\n    title \"{title}\"\n    x-axis [{}]\n    y-axis \"{name}\"\n    line [{}]\n```\n",
        at.join(", "),
        measured.join(", ")
    )
}

fn thousands(number: u32) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

fn table(numbers: &Numbers, shown: impl Fn(&Number) -> bool) -> String {
    let machine = &numbers.machine;
    let mut text = format!(
        "`cargo run --release -p wif-benches` measures these, and `python3 .ci/build-cost.py` the builds, here on {} cores of one {} ({}).\n\n",
        machine.cores, machine.processor, machine.system
    );
    text.push_str("| What | Measured | Beside it | Target | Met |\n| --- | --- | --- | --- | --- |\n");
    for number in numbers.numbers.iter().filter(|number| shown(number)) {
        let measured = number.measured.map_or_else(|| "not measured".to_owned(), |value| quantity(value, number.unit));
        let by_size =
            number.curve.iter().map(|point| format!("{}: {}", thousands(point.at), quantity(point.measured, number.unit)));
        let beside = beside(number).into_iter().chain(by_size).collect::<Vec<_>>().join("; ");
        let target = number.target.as_deref().unwrap_or_default();
        let met = match number.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        text.push_str(&format!("| {} | {measured} | {beside} | {target} | {met} |\n", number.what));
    }
    text
}

/// The document with this table between its markers; none without the markers.
#[must_use]
pub fn splice(document: &str, table: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some([before, BEGIN, table, END, after].concat())
}

fn beside(number: &Number) -> Option<String> {
    let (baseline, ratio) = (number.baseline.as_ref()?, number.ratio?);
    Some(format!("{}: {}; {} ×", baseline.what, quantity(baseline.measured, number.unit), significant(ratio)))
}

fn quantity(value: f64, unit: Unit) -> String {
    match unit_of(value, unit) {
        (_, "") => format!("{value:.0}"),
        (_, "B") => format!("{value:.0} B"),
        (size, name) => format!("{} {name}", significant(value / size)),
    }
}

/// In what such a value is shown.
fn unit_of(value: f64, unit: Unit) -> (f64, &'static str) {
    match unit {
        Unit::Nanoseconds if value >= 60e9 => (60e9, "min"),
        Unit::Nanoseconds if value >= 1e6 => (1e6, "ms"),
        Unit::Nanoseconds if value >= 1e3 => (1e3, "µs"),
        Unit::Nanoseconds => (1.0, "ns"),
        Unit::Bytes if value >= 1024.0 => (1024.0, "KiB"),
        Unit::Bytes => (1.0, "B"),
        Unit::Count => (1.0, ""),
        Unit::Times => (1.0, "×"),
    }
}

/// Two digits, or all of those before the point.
fn significant(value: f64) -> String {
    if value.abs() >= 9.95 {
        format!("{value:.0}")
    } else if value.abs() >= 0.095 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(quantity(57.3, Unit::Nanoseconds), "57 ns");
        assert_eq!(quantity(1_234.0, Unit::Nanoseconds), "1.2 µs");
        assert_eq!(quantity(2_500_000.0, Unit::Nanoseconds), "2.5 ms");
        assert_eq!(quantity(474e9, Unit::Nanoseconds), "7.9 min");
        assert_eq!(quantity(362_000.0, Unit::Bytes), "354 KiB");
        assert_eq!(quantity(1.0, Unit::Count), "1");
    }

    #[test]
    fn a_curve_is_a_line_of_the_table_and_a_chart() {
        let number = Number::new("scale", "… of many", Unit::Bytes).value(16_384.0).curve([(1, 123_904.0), (10_000, 16_384.0)]);
        assert_eq!(
            plot(&number),
            "\n```mermaid\nxychart-beta\n    title \"of many\"\n    x-axis [\"1\", \"10,000\"]\n    y-axis \"KiB\"\n    line [121, 16]\n```\n"
        );
        let machine = crate::Machine { processor: "a processor".to_owned(), ..crate::Machine::describe() };
        let table = table(&Numbers { machine, numbers: vec![number] }, |_| true);
        assert!(table.ends_with("| … of many | 16 KiB | 1: 121 KiB; 10,000: 16 KiB |  |  |\n"), "{table}");
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let readme = format!("before\n{BEGIN}old\n{END}after\n");
        assert_eq!(splice(&readme, "new\n"), Some(format!("before\n{BEGIN}new\n{END}after\n")));
        assert_eq!(splice("no markers", "new\n"), None);
    }
}
