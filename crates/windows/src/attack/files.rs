//! Attempts on files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Wanted::{Denied, Done};
use super::{Attempt, Scene, attempt, there};

/// The table.
pub const ATTEMPTS: &[Attempt] = &[
    attempt(
        "work-in-roots",
        "create, append, rename over, delete in the workspace, also deep",
        Done,
        work_in_roots,
    ),
    attempt("work-in-temp", "create and delete in %TEMP%", Done, work_in_temp),
    attempt("read-outside", "read a file of the user's outside the roots", Done, |scene| {
        fs::read(scene.outside().join("file.txt")).map(drop)
    }),
    attempt("edits", "ten kinds of edits outside the roots, whichever gets through", Denied, |scene| {
        super::edits::edit(&scene.edited())
    }),
    attempt("create-outside", "create a file outside the roots", Denied, |scene| {
        fs::write(scene.outside().join("new.txt"), "x")
    }),
    attempt("make-folder-outside", "make a folder outside the roots", Denied, |scene| {
        fs::create_dir(scene.outside().join("new"))
    }),
    attempt("append-outside", "append to a file outside the roots", Denied, |scene| {
        append(scene.outside().join("file.txt"))
    }),
    attempt("truncate-outside", "empty a file outside the roots", Denied, |scene| {
        OpenOptions::new().write(true).truncate(true).open(there(scene.outside().join("file.txt"))?).map(drop)
    }),
    attempt("attributes-outside", "set the read-only attribute outside the roots", Denied, read_only_outside),
    attempt("delete-outside", "delete a file outside the roots", Denied, |scene| {
        fs::remove_file(scene.outside().join("file.txt"))
    }),
    attempt("delete-folder-outside", "delete an empty folder outside the roots", Denied, |scene| {
        fs::remove_dir(scene.outside().join("empty"))
    }),
    attempt("rename-outside", "rename a file outside the roots", Denied, |scene| {
        fs::rename(scene.outside().join("file.txt"), scene.outside().join("other.txt"))
    }),
    attempt("move-in", "move a file from outside into the workspace", Denied, |scene| {
        fs::rename(scene.outside().join("file.txt"), scene.work().join("caught.txt"))
    }),
    attempt("move-folder-in", "move a folder from outside into the workspace", Denied, |scene| {
        fs::rename(scene.outside().join("full"), scene.work().join("caught"))
    }),
    attempt("move-out", "move a file of the workspace outside", Denied, |scene| {
        fs::rename(scene.work().join("file.txt"), scene.outside().join("planted.txt"))
    }),
    attempt("rename-workspace", "rename the workspace itself", Denied, |scene| {
        fs::rename(scene.work(), scene.top().join("elsewhere"))
    }),
    attempt(
        "write-by-hard-link",
        "write to a file outside through a hard link in the workspace",
        Denied,
        |scene| {
            let link = scene.work().join("link.txt");
            fs::hard_link(scene.outside().join("file.txt"), &link)?;
            append(link)
        },
    ),
    attempt("dots", "append outside by a path with `..` from the workspace", Denied, |scene| {
        append(scene.work().join("..").join("outside").join("file.txt"))
    }),
    attempt("verbatim", r"append outside by a \\?\ path", Denied, |scene| {
        append(verbatim(&scene.outside().join("file.txt")))
    }),
    attempt("junction", "append outside through a junction in the workspace", Denied, |scene| {
        let junction = scene.work().join("junction");
        let made = std::process::Command::new("cmd")
            .args(["/c", "mklink", "/J"])
            .args([&junction, &scene.outside()])
            .output()?;
        if !junction.join("file.txt").exists() {
            return Err(io::Error::other(format!("no junction was made: {}", made.status)));
        }
        append(junction.join("file.txt"))
    }),
    attempt("git-config", "append to .git\\config", Denied, |scene| append(git(scene, ".git", "config"))),
    attempt("git-upper-case", "append to .GIT\\CONFIG", Denied, |scene| append(git(scene, ".GIT", "CONFIG"))),
    attempt("git-short-name", "append to GIT~1\\config", Denied, |scene| {
        append(git(scene, "GIT~1", "config"))
    }),
    attempt("git-trailing-dot", "append to `.git.\\config`, which Windows trims", Denied, |scene| {
        append(git(scene, ".git.", "config"))
    }),
    attempt("git-stream", "append by .git::$INDEX_ALLOCATION\\config", Denied, |scene| {
        append(git(scene, ".git::$INDEX_ALLOCATION", "config"))
    }),
    attempt("git-verbatim", r"append to .git\config by a \\?\ path", Denied, |scene| {
        append(verbatim(&git(scene, ".git", "config")))
    }),
    attempt("git-hook", "create a hook", Denied, |scene| {
        fs::write(git(scene, ".git", "hooks").join("pre-commit"), "x")
    }),
    attempt("git-delete", "delete .git\\config", Denied, |scene| {
        fs::remove_file(git(scene, ".git", "config"))
    }),
    attempt("git-replace", "rename a file of the workspace over .git\\config", Denied, |scene| {
        fs::rename(scene.work().join("file.txt"), git(scene, ".git", "config"))
    }),
    attempt("git-rename", "rename .git away", Denied, |scene| {
        fs::rename(scene.work().join(".git"), scene.work().join("old-git"))
    }),
    attempt("git-delete-tree", "delete .git with all that it holds", Denied, |scene| {
        fs::remove_dir_all(there(scene.work().join(".git"))?)
    }),
    attempt("nested-git", "append to the .git\\config of a repository in the workspace", Denied, |scene| {
        append(scene.work().join("sub").join(".git").join("config"))
    }),
    attempt("nested-git-rename", "rename the folder that holds a nested repository", Denied, |scene| {
        fs::rename(scene.work().join("sub"), scene.work().join("sub2"))
    }),
    attempt("missing-codex", "create .codex\\config.toml where there is no .codex", Denied, |scene| {
        missing(scene, ".codex")
    }),
    attempt("missing-agents", "create .agents\\AGENTS.md where there is no .agents", Denied, |scene| {
        missing(scene, ".agents")
    }),
    attempt("missing-codex-upper-case", "create .CODEX\\config.toml", Denied, |scene| {
        missing(scene, ".CODEX")
    }),
    attempt("own-state", "append to the state database of the sandbox", Denied, |_| {
        append(state().join("state.db"))
    }),
    attempt("own-stubs", "put a program into the folder that stands first on PATH", Denied, |_| {
        let folder = state().join("stubs");
        fs::create_dir_all(&folder)?;
        let file = folder.join("attack.cmd");
        fs::write(&file, "x")?;
        fs::remove_file(file)
    }),
    attempt("host-temp", "create a file in the user's own temporary folder", Denied, |_| {
        let file = local_app_data().join("Temp").join(format!("attack-{}.txt", std::process::id()));
        fs::write(&file, "x")?;
        fs::remove_file(file)
    }),
    attempt("windows-temp", r"create a file in C:\Windows\Temp", Denied, |_| {
        let windows = std::env::var_os("SystemRoot").unwrap_or_default();
        let file = PathBuf::from(windows).join("Temp").join(format!("attack-{}.txt", std::process::id()));
        fs::write(&file, "x")?;
        fs::remove_file(file)
    }),
];

fn work_in_roots(scene: &Scene) -> io::Result<()> {
    for folder in [scene.work(), scene.work().join("deep").join("er")] {
        let (new, old) = (folder.join("new.txt"), folder.join("old.txt"));
        fs::write(&old, "old")?;
        fs::write(&new, "new")?;
        append(new.clone())?;
        fs::rename(&new, &old)?;
        if fs::read(&old)? != b"newx" {
            return Err(io::Error::other("the file that was renamed over is not the new one"));
        }
        fs::remove_file(&old)?;
        let made = folder.join("made");
        fs::create_dir(&made)?;
        fs::write(made.join("file.txt"), "x")?;
        fs::rename(&made, folder.join("moved"))?;
        fs::remove_dir_all(folder.join("moved"))?;
    }
    // What was there before the run.
    append(scene.work().join("file.txt"))?;
    fs::remove_file(scene.work().join("file.txt"))
}

fn work_in_temp(_: &Scene) -> io::Result<()> {
    let folder = std::env::temp_dir().join(format!("attack-{}", std::process::id()));
    fs::create_dir(&folder)?;
    fs::write(folder.join("file.txt"), "x")?;
    fs::remove_dir_all(folder)
}

fn append(path: PathBuf) -> io::Result<()> {
    OpenOptions::new().append(true).open(there(path)?)?.write_all(b"x")
}

fn read_only_outside(scene: &Scene) -> io::Result<()> {
    let file = scene.outside().join("file.txt");
    let mut permissions = fs::metadata(&file)?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&file, permissions.clone())?;
    #[allow(
        clippy::permissions_set_readonly_false,
        reason = "on Windows it is an attribute, and no right of others"
    )]
    permissions.set_readonly(false);
    fs::set_permissions(&file, permissions)
}

/// Outside the folder is not there and is made; inside a placeholder stands in its place.
fn missing(scene: &Scene, name: &str) -> io::Result<()> {
    let folder = scene.work().join(name);
    let _there_already = fs::create_dir(&folder);
    // If it cannot be written, perhaps it can be replaced.
    fs::write(folder.join("config.toml"), "x").or_else(|denied| {
        fs::remove_dir(&folder).or(Err(denied))?;
        fs::create_dir(&folder)?;
        fs::write(folder.join("config.toml"), "x")
    })
}

fn git(scene: &Scene, folder: &str, file: &str) -> PathBuf {
    // By text: `join` would take some of these apart.
    PathBuf::from(format!(r"{}\{folder}\{file}", scene.work().display()))
}

fn verbatim(path: &Path) -> PathBuf {
    PathBuf::from(format!(r"\\?\{}", path.display()))
}

fn local_app_data() -> PathBuf {
    PathBuf::from(std::env::var_os("LOCALAPPDATA").unwrap_or_default())
}

fn state() -> PathBuf {
    local_app_data().join("codex-sandbox")
}
