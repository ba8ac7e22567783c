//! Dates, points in time and durations as a policy writes them.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use toml::value::{Date, Datetime, Offset};

use crate::sign_in::Timestamp;

pub(super) fn local_date(date: Date) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(date.year.into(), date.month.into(), date.day.into())
}

pub(super) fn timestamp(time: &Datetime) -> Option<Timestamp> {
    let (date, clock, offset) = (local_date(time.date?)?, time.time?, time.offset?);
    let local = date.and_hms_nano_opt(
        clock.hour.into(),
        clock.minute.into(),
        clock.second.unwrap_or(0).into(),
        clock.nanosecond.unwrap_or(0),
    )?;
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => minutes,
    };
    let utc = local.checked_sub_signed(TimeDelta::minutes(minutes.into()))?;
    Some(DateTime::<Utc>::from_naive_utc_and_offset(utc, Utc).into())
}

/// A whole number and a unit; ten years are the most.
pub(crate) fn parse_duration(text: &str) -> Option<TimeDelta> {
    const LONGEST: i64 = 3650 * 86_400;
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let digits = text.strip_suffix(unit)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let total = digits.parse::<i64>().ok()?.checked_mul(seconds)?;
    (total <= LONGEST).then(|| TimeDelta::seconds(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let table = [
            ("7d", Some(604_800)),
            ("1h", Some(3_600)),
            ("30m", Some(1_800)),
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("2w", Some(1_209_600)),
            ("3650d", Some(315_360_000)),
            ("3651d", None),
            ("-1h", None),
            ("+1h", None),
            ("1.5h", None),
            ("1 h", None),
            ("h", None),
            ("", None),
            ("5", None),
            ("1µ", None),
            ("99999999999999999999w", None),
            ("9223372036854775807w", None),
        ];
        for (text, seconds) in table {
            assert_eq!(
                parse_duration(text).map(|value| value.num_seconds()),
                seconds,
                "{text}"
            );
        }
    }
}
