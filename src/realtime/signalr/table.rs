//! All links by token.

use super::link::{Link, LinkOwner};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Most tokens of ended links that are remembered.
const MAX_ENDED: usize = 100_000;

/// The links of this node. The token of an ended link stays known until it could not open another one.
#[derive(Debug, Default)]
pub struct LinkTable(Mutex<Links>);

#[derive(Debug, Default)]
struct Links {
    by_token: HashMap<Arc<str>, Entry>,
    /// Ended links, and until when they are remembered.
    ended: VecDeque<(Instant, Arc<str>)>,
}

#[derive(Clone, Debug)]
enum Entry {
    Link(Arc<Link>),
    Ended,
}

/// What is known about a token.
#[derive(Clone, Debug)]
pub enum TokenState {
    Link(Arc<Link>),
    /// Its link has ended.
    Ended,
    /// It has had no link here.
    New,
}

impl LinkTable {
    fn lock(&self) -> MutexGuard<'_, Links> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known about the token.
    pub fn get(&self, token: &str) -> TokenState {
        match self.lock().by_token.get(token) {
            Some(Entry::Link(link)) => TokenState::Link(link.clone()),
            Some(Entry::Ended) => TokenState::Ended,
            None => TokenState::New,
        }
    }

    /// The links that are open.
    pub fn len(&self) -> usize {
        self.lock().by_token.values().filter(|entry| matches!(entry, Entry::Link(_))).count()
    }

    /// Whether no link is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl LinkOwner for LinkTable {
    fn insert(&self, link: &Arc<Link>) -> bool {
        let mut links = self.lock();
        if links.by_token.contains_key(&link.token) {
            return false;
        }
        links.by_token.insert(link.token.clone(), Entry::Link(link.clone()));
        true
    }

    fn end(&self, token: &Arc<str>, remembered: Duration) {
        let now = Instant::now();
        let mut links = self.lock();
        let links = &mut *links;
        if let Some(entry) = links.by_token.get_mut(token)
            && matches!(entry, Entry::Link(_))
        {
            *entry = Entry::Ended;
            links.ended.push_back((now + remembered, token.clone()));
        }
        while let Some((until, _)) = links.ended.front()
            && (*until <= now || links.ended.len() > MAX_ENDED)
        {
            if let Some((_, token)) = links.ended.pop_front() {
                links.by_token.remove(&token);
            }
        }
    }

    fn remove(&self, token: &str) {
        self.lock().by_token.remove(token);
    }
}
