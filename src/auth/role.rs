//! Roles that tenants and holders of other providers' tokens take for a time, and those providers. Plain values, made by `roles`.

use std::sync::Arc;

use crate::auth::policy::Policy;
use crate::auth::policy::pattern::Pattern;
use crate::auth::policy::text::Text;
use crate::auth::web_identity::Claims;
use crate::base::names::TenantId;

/// Whose a session under the role is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    Tenant(TenantId),
    /// The tenant that this claim of the token names.
    Claim(Box<str>),
}

#[derive(Debug)]
pub struct Role {
    pub name: Box<str>,
    pub owner: Owner,
    /// In place of the tenant's own, and at most that: nothing else opens more to a session.
    pub policies: Vec<Arc<Policy>>,
    pub max_seconds: u64,
    /// Who may take it by an access key.
    pub tenants: Vec<TenantId>,
    /// Who may by a token.
    pub web: Vec<WebTrust>,
}

/// Tokens of one provider that say what is wanted of them: each claim one of its patterns.
#[derive(Debug)]
pub struct WebTrust {
    pub issuer: Box<str>,
    pub claims: Vec<(Box<str>, Vec<Pattern>)>,
}

/// One that signs tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    pub issuer: Box<str>,
    /// For whom a token may be.
    pub audiences: Vec<String>,
    /// Where its keys are. None: where it says itself.
    pub keys_url: Option<Box<str>>,
    /// It may be asked at addresses that are not public, and without TLS.
    pub local: bool,
}

impl Role {
    /// The tenant of a session by a token that says this; None: the role is not for it.
    pub fn tenant_by(&self, issuer: &str, claims: &Claims) -> Option<TenantId> {
        let trusts = self.web.iter().any(|trust| *trust.issuer == *issuer && trust.holds(claims));
        match &self.owner {
            _ if !trusts => None,
            Owner::Tenant(tenant) => Some(tenant.clone()),
            Owner::Claim(name) => match claims.texts(name).as_slice() {
                [one] => TenantId::parse(one).ok().filter(|t| !t.is_operator() && *t != TenantId::anonymous()),
                _ => None,
            },
        }
    }

    /// The tenant of a session that `tenant` asks for with its key.
    pub fn tenant_for(&self, tenant: &TenantId) -> Option<TenantId> {
        match &self.owner {
            Owner::Tenant(owner) if tenant.is_operator() || self.tenants.contains(tenant) => Some(owner.clone()),
            Owner::Tenant(_) | Owner::Claim(_) => None,
        }
    }
}

impl WebTrust {
    fn holds(&self, claims: &Claims) -> bool {
        let fits = |value: &String, patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(Text::from(value.as_str()), None));
        !self.claims.is_empty() && self.claims.iter().all(|(name, patterns)| claims.texts(name).iter().any(|value| fits(value, patterns)))
    }
}
