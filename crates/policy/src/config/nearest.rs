//! Which key a misspelt one was meant to be.

/// Edit distance with transpositions (optimal string alignment), in characters.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; 3];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let (now, last, before) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[now][0] = i;
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[last][j] + 1).min(rows[now][j - 1] + 1).min(rows[last][j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[before][j - 2] + 1);
            }
            rows[now][j] = best;
        }
    }
    rows[a.len() % 3][b.len()]
}

/// The name among `known` that `written` (dotted) is closest to, if one is close enough to be worth a question.
/// The last component counts alone too, so that a key in the wrong table is found.
pub fn nearest(written: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // Nobody means one of our keys by a text as long as a page, and the table is quadratic.
    if written.len() > 100 {
        return None;
    }
    let last = last_component(written);
    let close = |name: &'static str| {
        let whole = distance(written, name);
        let own = distance(last, last_component(name));
        let best = whole.min(own);
        let length = last.chars().count();
        // Two letters of a three-letter word are another word.
        let close = best <= 2.max(length / 3) && (whole <= 2 || own < length.min(3));
        close.then_some((best, whole, name))
    };
    known.filter_map(close).min().map(|(_, _, name)| name)
}

fn last_component(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("sandbox_mode", "sanbox_mode", 1),
            ("sandbox_mode", "sandbox_mdoe", 1),
            ("kitten", "sitting", 3),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn the_key_in_another_table_is_found() {
        let known = ["sandbox_mode", "sandbox.git", "sandbox_workspace_write.writable_roots"];
        let find = |written| nearest(written, known.into_iter());
        assert_eq!(find("sandbox.writable_root"), Some("sandbox_workspace_write.writable_roots"));
        assert_eq!(find("sandbox.mode"), Some("sandbox_mode"));
        assert_eq!(find("sandbox.gti"), Some("sandbox.git"));
        assert_eq!(find("sandbox.colour"), None);
    }
}
