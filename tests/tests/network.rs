//! No network unless asked for; sockets inside the sandbox work.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Duration;

use codex_sandbox_tests::{Place, each_user, have, op, skip};

/// A listener of the test on the host; it greets whoever comes with one byte. It ends with the test program.
fn host_listener(address: &str) -> Option<SocketAddr> {
    let listener = TcpListener::bind(address).ok()?;
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _peer_went_away = stream.and_then(|mut stream| stream.write_all(b"!"));
        }
    });
    Some(address)
}

fn host_addresses() -> Vec<String> {
    let found: Vec<String> = ["127.0.0.1:0", "[::1]:0"]
        .into_iter()
        .filter_map(host_listener)
        .map(|address| address.to_string())
        .collect();
    if found.len() < 2 {
        skip("IPv6: the host has no [::1]");
    }
    found
}

#[test]
fn the_hosts_loopback_is_out_of_reach() {
    let addresses = host_addresses();
    each_user(|user| {
        let place = Place::new(user);
        let ops: Vec<_> = addresses.iter().map(|address| op!("connect-tcp", address)).collect();
        for flags in [&[][..], &["--mode", "read-only"]] {
            for answer in place.try_with(flags, &ops) {
                assert!(
                    ["ECONNREFUSED", "ENETUNREACH", "EPERM", "EACCES"].contains(&answer.as_str()),
                    "{answer}"
                );
            }
        }
        assert!(place.try_outside(&ops).iter().all(|answer| answer == "ok"));
        assert!(place.try_with(&["--network"], &ops).iter().all(|answer| answer == "ok"));
        let by_key = place.try_with(&["-c", "sandbox_workspace_write.network_access=true"], &ops);
        assert!(by_key.iter().all(|answer| answer == "ok"));
    });
}

#[test]
fn datagrams_do_not_get_out() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout can be set");
    let address = socket.local_addr().expect("a bound socket has an address").to_string();
    each_user(|user| {
        let place = Place::new(user);
        let ops = [op!("send-udp", &address)];
        place.try_inside(&ops);
        assert!(socket.recv(&mut [0; 16]).is_err(), "it arrived");
        assert_eq!(place.try_outside(&ops), ["ok"]);
        assert_eq!(socket.recv(&mut [0; 16]).expect("it arrives"), 5);
    });
}

#[test]
fn other_hosts_are_unreachable_at_once() {
    each_user(|user| {
        let place = Place::new(user);
        // Addresses for documentation: nobody answers there, and outside one would wait.
        let ops = [
            op!("connect-tcp", "192.0.2.1:80"),
            op!("connect-tcp", "[2001:db8::1]:80"),
            op!("send-udp", "192.0.2.1:53"),
        ];
        for answer in place.try_inside(&ops) {
            assert!(
                ["ENETUNREACH", "EPERM", "EACCES", "EHOSTUNREACH", "EADDRNOTAVAIL"]
                    .contains(&answer.as_str()),
                "{answer}"
            );
        }
    });
}

#[test]
fn names_are_not_resolved_and_that_is_known_at_once() {
    if !have(&["getent"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let output = place.sandboxed(["getent", "hosts", "name.invalid"]).guard(60).output();
        output.expect_code(2);
        place.run(["getent", "hosts", "localhost"]).expect_code(0);
    });
}

#[test]
fn sockets_inside_work() {
    let v6 = TcpListener::bind("[::1]:0").is_ok();
    each_user(|user| {
        for place in [Place::new(user), Place::in_tmp(user)] {
            let mut ops = vec![
                op!("tcp-talk", "127.0.0.1:0"),
                op!("tcp-talk", "0.0.0.0:0"),
                op!("unix-talk", place.path("stream")),
                op!("seqpacket-talk", place.path("packet")),
                op!("unix-talk", "relative"),
                op!("unix-talk", "/tmp/cst-stream"),
                op!("pair-talk"),
            ];
            if v6 {
                ops.push(op!("tcp-talk", "[::1]:0"));
            }
            for (op, answer) in ops.iter().zip(place.try_inside(&ops)) {
                assert_eq!(answer, "ok", "{op:?}");
            }
        }
    });
}

#[test]
fn a_server_inside_is_not_seen_outside() {
    if !have(&["python3"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let script = "import socket, sys\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n\
                      print('port', s.getsockname()[1], flush=True); sys.stdin.read()";
        let mut live = place.sandboxed(["python3", "-c", script]).stdin_open().start();
        live.wait_for_out("\n");
        let port: u16 =
            live.out_so_far().trim().rsplit(' ').next().and_then(|port| port.parse().ok()).expect("a port");
        let answer = place.try_outside(&[op!("connect-tcp", format!("127.0.0.1:{port}"))]);
        assert_eq!(answer, ["ECONNREFUSED"]);
        live.close_stdin();
        live.wait().expect_code(0);
    });
}

#[test]
fn sockets_of_outsiders_are_refused() {
    each_user(|user| {
        let place = Place::new(user);
        // Stand-ins for docker.sock, ssh-agent, D-Bus, /dev/log: outside, and in the workspace.
        for dir in [place.outside_dir(), place.work().to_path_buf()] {
            let (stream, datagram) = (dir.join("stream"), dir.join("datagram"));
            let _listener = UnixListener::bind(&stream).expect("the folder can be written");
            let receiver = UnixDatagram::bind(&datagram).expect("the folder can be written");
            receiver.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout can be set");
            for path in [&stream, &datagram] {
                use std::os::unix::fs::PermissionsExt;
                let everybody = std::fs::Permissions::from_mode(0o777);
                std::fs::set_permissions(path, everybody).expect("the test made it");
            }
            let ops = [op!("connect-unix", &stream), op!("send-unix", &datagram)];
            for flags in [&[][..], &["--network"]] {
                for (op, answer) in ops.iter().zip(place.try_with(flags, &ops)) {
                    assert!(
                        ["EACCES", "EPERM", "ECONNREFUSED", "EPROTONOSUPPORT"].contains(&answer.as_str()),
                        "{flags:?} {op:?}: {answer}"
                    );
                }
            }
            assert!(receiver.recv(&mut [0; 16]).is_err(), "it arrived");
            assert_eq!(place.try_outside(&ops), ["ok", "ok"]);
        }
    });
}

#[test]
fn two_runs_do_not_share_their_loopback() {
    if !have(&["python3"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        // The same fixed port in both, at the same time.
        let script = "import socket, sys\ns = socket.socket(); s.bind(('127.0.0.1', 45678)); s.listen()\nprint('bound', flush=True); sys.stdin.read()";
        let run = place.sandboxed(["python3", "-c", script]).stdin_open();
        let mut both = [run.start(), run.start()];
        for live in &mut both {
            live.wait_for_out("bound");
        }
        for mut live in both {
            live.close_stdin();
            live.wait().expect_code(0);
        }
    });
}

/// A socket that the launcher was given belongs to the network outside, whatever the command does with it.
#[test]
fn standard_streams_that_lead_to_the_network_are_refused() {
    each_user(|user| {
        let place = Place::new(user);
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("loopback is up");
        receiver.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout can be set");
        let port = receiver.local_addr().expect("it is bound").port();
        let wrap = format!("exec \"$@\" 0<>/dev/udp/127.0.0.1/{port}");
        let words = ["sh", "-c", "echo leak >&0"];
        let inside = place.sandboxed(words).wrapped(["bash", "-c", &wrap, "bash"]).output();
        inside.expect_code(125).expect_err(&["standard input", "socket", "remedy"]);
        assert!(receiver.recv(&mut [0; 16]).is_err(), "it arrived");
        place.outside(words).wrapped(["bash", "-c", &wrap, "bash"]).output().expect_code(0);
        assert!(receiver.recv(&mut [0; 16]).is_ok(), "outside it arrives");
        place
            .sandboxed(words)
            .flags(["--network"])
            .wrapped(["bash", "-c", &wrap, "bash"])
            .output()
            .expect_code(0);
        assert!(receiver.recv(&mut [0; 16]).is_ok(), "with the network it arrives");
    });
}

/// A program reads back the address that it bound, and hands it to others.
#[test]
fn a_unix_socket_has_the_name_that_it_was_given() {
    if !have(&["python3"]) {
        return;
    }
    let script = "import os, socket\n\
        os.makedirs('sub/deep', exist_ok=True); os.path.lexists('link') or os.symlink('sub', 'link')\n\
        names = ['a', './b', 'sub/c', 'sub//d', 'sub/../e', 'link/f', os.path.abspath('sub/g'), 'sub/deep/' + 'h' * 95]\n\
        for name in names:\n    \
            s = socket.socket(socket.AF_UNIX); s.bind(name); s.listen(); assert s.getsockname() == name, s.getsockname()\n    \
            c = socket.socket(socket.AF_UNIX); c.connect(name); assert c.getpeername() == name; os.unlink(name)\n\
        for number in range(1300):\n    \
            s = socket.socket(socket.AF_UNIX); s.bind('many%d' % number); s.close()\n\
        print('all')\n";
    each_user(|user| {
        let place = Place::new(user);
        place.write("names.py", script);
        assert_eq!(place.outside(["python3", "names.py"]).output().out(), "all", "it works outside");
        place.prepare("rm many*");
        place.run(["python3", "names.py"]).expect_code(0).expect_out("all");
    });
}
