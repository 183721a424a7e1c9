//! What `doctor` tries of the network, as the account that has none: each thing outside first, where it must work, then inside.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use codex_sandbox::policy::policy::{Mode, WindowsTier};
use codex_sandbox::{Policy, Sandbox};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A documentation address (RFC 5737): where there is a route, a datagram to it is sent, and nobody is bothered.
const OUTSIDE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
const PATIENCE: Duration = Duration::from_secs(3);

/// What is tried: a stable word, what it is, and what it means when it is not blocked.
const TRIALS: [(&str, &str, &str); 5] = [
    (
        "tcp-loopback",
        "connect to a listener on 127.0.0.1",
        "loopback is not blocked: the step wfp of the set-up does not hold",
    ),
    (
        "udp-loopback",
        "send a datagram to 127.0.0.1",
        "loopback is not blocked: the step wfp of the set-up does not hold",
    ),
    ("udp", "send a datagram to 192.0.2.1", "the network is NOT blocked: codex-sandbox setup --repair"),
    ("icmp", "ping 127.0.0.1", "loopback is not blocked: the step wfp of the set-up does not hold"),
    (
        "dns",
        "look example.com up",
        "names are looked up by a system service, which no rule of an account reaches",
    ),
];

/// How one thing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It works outside, and inside it does not.
    Blocked,
    /// It works inside.
    Open,
    /// It does not work outside either: that proves nothing.
    NotTried,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    trial: &'static str,
    what: &'static str,
    /// How it ended.
    pub end: End,
    detail: String,
}

impl Row {
    /// Whether more is open than a set-up that holds leaves open.
    pub fn is_a_gap(&self) -> bool {
        self.end == End::Open && self.trial != "dns"
    }
}

/// What works, and why what does not.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tried(BTreeMap<String, Option<String>>);

fn try_all(port: u16) -> Tried {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let why = |result: std::io::Result<()>| result.err().map(|error| error.to_string());
    let trials = [
        ("tcp-loopback", why(TcpStream::connect_timeout(&loopback, PATIENCE).map(drop))),
        ("udp-loopback", why(send(loopback))),
        ("udp", why(send(OUTSIDE))),
        ("icmp", why(ping())),
        ("dns", why(("example.com", 80).to_socket_addrs().map(drop))),
    ];
    Tried(trials.map(|(trial, why)| (trial.to_owned(), why)).into())
}

fn send(to: SocketAddr) -> std::io::Result<()> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.send_to(b"codex-sandbox doctor", to).map(drop)
}

fn ping() -> std::io::Result<()> {
    let mut command = std::process::Command::new("ping");
    command.args(["-n", "1", "-w", "1000", "127.0.0.1"]).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other(status.to_string())) }
}

/// The inside half.
pub fn inside(port: u16) -> Result<ExitCode, Failure> {
    writeln!(std::io::stdout(), "{}", serde_json::json!(try_all(port)))?;
    Ok(ExitCode::SUCCESS)
}

/// Tries everything, outside and inside.
pub fn prove() -> Result<Vec<Row>, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let outside = try_all(port);
    let mode = Mode::ReadOnly;
    let policy = Policy { mode, windows_tier: WindowsTier::Elevated, ..Policy::default() };
    let sandbox = Sandbox::new(policy)?;
    let program = std::env::current_exe()?;
    let mut command = sandbox.command(program);
    let output = command.args(["setup", "--try-network", &port.to_string()]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = text.lines().find_map(|line| serde_json::from_str::<Tried>(line).ok());
    let inside = said.ok_or_else(|| {
        let heard = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Failure::Argument(format!("the network could not be tried as the account without one: {heard}"))
    })?;
    Ok(rows(&outside, &inside))
}

fn rows(outside: &Tried, inside: &Tried) -> Vec<Row> {
    let row = |(trial, what, open): (&'static str, &'static str, &'static str)| {
        let of = |tried: &Tried| tried.0.get(trial).cloned().unwrap_or(Some("it was not tried".to_owned()));
        let (end, detail) = match (of(outside), of(inside)) {
            (Some(why), _) => (End::NotTried, format!("it fails outside too: {why}")),
            (None, Some(why)) => (End::Blocked, why),
            (None, None) => (End::Open, open.to_owned()),
        };
        Row { trial, what, end, detail }
    };
    TRIALS.into_iter().map(row).collect()
}

/// The lines of `doctor`.
pub fn describe(rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { trial, what, end, detail } in rows {
        let (mark, word) = match end {
            End::Blocked => ("ok ", "blocked"),
            End::Open => ("-- ", "open"),
            End::NotTried => ("-- ", "not tried"),
        };
        let _ = writeln!(text, "{mark} {trial:<16} {word}: {what}\n                     {detail}");
    }
    text
}
