//! The environment of the command: the launcher's, changed as the plan says, and as the block that CreateProcess takes.

use std::collections::BTreeMap;

use super::error::LaunchError;
use crate::plan::data::EnvironmentPlan;

/// Variables by name; names differ by more than letter case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Upper case → (name as written, value), in the order that Windows wants in a block.
    variables: BTreeMap<Vec<u16>, (Vec<u16>, Vec<u16>)>,
}

impl Environment {
    /// Sets a variable, whatever the letter case of the one that there was. UTF-16 units.
    pub fn set_units(&mut self, name: &[u16], value: &[u16]) {
        self.variables.insert(upper(name), (name.to_vec(), value.to_vec()));
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.set_units(&units(name), &units(value));
    }

    /// Removes a variable.
    pub fn remove_units(&mut self, name: &[u16]) {
        self.variables.remove(&upper(name));
    }

    /// A variable's value, if it is there and Unicode.
    pub fn get(&self, name: &str) -> Option<String> {
        let (_, value) = self.variables.get(&upper(&units(name)))?;
        String::from_utf16(value).ok()
    }

    /// Makes the plan's changes.
    pub fn change(&mut self, plan: &EnvironmentPlan) {
        for (name, value) in &plan.set {
            self.set(name, value);
        }
        if plan.path_first.is_empty() && plan.path_removed.is_empty() {
            return;
        }
        let old = self.get("PATH").unwrap_or_default();
        let first = plan.path_first.iter().map(ToString::to_string);
        let kept = split_path(&old)
            .filter(|entry| !plan.path_removed.iter().any(|gone| gone.eq_ignore_ascii_case(entry)));
        let entries: Vec<String> = first.chain(kept.map(str::to_owned)).collect();
        self.set("PATH", &entries.join(";"));
    }

    /// `NAME=VALUE` in the order of their names, each with a NUL, and a last NUL.
    ///
    /// # Errors
    /// [`LaunchError::NulInside`].
    pub fn block(&self) -> Result<Vec<u16>, LaunchError> {
        let mut block = Vec::new();
        for (name, value) in self.variables.values() {
            if name.contains(&0) || value.contains(&0) {
                return Err(LaunchError::NulInside { what: "an environment variable" });
            }
            block.extend_from_slice(name);
            block.push(u16::from(b'='));
            block.extend_from_slice(value);
            block.push(0);
        }
        // An empty block is two NULs.
        if block.is_empty() {
            block.push(0);
        }
        block.push(0);
        Ok(block)
    }
}

/// The entries of a PATH. Quotes around one protect a `;` in it.
pub fn split_path(path: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    path.split(move |letter| {
        quoted ^= letter == '"';
        letter == ';' && !quoted
    })
    .filter(|entry| !entry.is_empty())
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// Each unit on its own, as RtlUpcaseUnicodeChar does: letters whose upper case is several, or outside the BMP, stay.
fn upper(name: &[u16]) -> Vec<u16> {
    let one = |unit: u16| {
        let mut upper = char::from_u32(u32::from(unit))?.to_uppercase();
        let first = u16::try_from(u32::from(upper.next()?)).ok()?;
        upper.next().is_none().then_some(first)
    };
    name.iter().map(|unit| one(*unit).unwrap_or(*unit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::WinPath;

    fn text(environment: &Environment) -> String {
        String::from_utf16(&environment.block().expect("no NUL")).expect("Unicode")
    }

    #[test]
    fn names_are_sorted_and_differ_by_more_than_case() {
        let mut environment = Environment::default();
        for (name, value) in
            [("b", "1"), ("A", "2"), ("B", "3"), ("=C:", r"C:\x"), ("_", "4"), ("\u{e9}", "5")]
        {
            environment.set(name, value);
        }
        environment.set("\u{c9}", "6");
        assert_eq!(text(&environment), "=C:=C:\\x\0A=2\0B=3\0_=4\0\u{c9}=6\0\0");
    }

    #[test]
    fn an_empty_block_is_two_nuls() {
        assert_eq!(Environment::default().block(), Ok(vec![0, 0]));
    }

    #[test]
    fn a_nul_would_end_the_block_early() {
        let mut environment = Environment::default();
        environment.set("A", "x\0B=y");
        assert_eq!(environment.block().map_err(|error| error.code()), Err("run.nul"));
    }

    #[test]
    fn the_plan_changes_variables_and_path() {
        let mut environment = Environment::default();
        environment.set("Path", r#"C:\a;C:\Users\u\AppData\Local\Microsoft\WindowsApps;;"C:\b;c""#);
        environment.set("https_proxy", "http://proxy:80");
        environment.change(&EnvironmentPlan {
            set: [("HTTPS_PROXY".to_owned(), "http://127.0.0.1:9".to_owned())].into(),
            path_first: vec![WinPath::absolute(r"C:\s\stubs").expect("a path")],
            path_removed: vec![r"c:\users\u\appdata\local\microsoft\WindowsApps".to_owned()],
        });
        assert_eq!(environment.get("PATH").as_deref(), Some(r#"C:\s\stubs;C:\a;"C:\b;c""#));
        assert_eq!(environment.get("https_PROXY").as_deref(), Some("http://127.0.0.1:9"));
        assert_eq!(
            text(&environment).matches("roxy").count() + text(&environment).matches("PROXY").count(),
            1
        );
    }
}
