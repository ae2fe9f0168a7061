//! Events over a shared S3: each node tells of its own writes, by what any of them was configured with, also when it is killed in between.

use super::*;
use crate::support::webhook::{Manner, Receiver};

const SECRET_TEXT: &str = "the-secret-of-the-hook";

#[test]
fn each_node_tells_of_what_it_wrote() {
    let receiver = Receiver::start();
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("hook");
    std::fs::write(&file, SECRET_TEXT).unwrap();
    let table = format!(
        "[[webhook]]\nname = \"pipeline\"\nurl = \"{}\"\nsecrets = [{{ file = {file:?} }}]\nlocal = true\ntimeout = \"1s\"\n",
        receiver.url()
    );
    let limit = "[[bucket_limit]]\nbucket = \"media\"\nobjects = 50\n[usage]\nlimit_near = 10\n";
    let rule = "[[event_rule]]\nname = \"limits\"\nwebhook = \"pipeline\"\nevents = [\"tidegate:Limit:Near\"]\n";
    let mut world = World::new(2, &format!("{table}{rule}{limit}"));
    let events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"].map(|event| format!("<Event>{event}</Event>")).concat();
    let document = format!(
        "<NotificationConfiguration><TopicConfiguration><Id>all</Id><Topic>arn:aws:sns:::pipeline</Topic>{events}</TopicConfiguration>\
         </NotificationConfiguration>"
    );
    let request = Request::new("PUT", "/media").query("notification", "").body(document);
    world.client(0).send(&request, Sign::Header(&operator())).expect(200);
    until("the other node knows it", || {
        let read = Request::new("GET", "/media").query("notification", "");
        world.client(1).send(&read, Sign::Header(&operator())).text().contains("pipeline")
    });
    receiver.behave(Manner::Status(503));
    for n in 0..10 {
        for node in 0..2 {
            world.client(node).put(&operator(), "media", &format!("n{node}-{}", n % 3), format!("{n}").as_bytes()).expect(200);
        }
    }
    world.client(1).delete(&operator(), "media", "n1-0").expect(204);
    world.kill(1);
    receiver.behave(Manner::Status(200));
    world.start(1);
    let taken = |receiver: &Receiver| {
        let mut taken = receiver.taken();
        let mut seen = std::collections::HashSet::new();
        taken.retain(|call| call.name().starts_with("Object") && seen.insert(call.header("webhook-id").to_owned()));
        taken
    };
    until("all are told of", || taken(&receiver).len() >= 21);
    until("the bucket's limit is near", || {
        receiver.taken().iter().any(|call| {
            let data = &call.record()["tidegate"]["data"];
            call.name() == "tidegate:Limit:Near" && (&data["limit"], &data["of"]) == (&"objects".into(), &50.into())
        })
    });
    for node in 0..2 {
        for key in 0..3 {
            let key = format!("n{node}-{key}");
            let told: Vec<_> = taken(&receiver).into_iter().filter(|call| call.key() == key).collect();
            assert!(told.windows(2).all(|two| two[0].sequencer() < two[1].sequencer()), "{key}");
            assert!(told.iter().all(|call| call.is_signed_with(SECRET_TEXT.as_bytes())));
            let removed = told.iter().filter(|call| call.name() == "ObjectRemoved:Delete").count();
            assert_eq!(removed, usize::from(key == "n1-0"));
        }
    }
}
