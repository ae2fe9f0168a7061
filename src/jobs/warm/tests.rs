//! Warming in a tenant's name: what it may at the moment of the attempt, and nothing that it lost since it asked.

use std::path::Path;

use super::*;
use crate::auth::grant::Grant;
use crate::auth::{OperatorKey, Settings as AuthSettings};
use crate::base::names::{AccessKeyId, TenantId};
use crate::cache::Cache;
use crate::cache::settings::Settings as CacheSettings;
use crate::local::Local;
use crate::local::tests::{bucket_name, make_bucket, object_key, put, settings, tenant};
use crate::ops::Layers;
use crate::ops::through_cache::ThroughCache;
use crate::origin::Origin;
use crate::queue::{Job, Outcome, Phase, Queue, Settings as QueueSettings};
use crate::variants::Variants;
use crate::variants::settings::Settings as VariantSettings;

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":["s3:GetObject","tidegate:Warm"],"Resource":"arn:aws:s3:::media/*"},
    {"Effect":"Deny","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/run/secret*"}]}"#;

struct World {
    dir: tempfile::TempDir,
    local: Arc<Local>,
    queue: Queue,
    kind: Warm,
}

fn tenant_file(dir: &Path, policies: &str, enabled: bool) {
    let keys = format!("[{{ access_key = \"AKACME\", secret = {{ value = \"a-secret\" }}, enabled = {enabled} }}]");
    let text = format!("id = \"acme\"\npolicies = {policies}\nkeys = {keys}\n");
    std::fs::write(dir.join("policies/tenants/acme.toml"), text).unwrap();
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("policies/tenants")).unwrap();
        std::fs::write(dir.path().join("policies/warms.json"), POLICY).unwrap();
        tenant_file(dir.path(), "[\"warms\"]", true);
        let operator = OperatorKey::from_strings("AKOPERATOR", "operator-secret").unwrap();
        let auth = Auth::new(AuthSettings::default(), dir.path().join("policies"), operator).unwrap_or_else(|f| panic!("{f:?}"));
        let local = Local::open(settings(&dir.path().join("data"))).unwrap();
        make_bucket(&local, "media").await;
        for (name, size) in [("one", 10), ("run/a", 20), ("run/b", 30), ("run/secret", 40)] {
            put(&local, "media", name, &vec![1; size]).await.unwrap();
        }
        let cache = Cache::start(CacheSettings { dir: dir.path().join("cache"), ..CacheSettings::default() }).unwrap();
        let queue = Queue::open(QueueSettings { dir: dir.path().join("queue"), ..QueueSettings::default() }).unwrap();
        let variants = Variants::start(VariantSettings { dir: dir.path().join("variants"), ..VariantSettings::default() }).unwrap();
        let through = Arc::new(ThroughCache::new(Origin::of(local.clone()), cache.clone(), None));
        let ops = Ops::new(through.origin(), variants, queue.clone()).with_layers(Layers { cache: Some(cache), ..Layers::default() });
        World { kind: Warm { ops, auth: Arc::new(auth) }, queue, local, dir }
    }

    /// Asked for while it was allowed.
    async fn asked(&self, keys: &[&str], prefixes: &[&str], by: Option<&str>) {
        let media = bucket_name("media");
        let grant = |key: &str| Grant::for_test(Action::Warm, &tenant("acme"), Some(&media), Some(&object_key(key)));
        let keys: Vec<Grant> = keys.iter().map(|key| grant(key)).collect();
        let prefixes: Vec<Grant> = prefixes.iter().map(|prefix| grant(&format!("{prefix}*"))).collect();
        self.kind.ops.warm(&keys, &prefixes, by.map(|by| AccessKeyId::parse(by).unwrap())).await.unwrap();
    }

    fn changed(&self, policies: &str, enabled: bool) {
        tenant_file(self.dir.path(), policies, enabled);
        self.kind.auth.reload().unwrap_or_else(|f| panic!("{f:?}"));
    }

    /// One attempt of the job that waits, and the job as its tenant sees it.
    async fn run(&self) -> Job {
        let (jobs, _) = self.queue.claim(1, |_| u32::MAX, |_| u32::MAX, |_| u32::MAX).await.unwrap();
        let job = &jobs[0];
        assert_eq!(job.tenant, tenant("acme"));
        let live = self.queue.shared.begin(job.id, job.attempts);
        let attempt = self.queue.attempt(job.id, job.attempts, live).await.unwrap().unwrap();
        let outcome = match self.kind.run(&attempt).await {
            Ok(result) => Outcome::Done(result.map(|r| r.to_string())),
            Err(Fault::Retry { reason, .. }) => Outcome::Retry { reason, after: Duration::ZERO },
            Err(Fault::Dead { reason }) => Outcome::Dead { reason },
            Err(Fault::NotNow { after }) => Outcome::NotNow { after },
        };
        self.queue.shared.end(&job.id);
        self.queue.finish(job.id, job.attempts, outcome).await.unwrap()
    }

    async fn close(self) {
        self.queue.close();
        self.local.close();
    }
}

fn refused(job: &Job, why: &str) {
    let reason = job.reason.as_deref().unwrap_or_default();
    assert!(job.state.phase() == Phase::Dead && reason.starts_with("refused: ") && reason.contains(why), "{job:?}");
}

#[tokio::test]
async fn it_reads_what_its_tenant_may_read() {
    let world = World::new().await;
    world.asked(&["one", "none"], &["run/"], Some("AKACME")).await;
    let job = world.run().await;
    let result: serde_json::Value = serde_json::from_str(job.result.as_deref().unwrap()).unwrap();
    // `run/secret` lies under the prefix and is shut.
    assert_eq!(result, json!({ "objects": 3, "bytes": 60, "read": 60, "left_out": 2, "all": true }), "{job:?}");
    assert_eq!(job.asked_by.as_ref().map(|key| key.as_str()), Some("AKACME"));
    // As after a restart: who asked is stored.
    let stored = world.queue.get(job.id).await.unwrap().unwrap().job;
    assert_eq!((stored.tenant, stored.asked_by), (TenantId::parse("acme").unwrap(), job.asked_by));
    world.close().await;
}

#[tokio::test]
async fn what_was_lost_since_it_was_asked_is_lost() {
    let world = World::new().await;
    for _ in 0..3 {
        world.asked(&["one"], &["run/"], Some("AKACME")).await;
    }
    world.asked(&["one"], &[], None).await;
    world.changed("[\"warms\"]", false);
    refused(&world.run().await, "the access key AKACME that asked for it is disabled");
    world.changed("[]", true);
    refused(&world.run().await, "no right to tidegate:Warm media/one");
    std::fs::remove_file(world.dir.path().join("policies/tenants/acme.toml")).unwrap();
    world.kind.auth.reload().unwrap_or_else(|f| panic!("{f:?}"));
    refused(&world.run().await, "the tenant is gone");
    // A job of an older program tells no key: the tenant decides.
    world.changed("[\"warms\"]", false);
    assert_eq!(world.run().await.state.phase(), Phase::Done);
    world.close().await;
}
