//! What a runner is told on its command line: short, and nothing that its account may not see.

use super::message::NONCE;

/// Which session it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// The pipes' name.
    pub session: String,
    /// The launcher's process id.
    pub launcher: u32,
    /// What both say in their greeting.
    pub nonce: [u8; NONCE],
}

impl Arguments {
    /// The command line. The path must hold no quote, as no path of Windows does.
    pub fn command_line(&self, program: &str) -> String {
        format!("\"{program}\" {} {} {:032x}", self.session, self.launcher, u128::from_be_bytes(self.nonce))
    }

    /// Reads what [`Self::command_line`] gives a program, without its name.
    pub fn parse(words: &[String]) -> Option<Self> {
        let [session, launcher, nonce] = words else { return None };
        let is_name = session.len() <= 64
            && !session.is_empty()
            && session.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_name || nonce.len() != 2 * NONCE {
            return None;
        }
        Some(Self {
            session: session.clone(),
            launcher: launcher.parse().ok()?,
            nonce: u128::from_str_radix(nonce, 16).ok()?.to_be_bytes(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_is_short() {
        let arguments = Arguments {
            session: format!("codex-sandbox-{:032x}", 7),
            launcher: u32::MAX,
            nonce: [0xAB; NONCE],
        };
        let program = format!(r"C:\{}\codex-command-runner.exe", "x".repeat(200));
        let line = arguments.command_line(&program);
        assert!(line.encode_utf16().count() < 1024, "CreateProcessWithLogonW takes no more");
        let rest = line.strip_prefix(&format!("\"{program}\" ")).expect("the program comes first");
        let words: Vec<String> = rest.split(' ').map(str::to_owned).collect();
        assert_eq!(Arguments::parse(&words), Some(arguments));
        assert_eq!(Arguments::parse(&words[..2]), None);
        for (at, bad) in [(0, r"..\x"), (0, ""), (1, "x"), (2, "12"), (2, &"g".repeat(32))] {
            let mut words = words.clone();
            words[at] = bad.to_owned();
            assert_eq!(Arguments::parse(&words), None, "{bad}");
        }
    }
}
