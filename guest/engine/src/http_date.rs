//! Dates of HTTP (RFC 9110 section 5.6.7), in the three forms that a recipient has to read.

const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

/// The days of a common year before each month.
const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// Milliseconds since 1970; none for what is no date, or an earlier one. The day of the week is not looked at.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let mut fields = [""; 8];
    for (at, field) in text.split([' ', ',', '-', ':']).filter(|field| !field.is_empty()).enumerate() {
        *fields.get_mut(at)? = field;
    }
    let [_, first, second, .., last] = fields;
    let (day, month, year, [hour, minute, of_minute]) = match last {
        // Sun, 06 Nov 1994 08:49:37 GMT, and Sunday, 06-Nov-94 08:49:37 GMT.
        "GMT" => (first, second, fields[3], [fields[4], fields[5], fields[6]]),
        // Sun Nov  6 08:49:37 1994.
        "" => (second, first, fields[6], [fields[3], fields[4], fields[5]]),
        _ => return None,
    };
    let year = match (year.len(), number(year, 9_999)?) {
        (2, year) => year + if year < 70 { 2_000 } else { 1_900 },
        (_, year) => year,
    };
    let month = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? / 3;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = year.checked_sub(1).filter(|before| *before >= 1_969)?;
    // 477 of them were before 1970.
    let leap_days = before / 4 - before / 100 + before / 400 - 477 + u64::from(leap && month > 1);
    let days = (year - 1_970) * 365 + leap_days + BEFORE[month] + number(day, 31)?.checked_sub(1)?;
    // A minute may have a second more.
    Some((((days * 24 + number(hour, 23)?) * 60 + number(minute, 59)?) * 60 + number(of_minute, 60)?) * 1_000)
}

fn number(digits: &str, at_most: u64) -> Option<u64> {
    let number = digits.parse().ok()?;
    (number <= at_most && !digits.starts_with('+')).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::parse;

    /// Beside a library, in each form, over all years that have four digits.
    #[test]
    fn every_date_is_read_in_every_form() {
        // A prime number of seconds: some thirteen days.
        for seconds in (0..253_402_300_800_u64).step_by(1_100_009) {
            let fixed = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            let [weekday, day, month, year, time, "GMT"] = fixed.split(' ').collect::<Vec<_>>()[..] else { panic!("{fixed}") };
            let weekday = weekday.trim_end_matches(',');
            assert_eq!(parse(&fixed), Some(seconds * 1_000), "{fixed}");
            let c = format!("{weekday} {month} {:>2} {time} {year}", day.trim_start_matches('0'));
            assert_eq!(parse(&c), Some(seconds * 1_000), "{c}");
            if (1970..2070).contains(&year.parse().unwrap_or(0)) {
                let old = format!("{weekday}day, {day}-{month}-{} {time} GMT", &year[2..]);
                assert_eq!(parse(&old), Some(seconds * 1_000), "{old}");
            }
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "soon",
            "GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 GMT GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 08:49:+7 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 anF 1994 08:49:37 GMT",
            "Sun, 06 No 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 0 08:49:37 GMT",
            "Sun, 06 Nov 10000 08:49:37 GMT",
            "Sun, 06 Nov -994 08:49:37 GM\u{fc}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
