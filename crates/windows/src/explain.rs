//! Why a path is as it is: the policy's rule, and every step of the access check.

use nt_security::AccessMask;
use nt_security::file_rules::{self, FileDecision, Operator};
use serde::Serialize;

use crate::plan::data::{GapKind, LimitKind};
use crate::plan::facts::Facts;
use crate::plan::locate::{LocateError, Located, locate};
use crate::plan::path::WinPath;
use crate::plan::rules::Rule;
use crate::plan::tree::FactsError;
use crate::plan::{Access, WindowsPlan};
use crate::prove::ops::attempt;
use crate::prove::{Op, Says, World, policy_allows};

mod text;

/// What a path is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Reading it, or listing it.
    Read,
    /// Writing it; creating it where it is missing; creating something in it if it is a folder.
    Write,
    /// One operation.
    Op(Op),
}

impl Question {
    /// From `read`, `write`, `create`, `rename`, or the name of an [`Op`].
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "read" => Self::Read,
            "write" => Self::Write,
            "create" => Self::Op(Op::CreateFile),
            "rename" => Self::Op(Op::RenameAway),
            other => Self::Op(Op::from_name(other)?),
        })
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The facts are not usable.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The path leads nowhere on this host.
    #[error(transparent)]
    Path(#[from] LocateError),
    /// The operation makes no sense there.
    #[error("{op} does not apply to {path}: {why}")]
    NotApplicable {
        /// The operation.
        op: &'static str,
        /// The path.
        path: WinPath,
        /// Why not.
        why: &'static str,
    },
}

impl ExplainError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Facts(error) => error.code(),
            Self::Path(_) => "explain-path",
            Self::NotApplicable { .. } => "explain-not-applicable",
        }
    }
}

/// The answer about one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The path as it was typed, and where it leads.
    pub located: Located,
    /// The operation that was looked at.
    pub op: Op,
    /// The object that it was looked at on: the path, or the nearest folder above that exists.
    pub object: WinPath,
    /// What the policy says.
    pub policy: Says,
    /// By which rule.
    pub rule: Rule,
    /// Whether the user may do it without the sandbox.
    pub user: bool,
    /// What Windows says to the command.
    pub verdict: Says,
    /// The checks behind it, step by step.
    pub decision: FileDecision,
    /// What is created there is made read-only when the run ends, and reported: a protected name that does not exist yet.
    pub frozen_at_end: bool,
    /// Gaps and limits of the plan that speak of the path.
    pub remarks: Vec<String>,
    /// Names of the SIDs that occur, for people.
    pub names: std::collections::BTreeMap<String, String>,
}

impl Explanation {
    /// Whether the command can do it.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Says::Allow
    }
}

/// Explains `question` about `typed`, which may be relative to the working directory of the facts.
///
/// # Errors
/// [`ExplainError`].
pub fn explain(
    plan: &WindowsPlan,
    facts: &Facts,
    typed: &str,
    question: Question,
) -> Result<Explanation, ExplainError> {
    let world = World::new(plan, facts)?;
    let cwd = locate(&facts.cwd, None, facts, &world.after).ok().map(|found| found.path);
    let located = locate(typed, cwd.as_ref(), facts, &world.after)?;
    let (object, op) = target(&world, &located.path, question)?;
    let decision = ask(&world, &object, op, located.stream.is_some())?;
    let user = attempt(&world, &world.user_tree, &world.user, &object, op);
    let verdict = world.rules.decide(&located.path);
    let is_there = world.after.get(&located.path).is_some();
    let allowed = if is_there {
        policy_allows(&world, &located.path, &verdict, op)
    } else {
        verdict.access == Access::Write
    };
    let user = user.is_some_and(|answer| answer.is_allowed());
    let outcome = crate::prove::says(decision.outcome);
    let frozen_at_end = !is_there
        && outcome != Says::Deny
        && op.is_creation()
        && is_watched(plan, &located.path, &verdict.rule);
    Ok(Explanation {
        op,
        frozen_at_end,
        policy: Says::from_bool(allowed && user),
        rule: verdict.rule,
        user,
        verdict: outcome,
        remarks: remarks(plan, &located.path, op, is_there),
        names: text::names(&world, &decision),
        decision,
        object,
        located,
    })
}

/// Whether a missing path is, or lies in, a protected name that is looked for at the end of the run.
fn is_watched(plan: &WindowsPlan, path: &WinPath, rule: &Rule) -> bool {
    let (Rule::Protected { path: name, .. } | Rule::GitDir { path: name }) = rule else { return false };
    let below = |folder: &WinPath| name.is_below(folder);
    path.is_in(name) && plan.watch.iter().any(|watch| watch.below && below(&watch.folder))
}

/// On what a question is looked at, and as which operation.
fn target(world: &World<'_>, path: &WinPath, question: Question) -> Result<(WinPath, Op), ExplainError> {
    let node = world.after.get(path);
    let op = match (question, node) {
        (Question::Read, Some(node)) if node.is_folder() => Op::List,
        (Question::Read, _) => Op::Read,
        (Question::Write, Some(node)) if node.is_folder() => Op::CreateFile,
        (Question::Write, Some(_)) => Op::Write,
        (Question::Write, None) => Op::CreateFile,
        (Question::Op(op), _) => op,
    };
    if node.is_some() {
        return Ok((path.clone(), op));
    }
    let not_there =
        ExplainError::NotApplicable { op: op.name(), path: path.clone(), why: "it does not exist" };
    if !op.is_creation() {
        return Err(not_there);
    }
    let (folder, _) = world.after.nearest(path).ok_or(not_there)?;
    Ok((folder, op))
}

fn ask(world: &World<'_>, object: &WinPath, op: Op, stream: bool) -> Result<FileDecision, ExplainError> {
    let fails = |why| ExplainError::NotApplicable { op: op.name(), path: object.clone(), why };
    if stream && !op.is_reading() {
        // A stream has no descriptor of its own: the file's counts.
        let node = world.after.get(object).ok_or(fails("it does not exist"))?;
        let parent = object.parent();
        let parent =
            parent.as_ref().and_then(|folder| world.after.get(folder)).map(|folder| &folder.descriptor);
        let (descriptor, is_folder) = (&node.descriptor, node.is_folder());
        let file = file_rules::Node { descriptor, parent, is_folder, is_read_only: node.read_only };
        return Ok(Operator::new(&world.child).open(&file, AccessMask::FILE_WRITE_DATA));
    }
    attempt(world, &world.after, &world.child, object, op)
        .ok_or(fails("it is a file where a folder is asked for, or the other way round"))
}

/// What the plan says about the path itself and this operation.
fn remarks(plan: &WindowsPlan, path: &WinPath, op: Op, is_there: bool) -> Vec<String> {
    let here = |paths: &[WinPath]| paths.iter().any(|at| path.is_in(at));
    let gaps = plan.not_enforced.iter().filter(|gap| match gap.kind {
        GapKind::DeletionOutside => op.is_removal(),
        GapKind::MissingName | GapKind::MissingGitCode => !is_there && here(&gap.paths),
        _ => here(&gap.paths),
    });
    let gaps = gaps.map(|gap| format!("not enforced ({}): {}; {}", gap.kind.name(), gap.what, gap.remedy));
    let limits = plan.stricter.iter().filter(|limit| match limit.kind {
        LimitKind::DeleteNeedsOwnRight => op.is_removal() && here(&limit.paths),
        LimitKind::NotYetReadable => !is_there && op.is_reading() && here(&limit.paths),
        _ => here(&limit.paths),
    });
    let limits = limits.map(|limit| format!("stricter ({}): {}", limit.kind.name(), limit.what));
    let walls = plan.walls.single.iter().filter(|wall| path.is_in(&wall.path));
    let walls = walls.map(|wall| format!("one wall holds here: {}", wall.why));
    gaps.chain(limits).chain(walls).collect()
}
