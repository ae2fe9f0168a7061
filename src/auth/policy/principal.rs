//! Whom a statement of a bucket policy speaks of.

use crate::auth::policy::json::Json;
use crate::base::names::TenantId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principals {
    /// `*`: anyone, known or not.
    everyone: bool,
    tenants: Vec<TenantId>,
    /// The service that brings a bucket's logs. No caller is it.
    log_delivery: bool,
}

/// The one service that is known here.
const LOG_DELIVERY: &str = "logging.s3.amazonaws.com";

impl Principals {
    /// The forms: `"*"`, `{"AWS": …}`, `{"CanonicalUser": …}`, `{"Service": …}`, each one name or a list. Faults go to `fault`, with
    /// the place under the statement's `Principal`.
    pub fn compile(value: &Json, mut fault: impl FnMut(String, String)) -> Self {
        let mut tenants = Vec::new();
        let (mut everyone, mut log_delivery) = (false, false);
        match value {
            Json::Text(s) if s == "*" => everyone = true,
            Json::Object(entries) if !entries.is_empty() => {
                for (kind, names) in entries {
                    let parse: fn(&str) -> Option<TenantId> = match kind.as_str() {
                        "AWS" => parse_aws,
                        "CanonicalUser" => |s| TenantId::parse(s).ok(),
                        "Service" if names.items().iter().all(|name| name.as_text() == Some(LOG_DELIVERY)) => {
                            log_delivery = true;
                            continue;
                        }
                        "Service" => {
                            fault(kind.clone(), format!("the only service known here is {LOG_DELIVERY}"));
                            continue;
                        }
                        _ => {
                            fault(kind.clone(), "only AWS, CanonicalUser and Service principals are known here".into());
                            continue;
                        }
                    };
                    if names.items().is_empty() {
                        fault(kind.clone(), "the list is empty".into());
                    }
                    for (i, name) in names.items().iter().enumerate() {
                        match name.as_text() {
                            Some("*") if kind == "AWS" => everyone = true,
                            Some(s) => match parse(s) {
                                Some(t) => tenants.push(t),
                                None => fault(format!("{kind}[{i}]"), format!("invalid principal {s:?}: {EXPECTED}")),
                            },
                            None => fault(format!("{kind}[{i}]"), format!("a string is needed here, not {}", name.kind())),
                        }
                    }
                }
            }
            _ => fault(String::new(), format!("invalid principal: {EXPECTED}")),
        }
        Principals { everyone, tenants, log_delivery }
    }

    pub fn are_everyone(&self) -> bool {
        self.everyone
    }

    /// `None` is the anonymous caller.
    pub fn include(&self, tenant: Option<&TenantId>) -> bool {
        self.everyone || tenant.is_some_and(|t| self.tenants.contains(t))
    }

    /// Whether the service that brings logs is named, and not only one of everyone.
    pub fn name_log_delivery(&self) -> bool {
        self.log_delivery
    }
}

const EXPECTED: &str = "\"*\", a tenant id, arn:aws:iam::TENANT:root or arn:aws:iam:::user/TENANT are known here";

/// A bare id, or an ARN that means the whole tenant. Users and roles inside a tenant do not exist here: a statement for one of
/// them must not become one for all of its tenant.
fn parse_aws(s: &str) -> Option<TenantId> {
    let Some(arn) = s.strip_prefix("arn:") else { return TenantId::parse(s).ok() };
    let mut fields = arn.splitn(5, ':');
    let (_partition, service, region, account, resource) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    if service != "iam" || !region.is_empty() {
        return None;
    }
    match (account, resource) {
        (account, "root") => TenantId::parse(account).ok(),
        (account, user) => {
            let user = user.strip_prefix("user/")?;
            (account.is_empty() || account == user).then(|| TenantId::parse(user).ok())?
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str) -> Result<Principals, Vec<String>> {
        let mut faults = Vec::new();
        let p = Principals::compile(&Json::parse(json.as_bytes()).unwrap(), |at, m| faults.push(format!("{at}: {m}")));
        if faults.is_empty() { Ok(p) } else { Err(faults) }
    }

    #[test]
    fn forms() {
        let acme = TenantId::parse("acme").unwrap();
        let other = TenantId::parse("other").unwrap();
        for (json, anonymous, other_in) in [
            (r#""*""#, true, true),
            (r#"{"AWS":"*"}"#, true, true),
            (r#"{"AWS":"acme"}"#, false, false),
            (r#"{"AWS":"arn:aws:iam::acme:root"}"#, false, false),
            (r#"{"AWS":"arn:aws:iam:::user/acme"}"#, false, false),
            (r#"{"AWS":["acme","other"]}"#, false, true),
            (r#"{"CanonicalUser":"acme"}"#, false, false),
            (r#"{"AWS":"acme","Service":"logging.s3.amazonaws.com"}"#, false, false),
        ] {
            let p = compile(json).unwrap();
            assert!(p.include(Some(&acme)), "{json}");
            assert_eq!(p.include(None), anonymous, "{json}");
            assert_eq!(p.include(Some(&other)), other_in, "{json}");
        }
    }

    #[test]
    fn a_service_is_no_caller() {
        let service = compile(r#"{"Service":"logging.s3.amazonaws.com"}"#).unwrap();
        assert!(service.name_log_delivery() && !service.are_everyone());
        assert!(!service.include(None) && !service.include(Some(&TenantId::parse("acme").unwrap())));
        assert!(!compile(r#"{"AWS":"*"}"#).unwrap().name_log_delivery());
    }

    #[test]
    fn what_would_widen_is_refused() {
        for json in [
            r#""acme""#,
            r#"{}"#,
            r#"{"AWS":[]}"#,
            r#"{"Service":"x.amazonaws.com"}"#,
            r#"{"AWS":"arn:aws:iam::acme:user/bob"}"#,
            r#"{"AWS":"arn:aws:iam::acme:role/x"}"#,
            r#"{"AWS":"ac*"}"#,
            r#"{"CanonicalUser":"*"}"#,
            r#"{"AWS":5}"#,
            r#"null"#,
        ] {
            assert!(compile(json).is_err(), "{json}");
        }
    }
}
