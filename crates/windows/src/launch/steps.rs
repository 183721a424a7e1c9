//! The steps of a launch, in their order. The command's first instruction runs only after all of them.

use nt_security::{Ace, Acl, AclField, Control, LabelPolicy, SecurityDescriptor, Sid};

use super::{LaunchError, Prepared};
use crate::plan::WindowsPlan;
use crate::plan::data::{DesktopPlan, JobPlan, RestrictingKind, Stub, Tier, TokenRecipe};
use crate::plan::facts::NodeKind;
use crate::plan::launch::RUNNER_LOGON;

/// What the steps need of a plan, as data of its own: in the elevated tier the runner gets it over its pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Flags, privileges and level of the token.
    pub token: TokenRecipe,
    /// Its restricting SIDs, without those of roots that turned out not to be grantable. In the elevated tier [`RUNNER_LOGON`]
    /// stands for the logon SID of the runner, which puts its own there.
    pub restricting: Vec<Sid>,
    /// TokenDefaultDacl.
    pub default_dacl: Acl,
    /// The job object.
    pub job: JobPlan,
    /// The desktop.
    pub desktop: DesktopPlan,
    /// The SID of this run alone.
    pub run: Sid,
}

impl Recipe {
    /// From a plan. `without` are the write SIDs of roots that turned out not to be grantable.
    ///
    /// # Errors
    /// [`LaunchError::WrongToken`]: a restricting SID is not known.
    pub fn new(plan: &WindowsPlan, without: &[Sid]) -> Result<Self, LaunchError> {
        Ok(Self {
            token: plan.token.clone(),
            restricting: restricting(plan, without)?,
            default_dacl: Acl::new(plan.default_dacl.iter().map(|ace| ace.ace(NodeKind::File)).collect()),
            job: plan.job.clone(),
            desktop: plan.desktop.clone(),
            run: plan.run_sid.0,
        })
    }
}

/// Who may do what with the command's process, thread and token: as descriptors want it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSecurity {
    /// TokenDefaultDacl, and the DACL of process and thread.
    pub dacl: Acl,
    /// Their integrity level.
    pub level: u32,
}

impl ObjectSecurity {
    /// The descriptor of process and thread: without one Windows would take the launcher's default DACL and level.
    pub fn descriptor(&self) -> SecurityDescriptor {
        let label = Ace::label(self.level, LabelPolicy::NO_WRITE_UP);
        SecurityDescriptor {
            dacl: AclField::List(self.dacl.clone()),
            sacl: AclField::List(Acl::new(vec![label])),
            control: Control::DACL_PROTECTED,
            ..SecurityDescriptor::default()
        }
    }
}

/// Every effect of a launch, one method each.
pub trait Launch {
    /// A token.
    type Token;
    /// A job; dropping it kills whatever is in it.
    type Job;
    /// A desktop.
    type Desktop;
    /// What the command's standard streams are connected to.
    type Stdio;
    /// A process that was made.
    type Process;

    /// Writes a program that fails with a message, unless it is there.
    ///
    /// # Errors
    /// The system's.
    fn write_stub(&self, stub: &Stub) -> Result<(), LaunchError>;

    /// CreateRestrictedToken from this process' own primary token.
    ///
    /// # Errors
    /// The system's.
    fn restrict(&self, recipe: &TokenRecipe, restricting: &[Sid]) -> Result<Self::Token, LaunchError>;

    /// TokenDefaultDacl.
    ///
    /// # Errors
    /// The system's.
    fn set_default_dacl(&self, token: &Self::Token, dacl: &Acl) -> Result<(), LaunchError>;

    /// TokenIntegrityLevel.
    ///
    /// # Errors
    /// The system's.
    fn set_integrity(&self, token: &Self::Token, level: u32) -> Result<(), LaunchError>;

    /// Reads the token back: restricting SIDs, integrity level, privileges.
    ///
    /// # Errors
    /// [`LaunchError::WrongToken`].
    fn check_token(
        &self,
        token: &Self::Token,
        recipe: &TokenRecipe,
        restricting: &[Sid],
    ) -> Result<(), LaunchError>;

    /// A job object with these limits.
    ///
    /// # Errors
    /// The system's.
    fn make_job(&self, plan: &JobPlan) -> Result<Self::Job, LaunchError>;

    /// A desktop of this window station; `None` where the plan wants none.
    ///
    /// # Errors
    /// The system's.
    fn make_desktop(&self, plan: &DesktopPlan, run: &Sid) -> Result<Option<Self::Desktop>, LaunchError>;

    /// CreateProcessAsUserW: in the job, on the desktop, suspended, with no handle but its standard streams.
    ///
    /// # Errors
    /// The system's.
    fn create_process(
        &self,
        token: &Self::Token,
        surroundings: (&Self::Job, Option<&Self::Desktop>),
        security: &ObjectSecurity,
        stdio: Self::Stdio,
        command: &Prepared,
    ) -> Result<Self::Process, LaunchError>;

    /// ResumeThread.
    ///
    /// # Errors
    /// The system's.
    fn resume(&self, process: &mut Self::Process) -> Result<(), LaunchError>;
}

/// A command that runs, and what must live as long as it does.
#[derive(Debug)]
pub struct Started<L: Launch> {
    /// Dropped first: then nothing of the command runs any more.
    pub job: L::Job,
    /// Its first process.
    pub process: L::Process,
    /// Its desktop.
    pub desktop: Option<L::Desktop>,
}

/// Starts a command under a plan. `without` are the write SIDs of roots that turned out not to be grantable.
///
/// # Errors
/// [`LaunchError`]: then nothing of the command runs.
pub fn start<L: Launch>(
    launch: &L,
    plan: &WindowsPlan,
    without: &[Sid],
    command: &Prepared,
    stdio: L::Stdio,
) -> Result<Started<L>, LaunchError> {
    write_stubs(launch, plan)?;
    begin(launch, &Recipe::new(plan, without)?, command, stdio)
}

/// Writes the programs that fail with a message: part of [`start`].
///
/// # Errors
/// The system's.
pub fn write_stubs<L: Launch>(launch: &L, plan: &WindowsPlan) -> Result<(), LaunchError> {
    plan.stubs.iter().try_for_each(|stub| launch.write_stub(stub))
}

/// Starts a command by a recipe.
///
/// # Errors
/// [`LaunchError`]: then nothing of the command runs.
pub fn begin<L: Launch>(
    launch: &L,
    recipe: &Recipe,
    command: &Prepared,
    stdio: L::Stdio,
) -> Result<Started<L>, LaunchError> {
    let security = ObjectSecurity { dacl: recipe.default_dacl.clone(), level: recipe.token.integrity };
    let token = launch.restrict(&recipe.token, &recipe.restricting)?;
    launch.set_default_dacl(&token, &security.dacl)?;
    launch.set_integrity(&token, recipe.token.integrity)?;
    launch.check_token(&token, &recipe.token, &recipe.restricting)?;
    let job = launch.make_job(&recipe.job)?;
    let desktop = launch.make_desktop(&recipe.desktop, &recipe.run)?;
    let surroundings = (&job, desktop.as_ref());
    let mut process = launch.create_process(&token, surroundings, &security, stdio, command)?;
    launch.resume(&mut process)?;
    Ok(Started { job, process, desktop })
}

/// A SID that is not known would be missing from the token's list, and an empty list is no list.
fn restricting(plan: &WindowsPlan, without: &[Sid]) -> Result<Vec<Sid>, LaunchError> {
    let mut sids = Vec::new();
    for entry in &plan.token.restricting {
        let sid = match (entry.sid, entry.kind, plan.tier) {
            (Some(sid), ..) => sid.0,
            (None, RestrictingKind::Logon, Tier::Elevated) => RUNNER_LOGON,
            (None, kind, _) => {
                return Err(LaunchError::WrongToken { what: format!("has no {} SID", kind.name()) });
            }
        };
        if !without.contains(&sid) && !sids.contains(&sid) {
            sids.push(sid);
        }
    }
    Ok(sids)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use super::*;
    use crate::host::SystemError;

    /// Notes each effect, fails at the n-th, and knows whether the command's first instruction ran, and whether it still runs.
    #[derive(Default)]
    struct Fake {
        done: RefCell<Vec<&'static str>>,
        fail_at: Cell<usize>,
        running: Rc<Cell<bool>>,
        ever_ran: Cell<bool>,
    }

    struct FakeJob(Rc<Cell<bool>>);

    impl Drop for FakeJob {
        fn drop(&mut self) {
            self.0.set(false);
        }
    }

    impl Fake {
        fn step(&self, stage: &'static str) -> Result<(), LaunchError> {
            self.done.borrow_mut().push(stage);
            if self.done.borrow().len() == self.fail_at.get() {
                let system = SystemError { code: 5, text: "Access denied".to_owned() };
                return Err(LaunchError::Step { stage, object: None, system, remedy: "" });
            }
            Ok(())
        }
    }

    impl Launch for Fake {
        type Token = Vec<Sid>;
        type Job = FakeJob;
        type Desktop = ();
        type Stdio = ();
        type Process = ();

        fn write_stub(&self, _: &Stub) -> Result<(), LaunchError> {
            self.step("stub")
        }

        fn restrict(&self, _: &TokenRecipe, restricting: &[Sid]) -> Result<Vec<Sid>, LaunchError> {
            self.step("restrict").map(|()| restricting.to_vec())
        }

        fn set_default_dacl(&self, _: &Vec<Sid>, _: &Acl) -> Result<(), LaunchError> {
            self.step("dacl")
        }

        fn set_integrity(&self, _: &Vec<Sid>, _: u32) -> Result<(), LaunchError> {
            self.step("integrity")
        }

        fn check_token(&self, token: &Vec<Sid>, _: &TokenRecipe, wanted: &[Sid]) -> Result<(), LaunchError> {
            assert_eq!(token, wanted);
            self.step("check")
        }

        fn make_job(&self, _: &JobPlan) -> Result<FakeJob, LaunchError> {
            self.step("job").map(|()| FakeJob(self.running.clone()))
        }

        fn make_desktop(&self, plan: &DesktopPlan, _: &Sid) -> Result<Option<()>, LaunchError> {
            self.step("desktop").map(|()| plan.private.then_some(()))
        }

        fn create_process(
            &self,
            _: &Vec<Sid>,
            _: (&FakeJob, Option<&()>),
            _: &ObjectSecurity,
            (): (),
            _: &Prepared,
        ) -> Result<(), LaunchError> {
            self.step("create").inspect(|()| self.running.set(true))
        }

        fn resume(&self, (): &mut ()) -> Result<(), LaunchError> {
            self.step("resume").inspect(|()| self.ever_ran.set(true))
        }
    }

    fn plan() -> WindowsPlan {
        let text = include_str!("../../../../docs/examples/developer-laptop.facts.json");
        let facts = serde_json::from_str(text).expect("an example that other tests read too");
        crate::plan::plan(&crate::plan::Policy::default(), &facts).expect("it can be planned")
    }

    fn command() -> Prepared {
        let text = |text: &str| text.to_owned();
        Prepared {
            application: text("x"),
            command_line: text("x"),
            block: Vec::new(),
            cwd: text("c"),
            notices: Vec::new(),
        }
    }

    #[test]
    fn whichever_effect_fails_nothing_runs() {
        let plan = plan();
        let whole = Fake::default();
        let started = start(&whole, &plan, &[], &command(), ()).expect("nothing fails");
        assert!(whole.running.get() && whole.ever_ran.get());
        drop(started);
        assert!(!whole.running.get());
        let count = whole.done.borrow().len();
        assert_eq!(
            whole.done.borrow()[plan.stubs.len()..],
            ["restrict", "dacl", "integrity", "check", "job", "desktop", "create", "resume"]
        );
        for n in 1..=count {
            let fake = Fake { fail_at: Cell::new(n), ..Fake::default() };
            let error = start(&fake, &plan, &[], &command(), ()).err().expect("the n-th effect fails");
            assert_eq!(error.code(), "run.system");
            assert!(!fake.running.get() && !fake.ever_ran.get(), "effect {n}");
            assert_eq!(fake.done.borrow().len(), n, "nothing is done after a failure");
        }
    }

    #[test]
    fn roots_that_cannot_be_granted_are_not_in_the_token() {
        let plan = plan();
        let gone = plan.write_sids[0].sid.0;
        let with = restricting(&plan, &[]).expect("all are known");
        let without = restricting(&plan, &[gone]).expect("all are known");
        assert!(with.contains(&gone) && !without.contains(&gone));
        assert_eq!(with.len(), without.len() + 1);
    }

    #[test]
    fn an_unknown_sid_stops_the_launch() {
        let mut plan = plan();
        plan.token.restricting[0].sid = None;
        let fake = Fake::default();
        let error = start(&fake, &plan, &[], &command(), ()).err().expect("the token would be another one");
        assert_eq!(error.code(), "run.wrong-token");
        assert!(!fake.done.borrow().contains(&"restrict"));
    }
}
