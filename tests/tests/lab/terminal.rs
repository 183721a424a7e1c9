//! Consoles: the launcher's own, which the command shares, and `--tty`, a pseudo console of the command's own.
//!
//! Wine 10 gives a command none of its pseudo console's handles (the child opens CONIN$ and CONOUT$ itself, so cmd.exe shows nothing
//! there), and Ctrl-C ends its conhost, and the command with it, before a handler of the command's is asked: these need real Windows.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::harness::Machine;

/// A program at work, what it has shown so far, and its keyboard.
struct Talk {
    child: Child,
    keys: Option<Box<dyn Write>>,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Talk {
    fn new(child: Child, keys: impl Write + 'static, mut screen: impl Read + Send + 'static) -> Self {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let all = shown.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                all.lock().expect("nobody panics with it").extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, keys: Some(Box::new(keys)), shown }
    }

    /// Through pipes, as an agent starts it.
    fn piped(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the runner runs");
        let keys = child.stdin.take().expect("a pipe");
        let screen = child.stdout.take().expect("a pipe");
        Self::new(child, keys, screen)
    }

    /// On a terminal, which the lab makes a console of.
    fn on_a_terminal(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is ours");
        let name = ptsname(&master, Vec::new()).expect("it has a name").into_string().expect("text");
        let slave = File::options().read(true).write(true).open(name).expect("it is ours");
        rustix::termios::tcsetwinsize(
            &slave,
            rustix::termios::Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 },
        )
        .expect("a terminal has a size");
        // setsid(1) makes it the controlling terminal.
        let mut again = Command::new("setsid");
        again.arg("-c").arg(command.get_program()).args(command.get_args());
        again.current_dir(command.get_current_dir().expect("the workspace"));
        again.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let end = || Stdio::from(OwnedFd::from(slave.try_clone().expect("a descriptor can be duplicated")));
        let child = again.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid is there");
        let master = File::from(master);
        let screen = master.try_clone().expect("a descriptor can be duplicated");
        Self::new(child, master, screen)
    }

    fn type_in(&mut self, keys: &str) {
        let out = self.keys.as_mut().expect("the keyboard is there");
        out.write_all(keys.as_bytes()).and_then(|()| out.flush()).expect("somebody reads");
    }

    /// What was shown, without the sequences that move the cursor; one that passes over a letter is a space.
    fn text(&self) -> String {
        let shown = self.shown.lock().expect("nobody panics with it");
        let all = String::from_utf8_lossy(&shown).replace("\u{1b}[1C", " ").replace('\r', "");
        let mut text = String::new();
        let mut rest = all.as_str();
        while let Some((before, after)) = rest.split_once("\u{1b}[") {
            text.push_str(before);
            let end =
                after.find(|letter: char| letter.is_ascii_alphabetic()).map_or(after.len(), |at| at + 1);
            rest = &after[end..];
        }
        text + rest
    }

    #[track_caller]
    fn wait_for(&self, wanted: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.text().contains(wanted) {
            assert!(Instant::now() < end, "{wanted:?} is shown: {:?}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn code(mut self) -> Option<i32> {
        // A keyboard that is there no more is no Ctrl-C.
        self.keys.take();
        self.child.wait().expect("it ends").code()
    }
}

/// What is typed before the lab's console is set up for the first read is taken for something else.
fn reads() {
    std::thread::sleep(Duration::from_secs(1));
}

#[test]
fn tty_gives_the_command_a_console_with_a_size_and_any_letters() {
    let test = "--tty through pipes";
    let Some(machine) = Machine::new(test) else { return };
    let Some(child) = machine.c_child(test) else { return };
    let mut talk = Talk::piped(machine.command(["run", "--quiet", "--tty", "--", &child, "console"]));
    talk.wait_for("input 1 output 1 errors 1");
    talk.wait_for("size 80x24");
    reads();
    talk.type_in("héllo Ж工\r");
    talk.wait_for("got 8 héllo Ж工");
    talk.type_in("quit\r");
    assert_eq!(talk.code(), Some(7), "the exit code is the command's");
    // The same command without --tty has no console.
    let ended = machine.run([&child, "console"]);
    assert_ne!(ended.code, Some(7), "{}", ended.text());
}

#[test]
fn tty_on_a_terminal_has_its_size_and_ctrl_c_ends_what_runs() {
    let test = "--tty on a terminal";
    let Some(machine) = Machine::new(test) else { return };
    let Some(child) = machine.c_child(test) else { return };
    let mut talk =
        Talk::on_a_terminal(&machine.command(["run", "--quiet", "--tty", "--", &child, "console"]));
    talk.wait_for("size 100x30");
    reads();
    talk.type_in("hi\r");
    talk.wait_for("got 2 hi");
    talk.type_in("\u{3}");
    let begun = Instant::now();
    talk.code();
    assert!(begun.elapsed() < Duration::from_secs(30), "the launcher ends with the command");
}

#[test]
fn ctrl_c_on_a_console_that_both_share_is_the_commands() {
    let test = "Ctrl-C on an inherited console";
    let Some(machine) = Machine::new(test) else { return };
    let Some(child) = machine.c_child(test) else { return };
    let mut talk = Talk::on_a_terminal(&machine.command(["run", "--quiet", "--", &child, "console"]));
    talk.wait_for("size 100x30");
    reads();
    talk.type_in("hi\r");
    talk.wait_for("got 2 hi");
    talk.type_in("\u{3}");
    // Wine's read goes on after it, so that the event is told with the next line.
    std::thread::sleep(Duration::from_millis(500));
    talk.type_in("again\r");
    talk.wait_for("event 0");
    talk.type_in("quit\r");
    assert_eq!(talk.code(), Some(7), "the launcher outlives Ctrl-C");
}
