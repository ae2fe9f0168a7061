//! Limits of tenants and buckets that are near, or reached: told to webhooks, once for each time.

use serde_json::{Value, json};

use super::*;

/// What was told of limits: whether it was reached, of which bucket, and the data.
fn told(receiver: &Receiver) -> Vec<(String, Value, Value)> {
    let of_call = |call: &crate::support::webhook::Call| {
        let record = call.record();
        (call.name(), record["s3"]["bucket"]["name"].clone(), record["tidegate"]["data"].clone())
    };
    receiver.taken().iter().map(of_call).collect()
}

fn limit(name: &str, used: u64, of: u64) -> Value {
    json!({ "limit": name, "used": used, "of": of })
}

#[test]
fn limits_that_are_near_or_reached_are_told_of_once() {
    let receiver = Receiver::start();
    let rule =
        "[[event_rule]]\nname = \"limits\"\nwebhook = \"pipeline\"\nevents = [\"tidegate:Limit:Near\", \"tidegate:Limit:Reached\"]\n";
    let of_bucket = "[[bucket_limit]]\nbucket = \"few\"\nobjects = 5\negress_per_month = \"100000 B\"\n";
    let world = World::new(&format!("{}{rule}{of_bucket}", hook("pipeline", &receiver, "")));
    let file = "policies/tenants/acme.toml";
    let tenant = std::fs::read_to_string(world.place.path(file)).unwrap();
    world.place.write(file, &format!("{tenant}limits = {{ bytes = \"100000 B\", uploads = 1 }}\n"));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.make_bucket(&operator(), "few");
    let seen = |name: &str, bucket: Value, data: Value| {
        let name = format!("tidegate:Limit:{name}");
        until(&format!("{name} {data}"), || told(&receiver).contains(&(name.clone(), bucket.clone(), data.clone())));
    };
    // One upload at once is all there is.
    client.put(&acme(), "media", "a", &[b'x'; 70_000]).expect(200);
    seen("Reached", Value::Null, limit("uploads", 1, 1));
    // 80 %, and no second time while it stays there.
    client.put(&acme(), "media", "b", &[b'x'; 12_000]).expect(200);
    seen("Near", Value::Null, limit("bytes", 82_000, 100_000));
    client.put(&acme(), "media", "c", &[b'x'; 1000]).expect(200);
    // What does not fit is reached.
    client.put(&acme(), "media", "d", &[b'x'; 30_000]).refused(403, "QuotaExceeded");
    seen("Reached", Value::Null, limit("bytes", 83_000, 100_000));
    // A bucket's, whoever writes; told to its owner's webhooks.
    for n in 0..4 {
        client.put(&operator(), "few", &format!("acme/{n}"), b"x").expect(200);
    }
    seen("Near", json!("few"), limit("objects", 4, 5));
    client.put(&operator(), "few", "big", &[b'x'; 60_000]).expect(200);
    seen("Reached", json!("few"), limit("objects", 5, 5));
    client.get(&operator(), "few", "big").expect(200);
    client.get(&operator(), "few", "big").expect(200);
    until("egress is reached", || {
        told(&receiver).iter().any(|(name, _, data)| name.ends_with("Reached") && data["limit"] == "egress_per_month")
    });
    // Each was told once.
    let all = told(&receiver);
    for (name, limit) in
        [("Near", "bytes"), ("Reached", "bytes"), ("Near", "objects"), ("Reached", "objects"), ("Reached", "egress_per_month")]
    {
        let count = all.iter().filter(|(n, _, data)| n.ends_with(name) && data["limit"] == limit).count();
        assert_eq!(count, 1, "{name} {limit}: {all:?}");
    }
    assert!(running.stop().success());
}
