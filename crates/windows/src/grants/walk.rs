//! Going through trees by handle, with several threads: each object is looked at, what has to be noted is noted, then it is
//! written, then what it holds has its turn.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nt_security::SecurityDescriptor;

use super::report::{Counts, Progress, Refused};
use crate::host::{Entry, Host, HostError, Parts};
use crate::plan::path::WinPath;
use crate::state::{Original, StateError};

/// How many objects of a folder are open at once, and how many are noted in one transaction.
const BATCH: usize = 64;

/// Why a walk stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The user said so.
    Cancelled,
    /// This process is dying.
    Host(HostError),
    /// Nothing can be noted, so nothing more is changed.
    State(StateError),
}

/// An object that was looked at.
pub(crate) struct Look<H: Host, D> {
    pub(crate) handle: Arc<H::Handle>,
    pub(crate) path: WinPath,
    /// The descriptor to write, and which parts of it.
    pub(crate) write: Option<(SecurityDescriptor, Parts)>,
    /// What cannot be put back by taking ours away.
    pub(crate) original: Option<Original>,
    /// What the object passes on; without it, nothing below is visited.
    pub(crate) down: Option<D>,
    /// The DACL lets us set the label only once it is written.
    pub(crate) again: bool,
}

/// What to visit below a folder.
pub(crate) enum Below {
    /// Everything.
    All,
    /// Only these names.
    Names(Vec<String>),
}

/// What is done to the objects of a walk.
pub(crate) trait Visitor<H: Host>: Sync {
    /// What a folder passes on to what it holds.
    type Down: Send + Sync;

    /// Opens an object and decides about it. `None`: nothing to do here or below.
    fn look(
        &self,
        folder: Option<&H::Handle>,
        path: &WinPath,
        entry: Option<&Entry>,
        down: &Self::Down,
    ) -> Result<Option<Look<H, Self::Down>>, Stop>;

    /// Notes what must be noted before these are written.
    fn note(&self, originals: &[Original]) -> Result<(), Stop>;

    /// An object was written.
    fn written(&self, look: &Look<H, Self::Down>);

    /// What to visit in a folder.
    fn below(&self, path: &WinPath, down: &Self::Down) -> Below;

    /// Names in a folder that lead to something that is known.
    fn known_below(&self, path: &WinPath) -> Vec<String>;

    /// Something could not be done; the walk goes on.
    fn refused(&self, refused: Refused);
}

struct Job<H: Host, D> {
    folder: Arc<H::Handle>,
    path: WinPath,
    down: D,
}

struct Queue<H: Host, D> {
    jobs: VecDeque<Job<H, D>>,
    working: usize,
}

/// A walk that is going on.
pub(crate) struct Walk<'a, H: Host, V: Visitor<H>> {
    host: &'a H,
    visitor: &'a V,
    progress: &'a dyn Progress,
    counters: &'a Counters,
    queue: Mutex<Queue<H, V::Down>>,
    wake: Condvar,
    stop: Mutex<Option<Stop>>,
    stopping: AtomicBool,
}

/// Counts that threads add to.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) looked: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) skipped: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            looked: of(&self.looked),
            written: of(&self.written),
            refused: of(&self.refused),
            skipped: of(&self.skipped),
        }
    }
}

impl<'a, H: Host, V: Visitor<H>> Walk<'a, H, V> {
    pub(crate) fn new(
        host: &'a H,
        visitor: &'a V,
        progress: &'a dyn Progress,
        counters: &'a Counters,
    ) -> Self {
        let queue = Mutex::new(Queue { jobs: VecDeque::new(), working: 0 });
        let (stop, stopping) = (Mutex::new(None), AtomicBool::new(false));
        Self { host, visitor, progress, counters, queue, wake: Condvar::new(), stop, stopping }
    }

    /// Visits the object at `top` and what lies below.
    pub(crate) fn run(&self, top: &WinPath, down: &V::Down) -> Result<(), Stop> {
        self.objects(None, &[(top.clone(), None)], down)?;
        let threads = self.host.threads();
        if threads <= 1 {
            self.work();
        } else {
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| self.work());
                }
            });
        }
        lock(&self.stop).take().map_or(Ok(()), Err)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            let result = self.folder(&job);
            if let Err(stop) = result {
                self.stopping.store(true, Ordering::Release);
                lock(&self.stop).get_or_insert(stop);
            }
            let mut queue = lock(&self.queue);
            queue.working -= 1;
            if queue.working == 0 && queue.jobs.is_empty() || self.stopping.load(Ordering::Acquire) {
                self.wake.notify_all();
            }
        }
    }

    /// The next folder; `None` when there is none left and nobody is at work who might find more.
    fn next(&self) -> Option<Job<H, V::Down>> {
        let mut queue = lock(&self.queue);
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return None;
            }
            // The last in first: fewer folders stay open.
            if let Some(job) = queue.jobs.pop_back() {
                queue.working += 1;
                return Some(job);
            }
            if queue.working == 0 {
                self.wake.notify_all();
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn folder(&self, job: &Job<H, V::Down>) -> Result<(), Stop> {
        let entries: Vec<(WinPath, Option<Entry>)> = match self.visitor.below(&job.path, &job.down) {
            Below::Names(names) => names.iter().map(|name| (job.path.join(name), None)).collect(),
            Below::All => match self.host.list(&job.folder) {
                Ok(entries) => {
                    entries.into_iter().map(|entry| (job.path.join(&entry.name), Some(entry))).collect()
                }
                Err(error) if error.is_killed() => return Err(Stop::Host(error)),
                // What is known to be below can be opened by its name all the same.
                Err(error) => {
                    self.refuse(error.at(&job.path));
                    let known = self.visitor.known_below(&job.path);
                    known.iter().map(|name| (job.path.join(name), None)).collect()
                }
            },
        };
        let mut entries = entries.into_iter();
        loop {
            let batch: Vec<_> = entries.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.objects(Some(&job.folder), &batch, &job.down)?;
        }
    }

    /// Looks at some objects of one folder, notes, writes, and queues the folders among them.
    fn objects(
        &self,
        folder: Option<&H::Handle>,
        batch: &[(WinPath, Option<Entry>)],
        down: &V::Down,
    ) -> Result<(), Stop> {
        let mut looks = Vec::with_capacity(batch.len());
        for (path, entry) in batch {
            looks.extend(self.visitor.look(folder, path, entry.as_ref(), down)?);
        }
        self.counters.looked.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let mut second = Vec::new();
        for look in self.write(looks)? {
            if look.again {
                second.extend(self.visitor.look(folder, &look.path, None, down)?);
            } else {
                self.go_down(look);
            }
        }
        for look in self.write(second)? {
            self.go_down(look);
        }
        match self.progress.step(&self.counters.read()) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Cancelled),
        }
    }

    /// Notes and writes; gives those back that stand as they should.
    fn write(&self, mut looks: Vec<Look<H, V::Down>>) -> Result<Vec<Look<H, V::Down>>, Stop> {
        let originals: Vec<Original> = looks.iter_mut().filter_map(|look| look.original.take()).collect();
        if !originals.is_empty() {
            self.visitor.note(&originals)?;
        }
        let mut done = Vec::with_capacity(looks.len());
        for look in looks {
            if let Some((descriptor, parts)) = &look.write {
                match self.host.set_security(&look.handle, descriptor, *parts) {
                    Ok(()) => {
                        self.counters.written.fetch_add(1, Ordering::Relaxed);
                        self.visitor.written(&look);
                    }
                    Err(error) if error.is_killed() => return Err(Stop::Host(error)),
                    Err(error) => {
                        self.refuse(error.at(&look.path));
                        continue;
                    }
                }
            }
            done.push(look);
        }
        Ok(done)
    }

    fn go_down(&self, look: Look<H, V::Down>) {
        let Some(down) = look.down else { return };
        lock(&self.queue).jobs.push_back(Job { folder: look.handle, path: look.path, down });
        self.wake.notify_one();
    }

    fn refuse(&self, error: HostError) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        self.visitor.refused(Refused::of(error));
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
