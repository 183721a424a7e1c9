//! Real work, offline, with the tools that people use: the sandbox must not be in the way.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};

use codex_sandbox_tests::{Output, Place, Run, User, each_user, have, skip, users};

/// Cargo of the user who runs the tests; other users may not have one.
struct Cargo {
    program: PathBuf,
    user: &'static User,
}

impl Cargo {
    fn find() -> Option<Self> {
        let user = &users()[0];
        // What cargo says about itself, when it is what started the tests.
        let program = std::env::var_os("CARGO").map(PathBuf::from);
        if program.is_none() {
            skip("cargo did not start this test and is not known");
        }
        Some(Self { program: program?, user })
    }

    /// The same toolchain and the same downloaded crates, in a home folder of the test's.
    fn env(&self, run: Run) -> Run {
        let dir = self.program.parent().expect("cargo lies in a folder");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", dir.display());
        let home =
            std::env::var_os("CARGO_HOME").map_or_else(|| self.user.home.join(".cargo"), PathBuf::from);
        run.env("PATH", path).env("CARGO_HOME", home).env("CARGO_TERM_COLOR", "never").guard(600)
    }
}

#[test]
fn a_rust_project_with_a_vendored_dependency_builds_and_passes_its_tests() {
    let Some(cargo) = Cargo::find() else { return };
    let place = Place::new(cargo.user);
    let sources =
        "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n";
    place.write(".cargo/config.toml", sources);
    place.write("vendor/greeting/.cargo-checksum.json", "{\"files\":{}}");
    place.write(
        "vendor/greeting/Cargo.toml",
        "[package]\nname = \"greeting\"\nversion = \"1.2.3\"\nedition = \"2021\"\n",
    );
    place.write(
        "vendor/greeting/src/lib.rs",
        "pub fn hello(name: &str) -> String { format!(\"hello {name}\") }\n",
    );
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ngreeting = \"1\"\n";
    place.write("Cargo.toml", manifest);
    // A build script that writes to OUT_DIR, a test that starts a process and uses a temporary folder.
    place.write(
        "build.rs",
        "fn main() { std::fs::write(std::env::var(\"OUT_DIR\").unwrap() + \"/n.rs\", \"41\").unwrap(); }\n",
    );
    place.write(
        "src/main.rs",
        "fn main() { println!(\"{} {}\", greeting::hello(\"world\"), include!(concat!(env!(\"OUT_DIR\"), \"/n.rs\")) + 1) }\n",
    );
    place.write(
        "tests/whole.rs",
        "#[test]\nfn runs() {\n    let file = std::env::temp_dir().join(\"x\");\n    std::fs::write(&file, \"x\").unwrap();\n    \
         let out = std::process::Command::new(env!(\"CARGO_BIN_EXE_app\")).output().unwrap();\n    \
         assert_eq!(out.stdout, b\"hello world 42\\n\");\n}\n",
    );
    let program = cargo.program.as_os_str();
    for words in [["build"], ["test"]] {
        let run = place.sandboxed([program]).arg(words[0]).arg("--offline");
        cargo.env(run).output().expect_code(0);
    }
    cargo.env(place.sandboxed(["./target/debug/app"])).output().expect_out("hello world 42");
    // Cargo links what it builds to a second name, and writes it again.
    place.write("src/main.rs", "fn main() { println!(\"{}\", greeting::hello(\"again\")) }\n");
    cargo
        .env(place.sandboxed([program]).arg("run").arg("--offline").arg("-q"))
        .output()
        .expect_code(0)
        .expect_out("hello again");
}

#[test]
fn this_projects_own_policy_tests_pass() {
    let Some(cargo) = Cargo::find() else { return };
    let place = Place::new(cargo.user);
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let manifest = top.join("Cargo.toml");
    let fetched = place.outside([
        cargo.program.as_os_str(),
        "metadata".as_ref(),
        "--offline".as_ref(),
        "--locked".as_ref(),
    ]);
    let fetched = fetched.arg("--format-version=1").arg("--manifest-path").arg(&manifest);
    if cargo.env(fetched).output().code() != Some(0) {
        skip("the crates are not fetched");
        return;
    }
    // Kept from run to run, so that the dependencies are built once.
    let target =
        top.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into())).join("in-sandbox");
    std::fs::create_dir_all(&target).expect("the target folder can be written");
    let run = place
        .sandboxed([
            cargo.program.as_os_str(),
            "test".as_ref(),
            "-p".as_ref(),
            "codex-sandbox-policy".as_ref(),
        ])
        .arg("--offline")
        .arg("--locked")
        .arg("--manifest-path")
        .arg(&manifest)
        .env("CARGO_TARGET_DIR", &target)
        .flags(["--writable".as_ref(), target.as_os_str()]);
    let output = cargo.env(run).output();
    output.expect_code(0);
    assert!(output.out().contains("test result: ok"), "{output}");
}

#[test]
fn a_python_environment_is_made_and_pytest_runs_in_it() {
    if !have(&["python3"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let available = place.outside(["python3", "-c", "import venv, ensurepip, pytest"]).output();
        if available.code() != Some(0) {
            skip(&format!("as {}: {}", user.name, available.err().lines().last().unwrap_or_default()));
            return;
        }
        place.run(["python3", "-m", "venv", "--system-site-packages", "--without-pip", "env"]).expect_code(0);
        place.write(
            "test_it.py",
            "import subprocess, sys\n\
             def test_tmp_path(tmp_path):\n    (tmp_path / 'f').write_text('x')\n    assert (tmp_path / 'f').read_text() == 'x'\n\
             def test_capture(capfd):\n    subprocess.run(['echo', 'hi'], check=True)\n    assert capfd.readouterr().out == 'hi\\n'\n\
             def test_prefix():\n    assert sys.prefix.endswith('/env')\n",
        );
        let output = place.run(["env/bin/python", "-m", "pytest", "-q", "test_it.py"]);
        output.expect_code(0);
        assert!(output.out().contains("3 passed"), "{output}");
        assert!(place.path(".pytest_cache").exists(), "its cache is in the workspace");
    });
}

/// As the job server of make 4.4 uses one: several at once, whose openings the broker must not mix up.
#[test]
fn many_processes_open_one_fifo_for_writing() {
    if !have(&["python3"]) {
        return;
    }
    let script = "import os, subprocess, sys\n\
        if len(sys.argv) == 1:\n    \
            os.mkfifo('jobs'); keep = os.open('jobs', os.O_RDWR); os.write(keep, b'++++++++')\n    \
            others = [subprocess.Popen([sys.executable, sys.argv[0], 'other']) for _ in range(4)]\n    \
            sys.exit(max(other.wait() for other in others))\n\
        for turn in range(200):\n    \
            to = os.open('jobs', os.O_WRONLY); assert to > 2, to; os.write(to, b'+'); os.close(to)\n    \
            back = os.open('jobs', os.O_RDONLY); os.read(back, 1); os.close(back)\n";
    each_user(|user| {
        let place = Place::new(user);
        place.write("fifo.py", script);
        assert_eq!(place.outside(["python3", "fifo.py"]).output().code(), Some(0), "it works outside");
        std::fs::remove_file(place.path("jobs")).expect("the script made it");
        place.run(["python3", "fifo.py"]).expect_code(0);
    });
}

#[test]
fn python_multiprocessing_works() {
    if !have(&["python3"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        place.write(
            "pool.py",
            "import multiprocessing as m\nfrom multiprocessing import shared_memory\n\
             def f(x): return x * x\n\
             if __name__ == '__main__':\n    for how in ('fork', 'spawn', 'forkserver'):\n        \
             with m.get_context(how).Pool(3) as pool: assert pool.map(f, range(5)) == [0, 1, 4, 9, 16]\n    \
             q = m.Queue(); q.put(1); assert q.get() == 1\n    \
             s = shared_memory.SharedMemory(create=True, size=9); s.buf[0] = 7; s.close(); s.unlink()\n    print('all')\n",
        );
        place.run(["python3", "pool.py"]).expect_code(0).expect_out("all");
    });
}

#[test]
fn npm_installs_a_tarball_and_node_talks_to_children() {
    if !have(&["npm", "node", "tar"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        place.write(
            "dep/package/package.json",
            "{\"name\":\"dep\",\"version\":\"1.0.0\",\"main\":\"i.js\",\"bin\":{\"dep\":\"cli.js\"}}",
        );
        place.write("dep/package/i.js", "module.exports = n => n + 1\n");
        place.script("dep/package/cli.js", "#!/usr/bin/env node\nconsole.log(require('./i.js')(41))\n");
        place.prepare("tar -czf dep.tgz -C dep package");
        place.write("package.json", "{\"name\":\"app\",\"version\":\"1.0.0\",\"scripts\":{\"go\":\"dep\"}}");
        place.run(["npm", "install", "--offline", "--no-audit", "--no-fund", "./dep.tgz"]).expect_code(0);
        place.run(["npm", "run", "--silent", "go"]).expect_code(0).expect_out("42");
        place.write(
            "children.js",
            "const { spawn, execFileSync, fork } = require('child_process')\n\
             if (process.argv[2]) { process.on('message', m => { process.send(m + 1); process.disconnect() }) } else {\n\
             const cat = spawn('cat'); let all = 0\n\
             cat.stdout.on('data', d => all += d.length)\n\
             cat.on('close', code => {\n\
               const sum = execFileSync('sh', ['-c', 'wc -c'], { input: 'x'.repeat(1e6) }).toString().trim()\n\
               const child = fork(__filename, ['child']); child.send(1)\n\
               child.on('message', m => console.log(code, all, sum, require('dep')(m)))\n\
             })\n\
             cat.stdin.end('y'.repeat(1e6)) }\n",
        );
        place.run(["node", "children.js"]).expect_code(0).expect_out("0 1000000 1000000 3");
        // A cache that npm has filled outside is read, and what it writes there stays inside.
        let cache = place.home().join(".npm/_cacache");
        place
            .prepare("mkdir -p ~/.npm/_cacache && echo kept > ~/.npm/_cacache/marker && rm -rf node_modules");
        place.run(["npm", "install", "--offline", "--no-audit", "--no-fund", "./dep.tgz"]).expect_code(0);
        place.sh("cat ~/.npm/_cacache/marker").expect_out("kept");
        assert_eq!(place.list(&cache), [PathBuf::from("marker")], "the user's cache is as it was");
    });
}

/// Go, ccache and uv stop at a cache that they cannot write; theirs is private.
#[test]
fn programs_whose_cache_is_elsewhere_get_a_private_one() {
    each_user(|user| {
        let place = Place::new(user);
        for name in ["GOCACHE", "CCACHE_DIR", "UV_CACHE_DIR"] {
            let script = format!("mkdir -p \"${name}\" && echo x > \"${name}/file\" && echo made");
            place.sh(&script).expect_code(0).expect_out("made");
            let own = place.sandboxed(["sh", "-c", &format!("echo \"${name}\"")]).env(name, "/own").output();
            assert_eq!(own.out().trim(), "/own", "the caller's own is left alone");
        }
        if have(&["go"]) {
            place.write("go.mod", "module example.com/m\n\ngo 1.18\n");
            place.write("m.go", "package main\n\nfunc main() { println(\"built\") }\n");
            place.run(["go", "build", "-o", "m", "."]).expect_code(0);
            place.run(["./m"]).expect_code(0).expect_err(&["built"]);
        }
    });
}

#[test]
fn a_name_that_may_not_be_made_is_explained() {
    each_user(|user| {
        let place = Place::new(user);
        if have(&["git"]) {
            let output = place.run(["git", "init", "sub"]);
            assert_ne!(output.code(), Some(0));
            output.expect_err(&["sub/.git: not made", "protected name"]);
        }
    });
}

#[test]
fn a_c_program_is_made_in_parallel() {
    if !have(&["gcc", "make"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let mut main = String::from("#include <stdio.h>\n");
        for number in 0..24 {
            place.write(format!("f{number}.c"), format!("int f{number}(void) {{ return {number}; }}\n"));
            main += &format!("int f{number}(void);\n");
        }
        let sum: Vec<String> = (0..24).map(|number| format!("f{number}()")).collect();
        main += &format!("int main(void) {{ printf(\"%d\\n\", {}); return 0; }}\n", sum.join(" + "));
        place.write("main.c", main);
        let makefile = "objects := $(patsubst %.c,%.o,$(wildcard *.c))\nsum: $(objects)\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -pipe -c -o $@ $<\n";
        place.write("Makefile", makefile);
        place.run(["make", "-s", "-j", "4"]).expect_code(0);
        place.run(["./sum"]).expect_code(0).expect_out("276");
        assert!(place.run(["make", "-j", "4"]).out().contains("up to date"), "times are right");
    });
}

#[test]
fn shells_have_pipelines_here_documents_and_process_substitution() {
    if !have(&["bash"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let script = r#"
set -euo pipefail
name=world
cat <<END | tr a-z A-Z > shouted
hello $name
$(seq 1 3 | paste -sd+)
END
diff <(seq 1 3) <(printf '1\n2\n3\n')
seq 1 5 | tee >(wc -l > lines) > /dev/null
for i in 1 2 3; do (echo "$i" > "bg$i") & done; wait
read -r first < <(sort -r bg1 bg2 bg3)
exec 5<>"fd5"; echo by descriptor >&5; exec 5>&-
until test -s lines; do sleep 0.01; done
mkfifo pipe; (echo through > pipe) & read -r word < pipe
cat shouted lines fd5; echo "$first $word ${PIPESTATUS[0]}"
cat <<< "here string"
"#;
        let output = place.run(["bash", "-c", script]);
        output.expect_code(0).expect_out("HELLO WORLD\n1+2+3\n5\nby descriptor\n3 through 0\nhere string");
    });
}

#[test]
fn sort_uses_the_temporary_folder_for_a_file_larger_than_the_memory_limit() {
    if !have(&["sort", "seq", "rev"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        place.prepare("seq 5000000 | rev > numbers; test $(stat -c %s numbers) -gt 33554432");
        let run = place.sandboxed([
            "sh",
            "-c",
            "sort -S 4M --parallel=1 numbers -o sorted && sort -c sorted && wc -l < sorted",
        ]);
        run.env("LC_ALL", "C").flags(["--memory", "32M"]).output().expect_code(0).expect_out("5000000");
        assert_eq!(place.list(""), [Path::new("numbers"), Path::new("sorted")]);
    });
}

#[test]
fn programs_that_want_a_terminal_of_their_own() {
    if !have(&["script"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let output =
            place.run(["script", "-qec", "test -t 0 && tty && stty size >/dev/null; exit 6", "typescript"]);
        output.expect_code(6);
        assert!(output.out().contains("/dev/pts/"), "{output}");
        assert!(String::from_utf8_lossy(&place.read("typescript")).contains("/dev/pts/"));
    });
}

#[test]
fn vim_edits_a_file() {
    if !have(&["vim"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        place.write("text", "one\ntwo\n");
        // With a swap file and a backup, which are renamed and linked beside it.
        let output = place.run(["vim", "-es", "-u", "NONE", "-c", "set backup | %s/two/three/ | wq", "text"]);
        output.expect_code(0);
        assert_eq!(place.read("text"), b"one\nthree\n");
        assert_eq!(place.read("text~"), b"one\ntwo\n");
    });
}

#[test]
fn tmux_runs_a_session() {
    if !have(&["tmux"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let script = "tmux -L cst -f /dev/null new-session -d -x 100 -y 30 'stty size > size; tty > tty; exec cat' && \
                      tmux -L cst send-keys typed Enter && i=0 && \
                      until tmux -L cst capture-pane -p | grep -q typed && test -s tty; do i=$((i+1)); test $i -lt 500 || exit 8; sleep 0.02; done; \
                      tmux -L cst kill-server; cat size";
        place
            .sandboxed(["sh", "-c", script])
            .env("TERM", "xterm")
            .output()
            .expect_code(0)
            .expect_out("30 100");
    });
}

#[test]
fn java_insists_on_tmp() {
    if !have(&["java", "javac"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        place.write(
            "Main.java",
            "import java.io.*; import java.nio.file.*;\npublic class Main { public static void main(String[] a) throws Exception {\n\
             File f = File.createTempFile(\"cst\", null); Files.writeString(f.toPath(), \"x\");\n\
             Process p = new ProcessBuilder(\"cat\", f.getPath()).redirectErrorStream(true).start();\n\
             System.out.println(f.getParent() + \" \" + new String(p.getInputStream().readAllBytes()) + p.waitFor()); } }\n",
        );
        // An older limit of memory: the machine reserves much and uses little.
        let run = place.sandboxed(["java", "-Djava.io.tmpdir=/tmp", "-Xmx64m", "Main.java"]);
        run.output().expect_code(0).expect_out("/tmp x0");
    });
}

#[test]
fn debuggers_work_on_their_own_children() {
    if !have(&["gdb", "strace", "gcc"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        place.write(
            "crash.c",
            "static int f(int *p) { return *p; }\nint main(void) { return f((int *)8); }\n",
        );
        place.run(["gcc", "-g", "-O0", "-o", "crash", "crash.c"]).expect_code(0);
        place.run(["./crash"]).expect_code(139);
        let output = place.run(["gdb", "-nx", "-batch", "-ex", "run", "-ex", "backtrace", "./crash"]);
        for part in ["SIGSEGV", "in f (p=0x8)", "in main ()"] {
            assert!(output.out().contains(part), "{part:?}: {output}");
        }
        let output = place.run([
            "strace",
            "-f",
            "-o",
            "trace",
            "-e",
            "trace=execve",
            "sh",
            "-c",
            "cat < /dev/null; echo done",
        ]);
        output.expect_code(0).expect_out("done");
        assert!(String::from_utf8_lossy(&place.read("trace")).matches("execve(").count() >= 2, "{output}");
        // And on nobody else.
        let output = place.sandboxed(["strace", "-p", &std::process::id().to_string()]).guard(60).output();
        assert_ne!(output.code(), Some(0));
    });
}

#[test]
fn becoming_another_user_fails_fast_with_the_usual_error() {
    each_user(|user| {
        let place = Place::new(user);
        let mut tried = 0;
        for words in [&["sudo", "-n", "true"][..], &["su", "-c", "true", "nobody"]] {
            let installed =
                place.outside(["sh", "-c", "command -v \"$1\"", "sh", words[0]]).output().code() == Some(0);
            if installed {
                let output = place.sandboxed(words).guard(60).output();
                assert!(output.code().is_some_and(|code| code != 0) && !output.err().is_empty(), "{output}");
                tried += 1;
            }
        }
        if tried == 0 {
            skip("not installed: sudo, su");
        }
    });
}

#[test]
fn ping_fails_fast_with_the_usual_error() {
    if !have(&["ping"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let output: Output = place.sandboxed(["ping", "-c", "1", "192.0.2.1"]).guard(60).output();
        assert!(output.code().is_some_and(|code| code != 0) && !output.err().is_empty(), "{output}");
    });
}

#[test]
fn archives_keep_modes_times_and_links() {
    if !have(&["tar"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let script = "mkdir -p d/e; echo x > d/f; chmod 640 d/f; touch -d @1000000000 d/f; ln d/f d/hard; ln -s f d/soft; mkfifo d/fifo; \
                      chmod 500 d/e; tar -cf a.tar d; mkdir out; tar -xpf a.tar -C out; cp -a d copy; \
                      stat -c '%a %Y %h' out/d/f copy/f; readlink out/d/soft; stat -c %a out/d/e; rm -rf d out copy";
        let inside = place.run(["sh", "-ec", script]);
        let outside = place.outside(["sh", "-ec", script]).output();
        inside.expect_code(0).expect_out("640 1000000000 2\n640 1000000000 2\nf\n500");
        assert_eq!(inside.out(), outside.out());
    });
}
