//! From method and path to what is asked of the admin door. Pure.

use http::Method;

use crate::cluster;
use crate::telemetry::audit::Kind;

/// What the operator tells the gateway to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    ListKeys,
    MakeKey,
    ChangeKey,
    RemoveKey,
    Snapshot,
    Sync,
    Repair,
    Backfill,
    Lifecycle,
    LastLifecycle,
    Usage,
    Stored,
    Recount,
    Reload,
    RotatePathTokens,
    Presign,
    Webhooks,
    DeadEvents,
    ReplayEvents,
    ForgetEvents,
    EncryptionKeys,
    RotateEncryption,
    ListTenants,
    MakeTenant,
    ChangeTenant,
    RemoveTenant,
    HeldGeneration,
    SpentOnGeneration,
    DecideGeneration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'p> {
    /// What another node tells, sealed in a way of its own.
    HearPeer,
    /// Another node wants blocks of the cache, which is sealed in the same way.
    GiveToPeer,
    Metrics,
    Health,
    Ready,
    /// With what follows its name.
    Console(&'p str),
    /// With what follows its name: the access key that it is about. None: there is no such command.
    Command(Option<Command>, &'p str),
    /// Nothing that the door has.
    Nothing,
}

pub fn route<'p>(method: &Method, path: &'p str) -> Operation<'p> {
    let command = match path {
        cluster::PATH => return Operation::HearPeer,
        cluster::BLOCKS_PATH => return Operation::GiveToPeer,
        "/metrics" => return Operation::Metrics,
        "/-/health" => return Operation::Health,
        "/-/ready" => return Operation::Ready,
        path if path.starts_with("/-/console") => return Operation::Console(path.strip_prefix("/-/console").unwrap_or_default()),
        path => path.strip_prefix("/-/admin/v1/"),
    };
    let Some(command) = command else { return Operation::Nothing };
    let (name, rest) = command.split_once('/').unwrap_or((command, ""));
    let command = match (method, name, rest) {
        (&Method::GET, "keys", "") => Some(Command::ListKeys),
        (&Method::POST, "keys", "") => Some(Command::MakeKey),
        (&Method::PATCH, "keys", _) => Some(Command::ChangeKey),
        (&Method::DELETE, "keys", _) => Some(Command::RemoveKey),
        (&Method::POST, "snapshot", "") => Some(Command::Snapshot),
        (&Method::POST, "sync", "") => Some(Command::Sync),
        (&Method::POST, "repair", "") => Some(Command::Repair),
        (&Method::POST, "backfill", "") => Some(Command::Backfill),
        (&Method::POST, "lifecycle", "") => Some(Command::Lifecycle),
        (&Method::GET, "lifecycle", "") => Some(Command::LastLifecycle),
        (&Method::POST, "usage", "") => Some(Command::Usage),
        (&Method::POST, "stored", "") => Some(Command::Stored),
        (&Method::POST, "recount", "") => Some(Command::Recount),
        (&Method::POST, "reload", "") => Some(Command::Reload),
        (&Method::POST, "path-tokens", "rotate") => Some(Command::RotatePathTokens),
        (&Method::POST, "presign", "") => Some(Command::Presign),
        (&Method::GET, "events", "") => Some(Command::Webhooks),
        (&Method::POST, "events", "dead") => Some(Command::DeadEvents),
        (&Method::POST, "events", "replay") => Some(Command::ReplayEvents),
        (&Method::POST, "events", "forget") => Some(Command::ForgetEvents),
        (&Method::GET, "encryption", "") => Some(Command::EncryptionKeys),
        (&Method::POST, "encryption", "rotate") => Some(Command::RotateEncryption),
        (&Method::GET, "tenants", "") => Some(Command::ListTenants),
        (&Method::POST, "tenants", "") => Some(Command::MakeTenant),
        (&Method::PATCH, "tenants", _) => Some(Command::ChangeTenant),
        (&Method::DELETE, "tenants", _) => Some(Command::RemoveTenant),
        (&Method::GET, "generation", "") => Some(Command::HeldGeneration),
        (&Method::POST, "generation", "spent") => Some(Command::SpentOnGeneration),
        (&Method::POST, "generation", _) => Some(Command::DecideGeneration),
        _ => None,
    };
    Operation::Command(command, rest)
}

impl Operation<'_> {
    /// The label of metrics with its place, and the access log's word. None: it counts as `unrouted`.
    pub fn names(self) -> Option<(usize, &'static str, &'static str)> {
        Some(match self {
            Operation::HearPeer => (0, "HearPeer", "ADMIN.POST.PEER"),
            Operation::GiveToPeer => (1, "GiveToPeer", "ADMIN.POST.BLOCKS"),
            Operation::Metrics => (2, "Metrics", "ADMIN.GET.METRICS"),
            Operation::Health => (3, "Health", "ADMIN.GET.HEALTH"),
            Operation::Ready => (4, "Ready", "ADMIN.GET.READY"),
            Operation::Command(Some(command), _) => {
                let (name, log_name) = command.names();
                (5 + command as usize, name, log_name)
            }
            Operation::Command(None, _) | Operation::Console(_) | Operation::Nothing => return None,
        })
    }
}

impl Operation<'_> {
    pub fn audited(self) -> Option<Kind> {
        let Operation::Command(command, _) = self else { return None };
        Some(match command? {
            Command::MakeKey | Command::ChangeKey | Command::RemoveKey | Command::RotatePathTokens | Command::RotateEncryption => Kind::Key,
            Command::Reload | Command::MakeTenant | Command::ChangeTenant | Command::RemoveTenant => Kind::Tenant,
            Command::Snapshot | Command::Sync | Command::Repair | Command::Backfill | Command::Lifecycle | Command::Recount => {
                Kind::Setting
            }
            Command::ReplayEvents | Command::ForgetEvents | Command::DecideGeneration => Kind::Setting,
            // What signs a link says so itself.
            Command::Presign => return None,
            Command::ListKeys | Command::ListTenants | Command::LastLifecycle | Command::Usage | Command::Stored => return None,
            Command::Webhooks | Command::DeadEvents | Command::EncryptionKeys => return None,
            Command::HeldGeneration | Command::SpentOnGeneration => return None,
        })
    }
}

impl Command {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Command::ListKeys => ("ListKeys", "ADMIN.GET.KEYS"),
            Command::MakeKey => ("MakeKey", "ADMIN.POST.KEYS"),
            Command::ChangeKey => ("ChangeKey", "ADMIN.PATCH.KEY"),
            Command::RemoveKey => ("RemoveKey", "ADMIN.DELETE.KEY"),
            Command::Snapshot => ("Snapshot", "ADMIN.POST.SNAPSHOT"),
            Command::Sync => ("Sync", "ADMIN.POST.SYNC"),
            Command::Repair => ("Repair", "ADMIN.POST.REPAIR"),
            Command::Backfill => ("Backfill", "ADMIN.POST.BACKFILL"),
            Command::Lifecycle => ("Lifecycle", "ADMIN.POST.LIFECYCLE"),
            Command::LastLifecycle => ("LastLifecycle", "ADMIN.GET.LIFECYCLE"),
            Command::Usage => ("GetUsage", "ADMIN.POST.USAGE"),
            Command::Stored => ("GetStored", "ADMIN.POST.STORED"),
            Command::Recount => ("Recount", "ADMIN.POST.RECOUNT"),
            Command::Reload => ("Reload", "ADMIN.POST.RELOAD"),
            Command::RotatePathTokens => ("RotatePathTokens", "ADMIN.POST.PATH_TOKENS"),
            Command::Presign => ("Presign", "ADMIN.POST.PRESIGN"),
            Command::Webhooks => ("GetWebhooks", "ADMIN.GET.EVENTS"),
            Command::DeadEvents => ("ListDeadEvents", "ADMIN.POST.EVENTS_DEAD"),
            Command::ReplayEvents => ("ReplayEvents", "ADMIN.POST.EVENTS_REPLAY"),
            Command::ForgetEvents => ("ForgetEvents", "ADMIN.POST.EVENTS_FORGET"),
            Command::EncryptionKeys => ("GetEncryptionKeys", "ADMIN.GET.ENCRYPTION"),
            Command::RotateEncryption => ("RotateEncryptionKey", "ADMIN.POST.ENCRYPTION_ROTATE"),
            Command::ListTenants => ("ListTenants", "ADMIN.GET.TENANTS"),
            Command::MakeTenant => ("MakeTenant", "ADMIN.POST.TENANTS"),
            Command::ChangeTenant => ("ChangeTenant", "ADMIN.PATCH.TENANT"),
            Command::RemoveTenant => ("RemoveTenant", "ADMIN.DELETE.TENANT"),
            Command::HeldGeneration => ("ListHeldGeneration", "ADMIN.GET.GENERATION"),
            Command::SpentOnGeneration => ("GetSpentOnGeneration", "ADMIN.POST.GENERATION_SPENT"),
            Command::DecideGeneration => ("DecideGeneration", "ADMIN.POST.GENERATION"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_to_operations() {
        let all = [
            (Method::POST, cluster::PATH, Operation::HearPeer),
            (Method::POST, cluster::BLOCKS_PATH, Operation::GiveToPeer),
            (Method::GET, "/metrics", Operation::Metrics),
            (Method::GET, "/-/health", Operation::Health),
            (Method::GET, "/-/ready", Operation::Ready),
            (Method::GET, "/-/admin/v1/keys", Operation::Command(Some(Command::ListKeys), "")),
            (Method::POST, "/-/admin/v1/keys", Operation::Command(Some(Command::MakeKey), "")),
            (Method::PATCH, "/-/admin/v1/keys/AK", Operation::Command(Some(Command::ChangeKey), "AK")),
            (Method::DELETE, "/-/admin/v1/keys/AK", Operation::Command(Some(Command::RemoveKey), "AK")),
            (Method::POST, "/-/admin/v1/snapshot", Operation::Command(Some(Command::Snapshot), "")),
            (Method::POST, "/-/admin/v1/sync", Operation::Command(Some(Command::Sync), "")),
            (Method::POST, "/-/admin/v1/repair", Operation::Command(Some(Command::Repair), "")),
            (Method::POST, "/-/admin/v1/backfill", Operation::Command(Some(Command::Backfill), "")),
            (Method::POST, "/-/admin/v1/lifecycle", Operation::Command(Some(Command::Lifecycle), "")),
            (Method::GET, "/-/admin/v1/lifecycle", Operation::Command(Some(Command::LastLifecycle), "")),
            (Method::POST, "/-/admin/v1/usage", Operation::Command(Some(Command::Usage), "")),
            (Method::POST, "/-/admin/v1/stored", Operation::Command(Some(Command::Stored), "")),
            (Method::POST, "/-/admin/v1/recount", Operation::Command(Some(Command::Recount), "")),
            (Method::POST, "/-/admin/v1/reload", Operation::Command(Some(Command::Reload), "")),
            (Method::POST, "/-/admin/v1/path-tokens/rotate", Operation::Command(Some(Command::RotatePathTokens), "rotate")),
            (Method::POST, "/-/admin/v1/presign", Operation::Command(Some(Command::Presign), "")),
            (Method::GET, "/-/admin/v1/events", Operation::Command(Some(Command::Webhooks), "")),
            (Method::POST, "/-/admin/v1/events/dead", Operation::Command(Some(Command::DeadEvents), "dead")),
            (Method::POST, "/-/admin/v1/events/replay", Operation::Command(Some(Command::ReplayEvents), "replay")),
            (Method::POST, "/-/admin/v1/events/forget", Operation::Command(Some(Command::ForgetEvents), "forget")),
            (Method::GET, "/-/admin/v1/encryption", Operation::Command(Some(Command::EncryptionKeys), "")),
            (Method::POST, "/-/admin/v1/encryption/rotate", Operation::Command(Some(Command::RotateEncryption), "rotate")),
            (Method::GET, "/-/admin/v1/tenants", Operation::Command(Some(Command::ListTenants), "")),
            (Method::POST, "/-/admin/v1/tenants", Operation::Command(Some(Command::MakeTenant), "")),
            (Method::PATCH, "/-/admin/v1/tenants/acme", Operation::Command(Some(Command::ChangeTenant), "acme")),
            (Method::DELETE, "/-/admin/v1/tenants/acme", Operation::Command(Some(Command::RemoveTenant), "acme")),
            (Method::GET, "/-/admin/v1/generation", Operation::Command(Some(Command::HeldGeneration), "")),
            (Method::POST, "/-/admin/v1/generation/spent", Operation::Command(Some(Command::SpentOnGeneration), "spent")),
            (Method::POST, "/-/admin/v1/generation/JOB", Operation::Command(Some(Command::DecideGeneration), "JOB")),
        ];
        for (n, (method, path, operation)) in all.iter().enumerate() {
            assert_eq!(route(method, path), *operation, "{path}");
            assert_eq!(operation.names().map(|names| names.0), Some(n), "each has a place of its own");
        }
        for (method, path) in [
            (Method::GET, "/-/admin/v1/"),
            (Method::GET, "/-/admin/v1/sync"),
            (Method::POST, "/-/admin/v1/sync/x"),
            (Method::POST, "/-/admin/v1/path-tokens"),
        ] {
            assert!(matches!(route(&method, path), Operation::Command(None, _)), "{path}");
        }
        for path in ["/", "/-/", "/-/healthy", "/metrics/"] {
            assert_eq!(route(&Method::GET, path), Operation::Nothing, "{path}");
        }
    }
}
