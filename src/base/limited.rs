//! What can be limited of a tenant or a bucket, and the one error that says that a limit is reached.

use super::error::{Error, ErrorKind};
use super::listed::listed;

listed! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum Limited {
        Bytes,
        Objects,
        RequestsPerSecond,
        Uploads,
        EgressPerMonth,
    }
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Tenant,
    Bucket,
}

/// Elements of the error document.
const LIMIT: &str = "Limit";
const LIMIT_OF: &str = "LimitOf";

impl Limited {
    /// As in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Limited::Bytes => "bytes",
            Limited::Objects => "objects",
            Limited::RequestsPerSecond => "requests_per_second",
            Limited::Uploads => "uploads",
            Limited::EgressPerMonth => "egress_per_month",
        }
    }

    pub fn exceeded(self, scope: Scope) -> Error {
        let whose = scope.name();
        let (kind, text) = match self {
            Limited::Bytes => (ErrorKind::QuotaExceeded, format!("The {whose}'s limit of stored bytes would be exceeded.")),
            Limited::Objects => (ErrorKind::QuotaExceeded, format!("The {whose}'s limit of objects would be exceeded.")),
            Limited::RequestsPerSecond => {
                (ErrorKind::SlowDown, format!("Please reduce your request rate: the {whose}'s limit of requests per second is reached."))
            }
            Limited::Uploads => {
                (ErrorKind::SlowDown, format!("Please reduce your uploads: the {whose}'s limit of uploads at once is reached."))
            }
            Limited::EgressPerMonth => (
                ErrorKind::QuotaExceeded,
                format!("The {whose}'s limit of bytes that go out in a month is reached. It begins anew with the next month of UTC."),
            ),
        };
        Error::new(kind, text).detail(LIMIT, self.name()).detail(LIMIT_OF, whose)
    }

    /// Which limit the error tells of.
    pub fn told_by(e: &Error) -> Option<(Scope, Limited)> {
        let detail = |name: &str| e.details().iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
        let limited = detail(LIMIT).and_then(|name| Limited::ALL.into_iter().find(|limited| limited.name() == name))?;
        let scope = [Scope::Tenant, Scope::Bucket].into_iter().find(|scope| Some(scope.name()) == detail(LIMIT_OF))?;
        Some((scope, limited))
    }
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Scope::Tenant => "tenant",
            Scope::Bucket => "bucket",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_which_limit() {
        for limited in Limited::ALL {
            for scope in [Scope::Tenant, Scope::Bucket] {
                let e = limited.exceeded(scope);
                assert!(e.message().contains(scope.name()));
                assert_eq!(Limited::told_by(&e), Some((scope, limited)));
            }
        }
        assert_eq!(Limited::told_by(&Error::new(ErrorKind::SlowDown, "Others.")), None);
    }
}
