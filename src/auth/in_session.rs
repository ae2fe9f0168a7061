//! A session of temporary credentials as requests carry it. Plain values: `session` makes them and opens them.

use std::fmt;
use std::sync::Arc;

use crate::auth::keys::AccessKey;
use crate::auth::policy::{OfSession, Policy};
use crate::auth::role::Role;
use crate::base::names::{AccessKeyId, TenantId};
use crate::base::timestamp::Timestamp;

/// A token that opened.
pub struct Session {
    pub tenant: TenantId,
    pub role: Option<Box<str>>,
    pub name: Box<str>,
    pub issued: Timestamp,
    pub expires: Timestamp,
    /// Of the session alone.
    pub policy: Option<Policy>,
    /// The key that asked for it. None: a token of another provider did.
    pub(super) by: Option<AccessKeyId>,
    pub(super) key: Arc<AccessKey>,
    /// As requests carry it: links in the session's name do too.
    pub(super) token: Box<str>,
    /// Which of the shared secrets it is sealed under.
    pub(super) secret: u8,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[session {} of {} {:?}]", self.name, self.tenant, self.role)
    }
}

/// A session that is good now, with its role as it is now.
#[derive(Debug, Clone)]
pub struct InSession {
    pub session: Arc<Session>,
    pub role: Option<Arc<Role>>,
}

impl InSession {
    /// What conditions may look at.
    pub fn facts(&self) -> OfSession<'_> {
        let Session { tenant, role, name, issued, .. } = &*self.session;
        OfSession { tenant, role: role.as_deref(), name, issued: *issued }
    }
}
