//! Command lines: the inverse of CommandLineToArgvW, and of what cmd.exe makes of a batch file's arguments.

use super::error::LaunchError;

/// UNICODE_STRING.MaximumLength allows no more UTF-16 units in a command line, its NUL included (CreateProcessW).
pub const MAX_UNITS: usize = 32_767;

/// The command line of a program, from which CommandLineToArgvW and the C runtime make exactly these arguments again.
///
/// # Errors
/// [`LaunchError::NulInside`], [`LaunchError::CommandLineTooLong`], [`LaunchError::QuoteInProgram`].
pub fn command_line(program: &str, arguments: &[String]) -> Result<String, LaunchError> {
    no_quote_in(program)?;
    // The first word is read by a rule of its own: up to the next quote, without escapes.
    let mut line = format!("\"{program}\"");
    for argument in arguments {
        line.push(' ');
        quote(argument, &mut line);
    }
    checked(line)
}

/// Backslashes count only before a quote: doubled there, and one more escapes the quote itself.
fn quote(argument: &str, line: &mut String) {
    let plain = !argument.is_empty() && !argument.contains([' ', '\t', '\n', '\u{b}', '"']);
    if plain {
        line.push_str(argument);
        return;
    }
    line.push('"');
    let mut backslashes = 0;
    for letter in argument.chars() {
        if letter == '"' {
            line.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if letter == '\\' { backslashes + 1 } else { 0 };
        line.push(letter);
    }
    line.extend(std::iter::repeat_n('\\', backslashes));
    line.push('"');
}

/// The command line of cmd.exe that runs a batch file with these arguments.
///
/// cmd.exe reads the line by its own rules before the batch file sees it (CVE-2024-24576, "BatBadBut"): each argument is quoted, a
/// quote in it is doubled, and a percent sign is followed by an expansion to nothing, so that no variable's name can form. What
/// cannot be said at all is refused.
///
/// # Errors
/// [`LaunchError::BatchArgument`] for line breaks, and as [`command_line`].
pub fn batch_line(cmd: &str, script: &str, arguments: &[String]) -> Result<String, LaunchError> {
    no_quote_in(script)?;
    // /d no AutoRun, /e:on command extensions (the expansion to nothing needs them), /v:off no `!VAR!`, /s /c keep the quotes.
    let mut line = format!("\"{cmd}\" /d /e:on /v:off /s /c \"");
    batch_quote(script, script, &mut line)?;
    for argument in arguments {
        line.push(' ');
        batch_quote(script, argument, &mut line)?;
    }
    line.push('"');
    checked(line)
}

fn batch_quote(script: &str, argument: &str, line: &mut String) -> Result<(), LaunchError> {
    if argument.contains(['\r', '\n']) {
        return Err(LaunchError::BatchArgument { script: script.to_owned(), argument: argument.to_owned() });
    }
    line.push('"');
    let mut backslashes = 0;
    for letter in argument.chars() {
        match letter {
            // The backslashes before a quote are for the C runtime of a program that the batch file hands `%*` to.
            '"' => {
                line.extend(std::iter::repeat_n('\\', backslashes));
                line.push_str("\"\"");
            }
            '%' => line.push_str("%%cd:~,%"),
            other => line.push(other),
        }
        backslashes = if letter == '\\' { backslashes + 1 } else { 0 };
    }
    line.extend(std::iter::repeat_n('\\', backslashes));
    line.push('"');
    Ok(())
}

fn no_quote_in(program: &str) -> Result<(), LaunchError> {
    if program.contains('"') {
        return Err(LaunchError::QuoteInProgram { program: program.to_owned() });
    }
    Ok(())
}

fn checked(line: String) -> Result<String, LaunchError> {
    if line.contains('\0') {
        return Err(LaunchError::NulInside { what: "the command line" });
    }
    let units = line.encode_utf16().count() + 1;
    if units > MAX_UNITS {
        return Err(LaunchError::CommandLineTooLong { units, most: MAX_UNITS });
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// CommandLineToArgvW by its documentation: the first word to the next quote; then 2n backslashes and a quote are n and a
    /// quote that opens or closes, 2n+1 are n and a quote that stands for itself; `""` inside quotes is one quote.
    fn parse(line: &str) -> Vec<String> {
        let mut rest = line.chars().peekable();
        let mut first = String::new();
        if rest.next_if_eq(&'"').is_some() {
            first.extend(rest.by_ref().take_while(|letter| *letter != '"'));
        }
        let mut words = vec![first];
        loop {
            while rest.next_if(|letter| matches!(letter, ' ' | '\t')).is_some() {}
            if rest.peek().is_none() {
                return words;
            }
            let (mut word, mut quoted) = (String::new(), false);
            while let Some(letter) = rest.next_if(|letter| quoted || !matches!(letter, ' ' | '\t')) {
                match letter {
                    '\\' => {
                        let mut count = 1;
                        while rest.next_if_eq(&'\\').is_some() {
                            count += 1;
                        }
                        let before_quote = rest.peek() == Some(&'"');
                        word.extend(std::iter::repeat_n('\\', if before_quote { count / 2 } else { count }));
                        if before_quote && count % 2 == 1 {
                            word.extend(rest.next());
                        }
                    }
                    '"' if quoted && rest.next_if_eq(&'"').is_some() => word.push('"'),
                    '"' => quoted = !quoted,
                    other => word.push(other),
                }
            }
            words.push(word);
        }
    }

    /// What reaches the batch file: percent expansion with every variable unset but `cd`, whose substring of no length is empty.
    fn after_cmd(line: &str) -> String {
        let inner = line.split_once("/c \"").and_then(|(_, rest)| rest.strip_suffix('"'));
        inner.expect("the line has /c and a last quote").replace("%cd:~,%", "")
    }

    fn words(argument: &[&str]) -> Vec<String> {
        argument.iter().map(|word| (*word).to_owned()).collect()
    }

    proptest! {
        #[test]
        fn arguments_come_back(arguments in prop::collection::vec(r#"([ab\\" \t%^&|\u{e9}\u{1f600}]|[\u{1}-\u{ff}]){0,12}"#, 0..6)) {
            let line = command_line(r"C:\Program Files\x.exe", &arguments).expect("short, and no NUL");
            let mut wanted = vec![r"C:\Program Files\x.exe".to_owned()];
            wanted.extend(arguments);
            prop_assert_eq!(parse(&line), wanted);
        }

        /// Quotes always come in pairs outside of which nothing but spaces stands: no `&`, `|`, `<`, `>` or `^` is cmd's to read.
        #[test]
        fn cmd_sees_nothing_of_its_own(arguments in prop::collection::vec(r#"[ab\\" %&|<>^!()]{0,10}"#, 0..5)) {
            let line = batch_line(r"C:\Windows\System32\cmd.exe", r"C:\x\a b.cmd", &arguments).expect("short");
            let seen = after_cmd(&line);
            let mut quoted = false;
            for letter in seen.chars() {
                match letter {
                    '"' => quoted = !quoted,
                    ' ' => {}
                    other => prop_assert!(quoted, "{other:?} stands outside quotes in {seen:?}"),
                }
            }
            prop_assert!(!quoted);
            // Every percent sign of the line begins or ends an expansion to nothing.
            let percents = arguments.iter().map(|word| word.matches('%').count()).sum::<usize>();
            prop_assert_eq!(line.matches("%%cd:~,%").count(), percents);
            prop_assert_eq!(line.matches('%').count(), percents * 3);
        }
    }

    #[test]
    fn line_breaks_in_batch_arguments_are_refused() {
        for argument in ["a\nb", "a\rb"] {
            let error = batch_line("cmd.exe", "x.cmd", &words(&[argument])).expect_err("cmd would cut there");
            assert_eq!(error.code(), "run.batch-argument");
        }
    }

    #[test]
    fn the_limit_is_32767_units() {
        let fits = "a".repeat(MAX_UNITS - 1 - r#""p" "#.len());
        assert!(command_line("p", &words(&[&fits])).is_ok());
        let error = command_line("p", &words(&[&format!("{fits}a")])).expect_err("one more");
        assert!(error.to_string().contains("32768"), "{error}");
    }

    #[test]
    fn a_quote_in_a_program_and_a_nul_are_refused() {
        assert_eq!(command_line("a\"b", &[]).map_err(|error| error.code()), Err("run.program-name"));
        assert_eq!(command_line("p", &words(&["a\0b"])).map_err(|error| error.code()), Err("run.nul"));
    }
}
