//! What the nodes tell each other: each its flows, in a record of its own; and what recounts found, in one for all.
//!
//! A recount has rounds: the node that counts names the next one, and every node that hears of it tells anew, with that number. So it knows
//! that what they did before is in what they told.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Tally, View};
use crate::base::error::{Error, ErrorKind, Result};
use crate::ops::tally::flows::Flows;
use crate::ops::tally::shelf::Over;
use crate::ops::tally::stored::{Base, NodeRecord, decode, encode};

const NODES: &str = "nodes/";
pub const BASE: &str = "base";
const ROUND: &str = "round";

impl Tally {
    /// At the start: what went on while this node did not run.
    pub(super) async fn take_up(&self) -> Result<()> {
        let own = self.0.shelf.read(&self.own_name()).await?.map(|posted| decode::<NodeRecord>(&posted.text)).transpose()?;
        let base = self.base().await?;
        self.hear_what_was_counted(own, &base);
        self.kept().await?;
        self.take_up_ceilings().await?;
        self.give_back_all().await?;
        self.look().await
    }

    fn hear_what_was_counted(&self, own: Option<NodeRecord>, base: &Base) {
        let mut books = self.books();
        let state = &mut books.state;
        // It was counted without what this node had not told, and saw it all.
        if state.heard < base.round {
            let told = own.map(|own| own.flows.into_iter().collect::<Flows>()).unwrap_or_default();
            state.take_back(told);
        }
        state.hear(base.round);
        books.settle_by(base);
    }

    /// Hears the others and tells them, again and again; runs until it is aborted.
    pub async fn keep_telling(self, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(e) = self.tell().await {
                tracing::warn!(error = %e, "the other nodes can't be told what is stored by this one; it is tried again");
            }
        }
    }

    pub async fn tell(&self) -> Result<()> {
        let mut told = self.0.telling.lock().await;
        let round = self.round().await?;
        let base = self.base().await?;
        let (record, is_settled) = {
            let mut books = self.books();
            books.state.hear(round);
            let is_settled = books.settle_by(&base);
            let record = NodeRecord {
                heard: books.state.heard,
                flows: books.state.flows.iter().map(|(spot, flow)| (spot.clone(), *flow)).collect(),
                doubts: books.state.doubts(),
            };
            (record, is_settled)
        };
        self.see(|view| View { base, others: view.others.clone() });
        if told.record.as_ref() != Some(&record) {
            // What others go by stays so, whatever happens here.
            self.kept().await?;
            self.0.shelf.write(&self.own_name(), encode(&record)?, Over::Anything).await?;
            told.record = Some(record);
        }
        drop(told);
        self.books().heard = Some(Instant::now());
        if is_settled { self.give_back_all().await } else { self.give_back_idle().await }
    }

    /// Before the end: what is held goes back.
    pub async fn end(&self) -> Result<()> {
        self.tell().await?;
        self.give_back_all().await?;
        self.kept().await
    }

    /// Reads what the others told.
    pub(super) async fn look(&self) -> Result<()> {
        let base = self.base().await?;
        let others = self.nodes().await?.into_iter().filter(|(name, _)| *name != self.0.node).collect();
        self.see(|_| View { base, others });
        self.books().looked = Some(Instant::now());
        Ok(())
    }

    pub(super) async fn nodes(&self) -> Result<BTreeMap<String, NodeRecord>> {
        let all = self.0.shelf.all(NODES).await?;
        all.into_iter().map(|(name, text)| Ok((name, decode(&text)?))).collect()
    }

    pub(super) async fn base(&self) -> Result<Base> {
        Ok(self.0.shelf.read(BASE).await?.map(|posted| decode(&posted.text)).transpose()?.unwrap_or_default())
    }

    async fn round(&self) -> Result<u32> {
        Ok(self.0.shelf.read(ROUND).await?.map(|posted| decode(&posted.text)).transpose()?.unwrap_or_default())
    }

    /// Names the next round.
    pub(super) async fn next_round(&self) -> Result<u32> {
        let posted = self.0.shelf.read(ROUND).await?;
        let round = posted.as_ref().map(|posted| decode::<u32>(&posted.text)).transpose()?.unwrap_or_default() + 1;
        match self.0.shelf.write(ROUND, encode(&round)?, Over::the(posted.as_ref())).await? {
            true => Ok(round),
            false => Err(Error::new(ErrorKind::OperationAborted, "Another node counts what is stored at the moment.")),
        }
    }

    fn see(&self, with: impl FnOnce(&View) -> View) {
        let mut view = self.0.view.write().unwrap_or_else(PoisonError::into_inner);
        *view = Arc::new(with(&view));
    }

    pub(super) fn own_name(&self) -> String {
        format!("{NODES}{}", self.0.node)
    }
}
