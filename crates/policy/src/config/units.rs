//! Sizes and durations as people write them.

use std::time::Duration;

/// Bytes from `"2 GiB"`, `"512M"`, `"4096"`. `K`, `M`, `G`, `T` and `KiB` … are powers of 1024, `KB` … powers of 1000.
/// `None` when it is not of that form, is zero, or does not fit.
pub fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text);
    let factor: u128 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    positive(scaled(number, factor)?)
}

/// A duration from `"30s"`, `"5m"`, `"1h"`, `"250ms"`, `"1.5h"`, or a number of seconds.
/// `None` when it is not of that form, is zero, or exceeds what a clock holds.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text);
    let nanoseconds: u128 = match unit.to_ascii_lowercase().as_str() {
        "ms" => 1_000_000,
        "" | "s" | "sec" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    // u64 nanoseconds are 584 years; more would overflow the arithmetic of clocks.
    positive(scaled(number, nanoseconds)?).map(Duration::from_nanos)
}

/// The leading number and the unit behind it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// `number` (digits with at most one point) times `factor`, rounded down.
fn scaled(number: &str, factor: u128) -> Option<u128> {
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.len() > 9 {
        return None;
    }
    let digits: u128 = [whole, fraction].concat().parse().ok()?;
    Some(digits.checked_mul(factor)? / 10_u128.pow(u32::try_from(fraction.len()).ok()?))
}

fn positive(value: u128) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("2 GiB", 2 << 30),
            ("512M", 512 << 20),
            ("512m", 512 << 20),
            ("4096", 4096),
            ("1.5K", 1536),
            ("1KB", 1000),
            ("1_000", 1000),
            (" 7 b ", 7),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "0", "-1", "1.", ".5K", "1.2.3", "G", "2 XB", "99999999999T", "0.0001", "1e3", "٣"]
        {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("90", 90_000),
            ("250ms", 250),
            ("1.5 h", 5_400_000),
            ("0.25", 250),
            ("2d", 172_800_000),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text), Some(Duration::from_millis(expected)), "{text}");
        }
        for text in ["", "0", "0s", "-5s", "5 weeks", "s", "1:30", "99999999999999d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
