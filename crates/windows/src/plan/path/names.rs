//! Names that are not what they look like: devices and 8.3 aliases.

/// The devices that a name in any folder may mean, without their numbered kin.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Whether Windows opens a device when asked for a file of this name, in whatever folder: `nul`, `COM1`, `con.txt`,
/// `LPT² `. Newer versions do so less often; the older rule is the safe one.
pub fn is_device_name(name: &str) -> bool {
    let base = name.split(['.', ':']).next().unwrap_or_default().trim_end_matches(' ').to_uppercase();
    DEVICES.contains(&base.as_str()) || is_numbered_device(&base)
}

fn is_numbered_device(base: &str) -> bool {
    let number = base.strip_prefix("COM").or_else(|| base.strip_prefix("LPT"));
    let mut rest = number.unwrap_or_default().chars();
    // The superscript digits of Latin-1 count as digits here.
    matches!((rest.next(), rest.next()), (Some('1'..='9' | '¹' | '²' | '³'), None))
}

/// Whether a name has the form of an 8.3 alias, such as `GIT~1` or `PROGRA~2.TXT`.
pub fn looks_like_short_name(name: &str) -> bool {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let Some((stem, number)) = base.split_once('~') else { return false };
    !stem.is_empty()
        && base.chars().count() <= 8
        && !number.is_empty()
        && number.chars().all(|c| c.is_ascii_digit())
        && extension.chars().count() <= 3
        && !extension.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_hide_behind_extensions_spaces_and_superscripts() {
        for name in ["nul", "NUL.txt", "con ", "COM1", "lpt9.log", "COM²", "conin$", "aux:"] {
            assert!(is_device_name(name), "{name}");
        }
        for name in ["null", "COM", "COM0", "COM10", "console", "my.con", "conin"] {
            assert!(!is_device_name(name), "{name}");
        }
    }

    #[test]
    fn short_names_have_a_tilde_and_a_number() {
        for name in ["GIT~1", "PROGRA~2.TXT", "A~123"] {
            assert!(looks_like_short_name(name), "{name}");
        }
        for name in ["~1", "git~x", "longername~1", "a~1.html", "a~1.b.c"] {
            assert!(!looks_like_short_name(name), "{name}");
        }
    }
}
