//! Signatures and passwords that are too expensive for a worker: verified by a few background threads from a bounded
//! queue. Clients take turns in it, and names of one client do, so that a flood delays the credentials of another client or
//! name by one job.

use crate::{base::client_prefix::ClientPrefix, net::background::BackgroundRuntime};
use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// The bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Jobs that run in parallel.
    pub max_parallel: usize,
    /// Jobs that wait.
    pub max_queued: usize,
    /// Bytes of the credentials of jobs that wait.
    pub max_queued_bytes: usize,
}

/// How soon a job runs. Jobs of a higher priority run first; the lower ones leave one thread free for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// No recent failures.
    High,
    /// The client address has failed recently.
    Low,
    /// The same name has failed from this address recently.
    Lowest,
}

/// A queue of jobs and the threads that run them.
pub struct VerificationPool {
    limits: PoolLimits,
    background: BackgroundRuntime,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    running: usize,
    running_low: usize,
    queued: usize,
    queued_bytes: usize,
    queues: [VecDeque<ClientQueue>; 3],
}

/// The waiting jobs of one client.
struct ClientQueue {
    client: ClientPrefix,
    count: usize,
    names: VecDeque<NameQueue>,
}

/// The waiting jobs for one name.
struct NameQueue {
    name: u64,
    jobs: VecDeque<Job>,
}

/// The origin of a job.
#[derive(Clone, Copy, Debug)]
pub struct JobSource {
    pub client: ClientPrefix,
    /// A hash of the name in the credentials; 0 without one.
    pub name: u64,
    pub priority: Priority,
}

struct Job {
    bytes: usize,
    run: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for VerificationPool {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("VerificationPool").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl VerificationPool {
    /// The threads belong to `background`; none runs while no job waits.
    pub fn new(limits: PoolLimits, background: BackgroundRuntime) -> Arc<VerificationPool> {
        Arc::new(VerificationPool { limits, background, state: Mutex::default() })
    }

    /// Runs the job in the background; `None` if the queue has no room for it, now or while it waits.
    /// `bytes`: the size of the credentials that the job holds.
    pub fn run<T, F>(
        self: &Arc<Self>,
        source: JobSource,
        bytes: usize,
        job: F,
    ) -> impl Future<Output = Option<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let run = move || {
            // A disconnected client does not wait for the result.
            if !sender.is_closed() {
                let _ = sender.send(job());
            }
        };
        self.submit(source, Job { bytes, run: Box::new(run) });
        async { receiver.await.ok() }
    }

    fn submit(self: &Arc<Self>, source: JobSource, job: Job) {
        let mut state = self.lock();
        let displaced = state.push(&self.limits, source, job);
        let starts = state.may_run(&self.limits);
        if starts {
            state.running += 1;
        }
        drop(state);
        drop(displaced);
        if starts {
            let pool = self.clone();
            self.background.spawn(async move {
                drop(tokio::task::spawn_blocking(move || pool.run_jobs()));
            });
        }
    }

    /// Runs jobs until none may run. The caller has counted this thread.
    fn run_jobs(&self) {
        let mut finished_low = false;
        while let Some((job, priority)) = self.next(finished_low) {
            finished_low = priority != Priority::High;
            // A panic ends the job, not the thread that is counted.
            let _ = catch_unwind(AssertUnwindSafe(job.run));
        }
    }

    fn next(&self, finished_low: bool) -> Option<(Job, Priority)> {
        let mut state = self.lock();
        state.running_low -= usize::from(finished_low);
        let next = state.pop(&self.limits);
        match &next {
            Some((_, priority)) => state.running_low += usize::from(*priority != Priority::High),
            None => state.running -= 1,
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PoolLimits {
    /// Low jobs that run in parallel.
    fn max_parallel_low(&self) -> usize {
        self.max_parallel.saturating_sub(1).max(1)
    }
}

impl PoolState {
    /// Adds a job. Returns the job that finds no room: of the lowest priority the last one of the client and the name with
    /// the most jobs, which may be the new one.
    fn push(&mut self, limits: &PoolLimits, source: JobSource, job: Job) -> Option<Job> {
        self.queued += 1;
        self.queued_bytes += job.bytes;
        let queue = &mut self.queues[source.priority as usize];
        match queue.iter_mut().find(|queue| queue.client == source.client) {
            Some(queue) => queue.push(source.name, job),
            None => {
                let mut client = ClientQueue { client: source.client, count: 0, names: VecDeque::new() };
                client.push(source.name, job);
                queue.push_back(client);
            }
        }
        let is_full = self.queued > limits.max_queued || self.queued_bytes > limits.max_queued_bytes;
        is_full.then(|| self.displace()).flatten()
    }

    fn displace(&mut self) -> Option<Job> {
        let queue = self.queues.iter_mut().rev().find(|queue| !queue.is_empty())?;
        // Of equal clients the last one: the others have waited longer.
        let index = (0..queue.len()).max_by_key(|&index| queue[index].count)?;
        let job = queue[index].displace()?;
        if queue[index].count == 0 {
            queue.remove(index);
        }
        self.count_out(&job);
        Some(job)
    }

    /// The next job: clients of one priority take turns.
    fn pop(&mut self, limits: &PoolLimits) -> Option<(Job, Priority)> {
        let priority = self.runnable(limits)?;
        let queue = &mut self.queues[priority as usize];
        let mut client = queue.pop_front()?;
        let job = client.pop()?;
        if client.count > 0 {
            queue.push_back(client);
        }
        self.count_out(&job);
        Some((job, priority))
    }

    fn count_out(&mut self, job: &Job) {
        self.queued -= 1;
        self.queued_bytes -= job.bytes;
    }

    /// The highest priority with a job that may run.
    fn runnable(&self, limits: &PoolLimits) -> Option<Priority> {
        let low_may_run = self.running_low < limits.max_parallel_low();
        [Priority::High, Priority::Low, Priority::Lowest]
            .into_iter()
            .filter(|priority| *priority == Priority::High || low_may_run)
            .find(|priority| !self.queues[*priority as usize].is_empty())
    }

    /// Whether another thread has something to run.
    fn may_run(&self, limits: &PoolLimits) -> bool {
        self.running < limits.max_parallel && self.runnable(limits).is_some()
    }
}

impl ClientQueue {
    fn push(&mut self, name: u64, job: Job) {
        self.count += 1;
        match self.names.iter_mut().find(|queue| queue.name == name) {
            Some(queue) => queue.jobs.push_back(job),
            None => self.names.push_back(NameQueue { name, jobs: VecDeque::from([job]) }),
        }
    }

    /// The next job: names take turns.
    fn pop(&mut self) -> Option<Job> {
        let mut name = self.names.pop_front()?;
        let job = name.jobs.pop_front()?;
        if !name.jobs.is_empty() {
            self.names.push_back(name);
        }
        self.count -= 1;
        Some(job)
    }

    /// The last job of the name with the most.
    fn displace(&mut self) -> Option<Job> {
        let index = (0..self.names.len()).max_by_key(|&index| self.names[index].jobs.len())?;
        let job = self.names[index].jobs.pop_back()?;
        if self.names[index].jobs.is_empty() {
            self.names.remove(index);
        }
        self.count -= 1;
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const LIMITS: PoolLimits = PoolLimits { max_parallel: 2, max_queued: 4, max_queued_bytes: 100 };

    fn client(n: u8) -> ClientPrefix {
        IpAddr::from([10, 0, 0, n]).into()
    }

    /// The client of each job that runs, in order; jobs are marked by their size.
    fn order(state: &mut PoolState, limits: &PoolLimits) -> Vec<usize> {
        std::iter::from_fn(|| state.pop(limits)).map(|(job, _)| job.bytes).collect()
    }

    fn push(state: &mut PoolState, n: u8, priority: Priority) -> Option<usize> {
        let job = Job { bytes: n.into(), run: Box::new(|| ()) };
        state.push(&LIMITS, source(n, priority), job).map(|job| job.bytes)
    }

    fn source(n: u8, priority: Priority) -> JobSource {
        JobSource { client: client(n), name: 0, priority }
    }

    #[test]
    fn names_of_one_client_take_turns_and_the_one_with_the_most_jobs_is_displaced() {
        let mut state = PoolState::default();
        let mut push = |name: u64| {
            let job = Job { bytes: name as usize, run: Box::new(|| ()) };
            state.push(&LIMITS, JobSource { name, ..source(1, Priority::High) }, job).map(|job| job.bytes)
        };
        assert_eq!([7, 7, 7, 7, 8].map(&mut push), [None, None, None, None, Some(7)]);
        assert_eq!(order(&mut state, &LIMITS), [7, 8, 7, 7]);
    }

    #[test]
    fn clients_take_turns() {
        let mut state = PoolState::default();
        for n in [1, 1, 1, 2] {
            assert_eq!(push(&mut state, n, Priority::High), None);
        }
        assert_eq!(order(&mut state, &LIMITS), [1, 2, 1, 1]);
    }

    #[test]
    fn a_full_queue_displaces_a_job_of_the_client_with_the_most() {
        let mut state = PoolState::default();
        for n in [1, 1, 1, 1] {
            push(&mut state, n, Priority::High);
        }
        assert_eq!(push(&mut state, 1, Priority::High), Some(1), "its own newest job");
        assert_eq!(push(&mut state, 2, Priority::High), Some(1));
        assert_eq!(push(&mut state, 3, Priority::Low), Some(3), "the lowest priority first");
        assert_eq!(order(&mut state, &LIMITS), [1, 2, 1, 1]);
        assert_eq!((state.queued, state.queued_bytes), (0, 0));
    }

    #[test]
    fn queued_bytes_are_bounded() {
        let mut state = PoolState::default();
        assert_eq!(push(&mut state, 60, Priority::High), None);
        assert_eq!(push(&mut state, 60, Priority::High), Some(60));
        assert_eq!(push(&mut state, 30, Priority::High), None);
    }

    #[test]
    fn jobs_of_low_priority_leave_a_thread_free() {
        let mut state = PoolState::default();
        push(&mut state, 1, Priority::Lowest);
        push(&mut state, 2, Priority::Low);
        push(&mut state, 3, Priority::High);
        state.running_low = 1;
        assert_eq!(order(&mut state, &LIMITS), [3]);
        state.running_low = 0;
        assert_eq!(order(&mut state, &LIMITS), [2, 1]);
    }

    #[tokio::test]
    async fn a_job_runs_on_another_thread_and_a_displaced_one_does_not() {
        let background = BackgroundRuntime::default();
        let pool = VerificationPool::new(PoolLimits { max_queued: 1, ..LIMITS }, background.clone());
        let here = std::thread::current().id();
        let thread = || std::thread::current().id();
        let kept = pool.run(source(1, Priority::High), 1, thread);
        let displaced = pool.run(source(1, Priority::High), 1, thread);
        background.attach(tokio::runtime::Handle::current());
        assert_eq!(displaced.await, None);
        assert!(kept.await.is_some_and(|thread| thread != here));
    }
}
