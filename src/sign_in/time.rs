//! Points in time as logs write them.

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate, SecondsFormat, TimeDelta, Utc};

/// A point in time in UTC. Written as RFC 3339 with seven fraction digits, the log's own resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Since 1970, rounded down.
    seconds: i64,
    /// Beyond a second's worth within a leap second, as chrono has it.
    nanos: u32,
}

/// A text that is no point in time in any form that sign-in logs use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no time (expected, for example, 2026-11-24T08:15:00Z)")]
pub struct ParseTimestampError {
    text: String,
}

impl Timestamp {
    /// The time as `chrono` has it.
    pub fn utc(self) -> DateTime<Utc> {
        // INVARIANT: every constructor is given a time of chrono's, or one of the years 0 to 9999.
        DateTime::from_timestamp(self.seconds, self.nanos).unwrap_or_default()
    }

    /// Whole seconds since 1970-01-01 UTC, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.seconds
    }

    /// Reads any form that sign-in logs use; without an offset it is UTC.
    ///
    /// ISO 8601 with `T` or a blank and 0 to 9 fraction digits; `1/9/2007 9:41:00 AM [+01:00]`,
    /// `01/09/2007 09:41:00`, `4/19/2021, 12:13:19.483 PM` (month first).
    ///
    /// ```
    /// # use spwatch::sign_in::Timestamp;
    /// let time = Timestamp::parse("4/19/2021, 12:13:19.483 PM").unwrap();
    /// assert_eq!(time.to_string(), "2021-04-19T12:13:19.4830000Z");
    /// ```
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Self, ParseTimestampError> {
        if let Some(time) = log_form(text.as_bytes()) {
            return Ok(time);
        }
        let trimmed = text.trim();
        iso(Scanner(trimmed.as_bytes()))
            .or_else(|| month_first(Scanner(trimmed.as_bytes())))
            .map(Self::from)
            .ok_or_else(|| ParseTimestampError {
                text: text.chars().take(64).collect(),
            })
    }
}

/// The form of nearly every time in a log, `2007-01-09T09:41:00[.123456789]Z`, at a tenth of the cost of the
/// others; `None` says nothing.
#[inline]
fn log_form(text: &[u8]) -> Option<Timestamp> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        i1,
        i2,
        b':',
        s1,
        s2,
    ] = *head
    else {
        return None;
    };
    let (b'Z', fraction) = rest.split_last()? else {
        return None;
    };
    let mut digits_only = true;
    let mut two = |tens: u8, ones: u8| {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        digits_only &= tens < 10 && ones < 10;
        u32::from(tens)
            .wrapping_mul(10)
            .wrapping_add(u32::from(ones))
    };
    let (century, year) = (two(y1, y2), two(y3, y4));
    let (month, day) = (two(m1, m2), two(d1, d2));
    let (hour, minute, second) = (two(h1, h2), two(i1, i2), two(s1, s2));
    let nanos = match fraction {
        [] => 0,
        [b'.', digits @ ..] => {
            // INVARIANT: nine digits at most, or there is no power of ten to be had.
            let power = POWERS_OF_TEN.get(9_usize.wrapping_sub(digits.len()))?;
            let number = digits.iter().fold(0_u32, |number, digit| {
                let digit = digit.wrapping_sub(b'0');
                digits_only &= digit < 10;
                number.wrapping_mul(10).wrapping_add(u32::from(digit))
            });
            number.wrapping_mul(*power)
        }
        _ => return None,
    };
    let in_range = (1..=12).contains(&month) && day >= 1 && hour < 24 && minute < 60 && second < 60;
    if !digits_only || !in_range {
        return None;
    }
    let year = century * 100 + year;
    if day > 28 && day > days_of_month(year, month) {
        return None;
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    Some(Timestamp {
        seconds: days_since_1970(year, month, day) * 86_400 + seconds,
        nanos,
    })
}

const POWERS_OF_TEN: [u32; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

fn days_of_month(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar, counted in years that begin in March, so that the leap day is the
/// last of its year.
fn days_since_1970(year: u32, month: u32, day: u32) -> i64 {
    // A full cycle of 400 years more, lest January of the year 0 lies before the beginning.
    let year = year + 400 - u32::from(month <= 2);
    let month = (month + 9) % 12;
    let before_year = year * 365 + year / 4 - year / 100 + year / 400;
    let before_month = (153 * month + 2) / 5;
    i64::from(before_year + before_month + day - 1) - 719_468 - 146_097
}

/// `2007-01-09T09:41:00[.123456789][Z|+01:00]`, with a blank for the `T`.
fn iso(mut scan: Scanner<'_>) -> Option<DateTime<Utc>> {
    let year = scan.digits(4, 4)?;
    scan.byte(b"-")?;
    let month = scan.digits(2, 2)?;
    scan.byte(b"-")?;
    let day = scan.digits(2, 2)?;
    scan.byte(b"Tt ")?;
    let (hour, minute, second, nanos) = scan.clock(2)?;
    let offset = scan.offset()?;
    assemble((year, month, day), (hour, minute, second, nanos), offset)
}

/// `1/9/2007[,] 9:41:00[.483] [AM|PM] [+01:00]`.
///
/// Browsers write a narrow no-break space (U+202F) before `AM` since their CLDR 42.
fn month_first(mut scan: Scanner<'_>) -> Option<DateTime<Utc>> {
    let month = scan.digits(1, 2)?;
    scan.byte(b"/")?;
    let day = scan.digits(1, 2)?;
    scan.byte(b"/")?;
    let year = scan.digits(4, 4)?;
    let _comma = scan.byte(b",");
    if !scan.blanks() {
        return None;
    }
    let (mut hour, minute, second, nanos) = scan.clock(1)?;
    scan.blanks();
    if let Some(half) = scan.byte(b"AaPp") {
        scan.byte(b"Mm")?;
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour %= 12;
        if half.eq_ignore_ascii_case(&b'p') {
            hour += 12;
        }
    }
    let offset = scan.offset()?;
    assemble((year, month, day), (hour, minute, second, nanos), offset)
}

fn assemble(
    (year, month, day): (u32, u32, u32),
    (hour, minute, second, nanos): (u32, u32, u32, u32),
    offset: TimeDelta,
) -> Option<DateTime<Utc>> {
    // chrono keeps a leap second as a 59th one with more than a second of nanoseconds.
    let (second, nanos) = match second {
        60 => (59, nanos + 1_000_000_000),
        _ => (second, nanos),
    };
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?
        .and_hms_nano_opt(hour, minute, second, nanos)?
        .checked_sub_signed(offset)
        .map(|time| time.and_utc())
        // Beyond these, RFC 3339 has no way to write it.
        .filter(|time| (0..=9999).contains(&time.year()))
}

/// The rest of a text that is being read.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    /// Takes the next byte if it is one of these.
    fn byte(&mut self, any: &[u8]) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        if !any.contains(byte) {
            return None;
        }
        self.0 = rest;
        Some(*byte)
    }

    /// Takes as many digits as there are, up to `most` (nine at most); `None` if fewer than `least`.
    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let mut number = 0;
        let mut count = 0;
        while count < most
            && let Some((digit @ b'0'..=b'9', rest)) = self.0.split_first()
        {
            number = number * 10 + u32::from(digit - b'0');
            count += 1;
            self.0 = rest;
        }
        (count >= least).then_some(number)
    }

    /// Takes blanks, the no-break ones too; whether there were any.
    fn blanks(&mut self) -> bool {
        let mut any = false;
        loop {
            match self.0 {
                [b' ', rest @ ..] | [0xC2, 0xA0, rest @ ..] | [0xE2, 0x80, 0xAF, rest @ ..] => {
                    any = true;
                    self.0 = rest;
                }
                _ => return any,
            }
        }
    }

    /// Takes hours, minutes, seconds and 0 to 9 fraction digits.
    fn clock(&mut self, least_hour_digits: usize) -> Option<(u32, u32, u32, u32)> {
        let hour = self.digits(least_hour_digits, 2)?;
        self.byte(b":")?;
        let minute = self.digits(2, 2)?;
        self.byte(b":")?;
        let second = self.digits(2, 2)?;
        let mut nanos = 0;
        if self.byte(b".").is_some() {
            let before = self.0.len();
            nanos = self.digits(1, 9)?;
            for _ in before - self.0.len()..9 {
                nanos *= 10;
            }
        }
        Some((hour, minute, second, nanos))
    }

    /// Takes an offset or none, up to the end of the text.
    fn offset(&mut self) -> Option<TimeDelta> {
        self.blanks();
        if self.0.is_empty() || matches!(self.0, [b'Z' | b'z']) {
            return Some(TimeDelta::zero());
        }
        let sign = self.byte(b"+-")?;
        let hours = self.digits(2, 2)?;
        let minutes = match self.byte(b":") {
            None if self.0.is_empty() => 0,
            _ => self.digits(2, 2)?,
        };
        if !self.0.is_empty() || hours > 23 || minutes > 59 {
            return None;
        }
        let offset = TimeDelta::minutes(i64::from(hours * 60 + minutes));
        Some(if sign == b'-' { -offset } else { offset })
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self {
            seconds: time.timestamp(),
            nanos: time.timestamp_subsec_nanos(),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // chrono knows 3, 6 and 9 digits; the log has 7. Nine digits and a `Z` end in two digits to drop.
        let text = self.utc().to_rfc3339_opts(SecondsFormat::Nanos, true);
        f.write_str(text.get(..text.len().saturating_sub(3)).unwrap_or(&text))?;
        f.write_str("Z")
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let table = [
            ("2007-01-09T09:41:00", "2007-01-09T09:41:00.0000000Z"),
            ("2007-01-09T09:41:00Z", "2007-01-09T09:41:00.0000000Z"),
            ("2007-01-09t09:41:00z", "2007-01-09T09:41:00.0000000Z"),
            ("2007-01-09 09:41:00", "2007-01-09T09:41:00.0000000Z"),
            ("2007-01-09T09:41:00.2Z", "2007-01-09T09:41:00.2000000Z"),
            (
                "2007-01-09T09:41:00.6816663Z",
                "2007-01-09T09:41:00.6816663Z",
            ),
            (
                "2007-01-09 09:41:00.535404056",
                "2007-01-09T09:41:00.5354040Z",
            ),
            (
                "2007-01-09T09:41:00.346468+00:00",
                "2007-01-09T09:41:00.3464680Z",
            ),
            ("2007-01-09T11:41:00+02:00", "2007-01-09T09:41:00.0000000Z"),
            (
                "2007-01-09T04:41:00.1-05:00",
                "2007-01-09T09:41:00.1000000Z",
            ),
            ("2007-01-09T11:41:00+0200", "2007-01-09T09:41:00.0000000Z"),
            ("2007-01-09T10:11:00+0030", "2007-01-09T09:41:00.0000000Z"),
            ("2007-01-09T09:56:00+0015", "2007-01-09T09:41:00.0000000Z"),
            ("2007-01-09T11:41:00+02", "2007-01-09T09:41:00.0000000Z"),
            ("2007-01-09 11:41:00 +02:00", "2007-01-09T09:41:00.0000000Z"),
            ("2007-01-09T00:30:00+01:00", "2007-01-08T23:30:00.0000000Z"),
            (" 2007-01-09T09:41:00Z ", "2007-01-09T09:41:00.0000000Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:60.0000000Z"),
            ("01/09/2007 09:41:00", "2007-01-09T09:41:00.0000000Z"),
            ("1/9/2007 09:41:00", "2007-01-09T09:41:00.0000000Z"),
            ("01/09/2007 21:41:00", "2007-01-09T21:41:00.0000000Z"),
            ("01/09/2007 09:41:00 AM", "2007-01-09T09:41:00.0000000Z"),
            ("1/9/2007 9:41:00 AM", "2007-01-09T09:41:00.0000000Z"),
            ("1/9/2007 9:41:00 pm", "2007-01-09T21:41:00.0000000Z"),
            ("1/9/2007 12:41:00 AM", "2007-01-09T00:41:00.0000000Z"),
            ("1/9/2007 12:41:00 PM", "2007-01-09T12:41:00.0000000Z"),
            (
                "1/9/2007 10:41:00 AM +01:00",
                "2007-01-09T09:41:00.0000000Z",
            ),
            ("4/19/2021, 12:13:19.483 PM", "2021-04-19T12:13:19.4830000Z"),
            (
                "4/19/2021, 12:13:19\u{202f}PM",
                "2021-04-19T12:13:19.0000000Z",
            ),
        ];
        for (text, expected) in table {
            let time = Timestamp::parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(time.to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "yesterday",
            "2007-01-09",
            "2007-01-09T09:41",
            "2007-13-09T09:41:00Z",
            "2007-02-29T09:41:00Z",
            "2007-01-09T24:00:00Z",
            "2007-01-09T09:41:00.Z",
            "2007-01-09T09:41:00.1234567890Z",
            "2007-01-09T09:41:00+24:00",
            "2007-01-09T09:41:00+02:0",
            "2007-01-09T09:41:00Zulu",
            "19/4/2021 12:13:19",
            "1/9/2007 13:41:00 PM",
            "1/9/2007 0:41:00 AM",
            "1/9/07 09:41:00",
            "1/9/2007",
            "1/9/200709:41:00",
            "１/９/2007 09:41:00",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text:?}");
        }
        let error = Timestamp::parse(&"x".repeat(1000)).unwrap_err();
        assert!(error.to_string().len() < 200);
    }

    proptest::proptest! {
        #[test]
        fn reads_back_what_it_writes(seconds in 0_i64..4_000_000_000, ticks in 0_u32..10_000_000) {
            let time = Timestamp::from(DateTime::from_timestamp(seconds, ticks * 100).unwrap());
            proptest::prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn the_quick_way_reads_as_the_thorough_one(text in "[0-9]{3}[0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{0,10})?Z") {
            let quick = log_form(text.as_bytes());
            let thorough = iso(Scanner(text.as_bytes())).map(Timestamp::from);
            if quick.is_some() {
                proptest::prop_assert_eq!(quick, thorough);
            } else {
                // A leap second is left to the thorough way.
                proptest::prop_assert!(thorough.is_none() || text.contains(":60"));
            }
        }

        #[test]
        fn never_panics(text in "[0-9T:./ ,+APMZ-]{0,40}") {
            let _ = Timestamp::parse(&text).map(|time| time.to_string());
        }
    }
}
