//! One question for a key at a time, however many wait for the answer. It is answered also if all who asked have left.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::base::error::Error;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::cache::fill::{again, interrupted};
use crate::cache::known_keys::Ticket;

type Key = (BucketName, ObjectKey);
type Outcome = Result<Option<SharedObject>, Arc<Error>>;
type Asked = HashMap<Key, (Ticket, watch::Receiver<Option<Outcome>>)>;

#[derive(Default, Clone)]
pub struct Flights(Arc<Mutex<Asked>>);

/// An answer that is on its way.
pub struct Flight(watch::Receiver<Option<Outcome>>);

impl Flight {
    pub async fn landed(mut self) -> Result<Option<SharedObject>, Error> {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => match &*outcome {
                Some(Ok(found)) => Ok(found.clone()),
                Some(Err(e)) => Err(again(e)),
                None => Err(interrupted()),
            },
            Err(_) => Err(interrupted()),
        }
    }
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the question that is on its way, unless the key was changed since; else `ask` is one.
    pub fn join<F>(&self, bucket: &BucketName, key: &ObjectKey, ticket: Ticket, ask: impl FnOnce(Ticket) -> F) -> Flight
    where
        F: Future<Output = Result<Option<SharedObject>, Error>> + Send + 'static,
    {
        let name = (bucket.clone(), key.clone());
        let mut flights = self.lock();
        if let Some((begun, answer)) = flights.get(&name)
            && begun.epoch == ticket.epoch
            && answer.has_changed().is_ok()
        {
            return Flight(answer.clone());
        }
        let (tell, answer) = watch::channel(None);
        flights.insert(name.clone(), (ticket, answer.clone()));
        drop(flights);
        let landing = Landing { flights: self.clone(), name, ticket };
        let asked = ask(ticket);
        tokio::spawn(async move {
            let outcome = asked.await.map_err(Arc::new);
            drop(landing);
            tell.send_replace(Some(outcome));
        });
        Flight(answer)
    }
}

struct Landing {
    flights: Flights,
    name: Key,
    ticket: Ticket,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        if flights.get(&self.name).is_some_and(|(ticket, _)| *ticket == self.ticket) {
            flights.remove(&self.name);
        }
    }
}
