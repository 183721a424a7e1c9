//! `nt-security`: runs files of cases through the model and says which it answers differently.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;

mod cases;

use cases::{CaseKind, Summary};

/// Exit codes: what the shell of a checker sees.
const FAILED: u8 = 1;
const UNUSABLE: u8 = 2;

const USAGE: &str = "\
usage: nt-security check|inherit|delete|sddl [FILE]

Reads one case in JSON from each line of FILE, or of standard input, and prints one
line {name, pass, got, expected} for each, then a summary line.
Exit code: 0 every case passes, 1 a case fails, 2 a line or the command is malformed.
";

fn main() -> ExitCode {
    let mut stderr = io::stderr();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        return finish(write!(io::stdout(), "{USAGE}").map(|()| 0), &mut stderr);
    }
    let Some((kind, file)) = parse(&args) else {
        return finish(write!(stderr, "{USAGE}").map(|()| UNUSABLE), &mut io::stderr());
    };
    let result = run(kind, file, &mut stderr);
    finish(result, &mut stderr)
}

/// The kind of cases and the file to read, `None` for standard input.
fn parse(args: &[String]) -> Option<(CaseKind, Option<&str>)> {
    let (kind, rest) = args.split_first()?;
    let file = match rest {
        [] => None,
        [file] if file == "-" => None,
        [file] => Some(file.as_str()),
        _ => return None,
    };
    Some((CaseKind::from_name(kind)?, file))
}

fn run(kind: CaseKind, file: Option<&str>, stderr: &mut dyn Write) -> io::Result<u8> {
    let input: Box<dyn BufRead> = match file {
        None => Box::new(io::stdin().lock()),
        Some(path) => {
            let open = File::open(path)
                .map_err(|error| io::Error::new(error.kind(), format!("cannot read {path}: {error}")))?;
            Box::new(BufReader::with_capacity(1 << 16, open))
        }
    };
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let summary = cases::run(kind, input, &mut output, stderr)?;
    output.flush()?;
    Ok(code_of(&summary))
}

fn code_of(summary: &Summary) -> u8 {
    match summary {
        Summary { malformed: 1.., .. } => UNUSABLE,
        Summary { failed: 1.., .. } => FAILED,
        _ => 0,
    }
}

fn finish(result: io::Result<u8>, stderr: &mut dyn Write) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        // The reader of our output may stop reading: `nt-security check | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if standard error is gone too.
            let _ = writeln!(stderr, "nt-security: {error}");
            ExitCode::from(UNUSABLE)
        }
    }
}
