//! Every escape attempt: inside the sandbox it is held and nothing outside has changed, outside it gets through. As root and as
//! an ordinary user, with the workspace at home and in /tmp, where new namespaces are refused, and as a later command of one
//! `Sandbox`, which starts at a station.
//!
//! This program plays four parts: the test runner; for each trial a process of the trial's user, which sets the stage and
//! looks at it afterwards; a program that uses the library; and the attempt itself, inside or outside.
#![forbid(unsafe_code)]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{OsStr, OsString};
    use std::path::Path;
    use std::process::ExitCode;
    use std::sync::RwLock;

    use codex_sandbox::{Exit, Policy, Sandbox};
    use codex_sandbox_linux::attack::{self, Attempt, BELIEVED, Driver, Group, Outcome, Proof};
    use codex_sandbox_tests::{Place, User, probe, program, this_test, users};
    use libtest_mimic::{Arguments, Completion, Failed, Trial};

    pub fn main() -> ExitCode {
        let words: Vec<OsString> = std::env::args_os().skip(1).collect();
        match words.as_slice() {
            [part, name, scene] if part == "attempt" => attempt(name, Path::new(scene)),
            [part, name, dir, launcher @ ..] if part == "drive" => drive(name, Path::new(dir), launcher),
            [part, program, args @ ..] if part == "later" => later(program, args),
            _ => run_trials(),
        }
    }

    /// Trials wait for disks and processes most of the time, so there may be more of them than processors.
    fn run_trials() -> ExitCode {
        let mut arguments = Arguments::from_args();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        arguments.test_threads = arguments.test_threads.or(Some(3 * processors));
        libtest_mimic::run(&arguments, trials()).exit_code()
    }

    /// Makes the attempt in this process.
    fn attempt(name: &OsStr, scene: &Path) -> ExitCode {
        say(&attack::run_inside(&name.to_string_lossy(), scene).to_string())
    }

    /// Runs a command as the third one of a [`Sandbox`]: the second has started the station.
    fn later(program: &OsStr, args: &[OsString]) -> ExitCode {
        let sandbox = Sandbox::new(Policy::default()).expect("a sandbox");
        for _ in 0..2 {
            assert_eq!(sandbox.command("true").status().expect("runs").exit, Exit::Code(0));
        }
        let outcome = sandbox.command(program).args(args).status().expect("runs");
        ExitCode::from(u8::try_from(outcome.exit.code()).unwrap_or(u8::MAX))
    }

    /// Sets the stage for one attempt, starts it, and prints what it came to. Without a launcher it runs outside.
    fn drive(name: &OsStr, dir: &Path, launcher: &[OsString]) -> ExitCode {
        let driver = Driver {
            place: if launcher.is_empty() { attack::Place::Outside } else { attack::Place::Inside },
            launcher: launcher.to_vec(),
            program: vec![this_test().into(), "attempt".into()],
            environment: Vec::new(),
            setuid_program: setuid_program(),
        };
        let attempt = attack::by_name(&name.to_string_lossy()).expect("the runner takes names from the list");
        let outcome = driver.run(attempt, dir).unwrap_or_else(|error| Outcome::Broken(error.to_string()));
        say(&serde_json::to_string(&outcome).expect("an outcome is plain data"))
    }

    /// A set-user-id copy of id(1) that belongs to root, for ordinary users; root makes it before the trials.
    const SETUID_ID: &str = "/var/tmp/codex-sandbox-tests/id";

    fn setuid_program() -> Option<std::path::PathBuf> {
        let flags = rustix::fs::statvfs(SETUID_ID).ok()?.f_flag;
        let works =
            !rustix::process::getuid().is_root() && !flags.contains(rustix::fs::StatVfsMountFlags::NOSUID);
        works.then(|| SETUID_ID.into())
    }

    fn make_setuid_program() -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let Some(id) = ["/usr/bin/id", "/bin/id"].iter().find(|id| Path::new(id).is_file()) else {
            return Ok(());
        };
        std::fs::create_dir_all("/var/tmp/codex-sandbox-tests")?;
        std::fs::copy(id, SETUID_ID)?;
        std::fs::set_permissions(SETUID_ID, std::fs::Permissions::from_mode(0o4755))
    }

    fn trials() -> Vec<Trial> {
        if rustix::process::getuid().is_root() {
            // Without it one attempt of the ordinary user is skipped, and says so.
            let _skipped_later = make_setuid_program();
        }
        let mut trials = Vec::new();
        for user in users() {
            for attempt in attack::all() {
                trials.push(trial("inside", user, attempt));
                trials.push(trial("outside", user, attempt));
                trials.push(trial("fallback", user, attempt));
                trials.push(trial("later", user, attempt));
                if has_a_private_copy(attempt) {
                    trials.push(trial("inside-tmp", user, attempt));
                }
            }
        }
        trials
    }

    /// Attempts on things that have names below the workspace: in /tmp they meet the sandbox' own layers.
    fn has_a_private_copy(attempt: &Attempt) -> bool {
        let named = [Group::Files, Group::Protected, Group::Races, Group::Network];
        attempt.proof == Proof::Outside && named.contains(&attempt.group)
    }

    fn trial(place: &'static str, user: &'static User, attempt: &'static Attempt) -> Trial {
        let name = format!("{place}::{}::{}", if user.is_root() { "root" } else { "user" }, attempt.name);
        Trial::ignorable_test(name, move || judge(place, attempt, run(place, user, attempt)?))
    }

    fn run(place: &str, user: &User, attempt: &Attempt) -> Result<Outcome, Failed> {
        // A signal to everybody reaches the stages of other trials, too.
        static EVERYBODY: RwLock<()> = RwLock::new(());
        let alone = place == "outside" && attempt.name.starts_with("kill-");
        let (_alone, _with_others);
        if alone {
            _alone = EVERYBODY.write().map_err(|_| "another trial panicked")?;
        } else {
            _with_others = EVERYBODY.read().map_err(|_| "another trial panicked")?;
        }
        let ground = if place == "inside-tmp" { Place::in_tmp(user) } else { Place::new(user) };
        let dir =
            if place == "inside-tmp" { ground.work().join("stage") } else { ground.base().join("stage") };
        let mut words: Vec<&OsStr> =
            vec![this_test().as_ref(), "drive".as_ref(), attempt.name.as_ref(), dir.as_ref()];
        if place == "fallback" {
            words.extend::<[&OsStr; 3]>([probe().as_ref(), "without-namespaces".as_ref(), "--".as_ref()]);
        }
        if place == "later" {
            words.extend::<[&OsStr; 2]>([this_test().as_ref(), "later".as_ref()]);
        } else if place != "outside" {
            words.extend::<[&OsStr; 4]>([
                program().as_ref(),
                "run".as_ref(),
                "--quiet".as_ref(),
                "--".as_ref(),
            ]);
        }
        let output = ground.outside(words).output();
        serde_json::from_str(output.out().trim()).map_err(|error| format!("{error}: {output}").into())
    }

    fn judge(place: &str, attempt: &Attempt, outcome: Outcome) -> Result<Completion, Failed> {
        match (place, outcome) {
            (_, Outcome::Skipped(why)) => Ok(Completion::ignored_with(why)),
            (_, Outcome::Broken(why)) => Err(format!("not tried: {why}").into()),
            ("outside", Outcome::Escaped(_)) => Ok(Completion::Completed),
            ("outside", Outcome::Held(how)) => {
                Err(format!("held without a sandbox, so it proves nothing: {how}").into())
            }
            ("inside" | "later", Outcome::Held(how)) if how.starts_with(BELIEVED) && !attempt.may_believe => {
                Err(format!("nothing is private here: {how}").into())
            }
            ("fallback", Outcome::Escaped(how)) if attempt.open_without_namespaces => {
                Ok(Completion::ignored_with(format!("a gap without namespaces, which the run names: {how}")))
            }
            (_, Outcome::Held(_)) => Ok(Completion::Completed),
            (_, Outcome::Escaped(how)) => Err(format!("escaped: {how}").into()),
        }
    }

    fn say(line: &str) -> ExitCode {
        use std::io::Write;
        match writeln!(std::io::stdout(), "{line}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    }
}
