//! Who may watch whose events.

use tokio::sync::watch;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::ops::events::hub::Reader;
use crate::ops::{Ops, wrong_grant};

impl Ops {
    /// A tenant watches its own, whatever it asks for; the operator the tenant's that it names. With what becomes true when the gateway stops.
    pub fn watch_events(&self, grant: &Grant, tenant: Option<TenantId>, after: Option<&str>) -> Result<(Reader, watch::Receiver<bool>)> {
        if grant.action() != Action::WatchEvents {
            return Err(wrong_grant(grant, Action::WatchEvents));
        }
        let own = grant.tenant();
        let tenant = tenant.filter(|_| own.is_operator()).unwrap_or_else(|| own.clone());
        Ok((self.events()?.hub().watch(&tenant, after)?, self.jobs.stopping()))
    }
}
