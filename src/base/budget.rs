//! An amount of something that clients share: while less than half of it is used, a client may take what it needs; beyond
//! that each client address is limited to a share, so that one cannot take what the others need.

use super::client_prefix::ClientPrefix;
use bytes::Bytes;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The share of one client address of a budget that is more than half used.
const CONTENDED_SHARE: usize = 8;

/// The bound of one client when `total` of an amount is used: none while that is at most half of the capacity.
pub fn client_bound(total: usize, capacity: usize) -> usize {
    if total <= capacity / 2 { usize::MAX } else { capacity / CONTENDED_SHARE }
}

/// A bounded amount.
#[derive(Debug)]
pub struct Budget {
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    capacity: usize,
    total: usize,
    by_client: HashMap<ClientPrefix, usize>,
}

impl Budget {
    /// A budget of which nothing is used.
    pub fn new(capacity: usize) -> Arc<Budget> {
        Arc::new(Budget { used: Mutex::new(Used { capacity, ..Used::default() }) })
    }

    /// Takes `amount` for a client.
    pub fn try_charge(self: &Arc<Self>, client: IpAddr, amount: usize) -> Option<Charge> {
        let client = ClientPrefix::from(client);
        self.add(client, amount).then(|| Charge { budget: self.clone(), client, amount })
    }

    /// Changes the bound; what is in use stays.
    pub fn set_capacity(&self, capacity: usize) {
        self.lock().capacity = capacity;
    }

    /// The amount in use.
    pub fn used(&self) -> usize {
        self.lock().total
    }

    fn add(&self, client: ClientPrefix, amount: usize) -> bool {
        let mut used = self.lock();
        let total = used.total.saturating_add(amount);
        let of_client = used.by_client.get(&client).copied().unwrap_or(0) + amount;
        let fits = total <= used.capacity && of_client <= client_bound(total, used.capacity);
        if fits {
            used.total = total;
            used.by_client.insert(client, of_client);
        }
        fits
    }

    fn remove(&self, client: ClientPrefix, amount: usize) {
        let mut used = self.lock();
        used.total = used.total.saturating_sub(amount);
        if let Some(of_client) = used.by_client.get_mut(&client) {
            *of_client = of_client.saturating_sub(amount);
            if *of_client == 0 {
                used.by_client.remove(&client);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of a budget; returned when dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    client: ClientPrefix,
    amount: usize,
}

impl Charge {
    /// Takes more until it is `amount`; false, and unchanged, if that is not available.
    pub fn grow_to(&mut self, amount: usize) -> bool {
        let more = amount.saturating_sub(self.amount);
        let grown = more == 0 || self.budget.add(self.client, more);
        if grown {
            self.amount += more;
        }
        grown
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.remove(self.client, self.amount);
    }
}

/// Memory is charged in steps of this size.
const STEP_BYTES: usize = 16 * 1024;

/// The charge of a buffer that grows.
#[derive(Debug)]
pub struct BufferCharge {
    budget: Arc<Budget>,
    client: IpAddr,
    charge: Option<Charge>,
}

impl BufferCharge {
    /// For a buffer without memory.
    pub fn new(budget: Arc<Budget>, client: IpAddr) -> BufferCharge {
        BufferCharge { budget, client, charge: None }
    }

    /// Charges the client for a buffer of this size; false, and unchanged, if that is not available.
    pub fn reserve(&mut self, size: usize) -> bool {
        let size = size.next_multiple_of(STEP_BYTES);
        match &mut self.charge {
            Some(charge) => charge.grow_to(size),
            None => {
                self.charge = self.budget.try_charge(self.client, size);
                self.charge.is_some()
            }
        }
    }

    /// The buffer was released.
    pub fn release(&mut self) {
        self.charge = None;
    }

    /// The buffer, charged until the last reference to it is dropped.
    pub fn into_bytes(self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(ChargedBuffer { buffer, _charge: self })
    }
}

struct ChargedBuffer {
    buffer: Vec<u8>,
    _charge: BufferCharge,
}

impl AsRef<[u8]> for ChargedBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_charged_in_steps_until_it_is_released() {
        let budget = Budget::new(4 * STEP_BYTES);
        let mut buffer = BufferCharge::new(budget.clone(), [192, 0, 2, 1].into());
        assert!(buffer.reserve(1) && buffer.reserve(STEP_BYTES));
        assert_eq!(budget.used(), STEP_BYTES);
        assert!(buffer.reserve(STEP_BYTES + 1) && !buffer.reserve(2 * STEP_BYTES + 1));
        assert_eq!(budget.used(), 2 * STEP_BYTES);
        buffer.release();
        assert_eq!(budget.used(), 0);
        assert!(buffer.reserve(3));
        let bytes = buffer.into_bytes(b"abc".to_vec());
        let part = bytes.slice(1..);
        drop(bytes);
        assert_eq!((&part[..], budget.used()), (&b"bc"[..], STEP_BYTES));
        drop(part);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn one_client_may_take_half_and_beyond_that_its_share() {
        let budget = Budget::new(80);
        let [first, second]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        let mut half = budget.try_charge(first, 40).expect("nothing else is used");
        assert!(budget.try_charge(first, 1).is_none() && !half.grow_to(41));
        let share = budget.try_charge(second, 10).expect("the share of another client");
        assert!(budget.try_charge(second, 1).is_none());
        drop(half);
        assert_eq!(budget.used(), 10);
        drop(share);
        assert_eq!((budget.used(), budget.lock().by_client.len()), (0, 0));
    }
}
