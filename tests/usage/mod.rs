//! Usage for bills, of the real binary: who pays for what, the same sums everywhere, and kills in the middle of traffic.

mod kills;
mod limits;
mod sums;

use serde_json::Value;

use crate::support::binary::{self, Place, Running};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::signer::Key;

pub fn operator() -> Key {
    Key::new(binary::ACCESS, binary::SECRET)
}

pub fn acme() -> Key {
    Key::new("AKACME", "acme-secret-1")
}

pub fn bravo() -> Key {
    Key::new("AKBRAVO", "bravo-secret-1")
}

/// Two tenants, an access log in JSON, and prices.
pub fn place() -> Place {
    let place = Place::new();
    place.write(
        "gateway.toml",
        "[log]\naccess_file = \"access.log\"\naccess_format = \"json\"\n[prices]\ncurrency = \"USD\"\nput_1000 = \"0.005\"\nget_1000 = \"0.0004\"\n\
         out_s3_gb = \"0.09\"\nout_edge_gb = \"0.085\"\nstored_gb_month = \"0.023\"\n",
    );
    for key in [acme(), bravo()] {
        tenant(&place, &key);
    }
    place
}

pub fn tenant(place: &Place, key: &Key) {
    let id = key.access.strip_prefix("AK").unwrap().to_lowercase();
    let keys = format!("{{ access_key = \"{}\", secret = {{ value = \"{}\" }} }}", key.access, key.secret);
    place.write(&format!("policies/tenants/{id}.toml"), &format!("id = \"{id}\"\npolicies = [\"tenant-default\"]\nkeys = [{keys}]\n"));
}

pub fn api(running: &Running, key: &Key, path: &str, query: &[(&str, &str)]) -> Answer {
    let mut request = Request::new("GET", path);
    for (name, value) in query {
        request = request.query(name, value);
    }
    Client::new(running.s3).send(&request, Sign::Header(key))
}

/// By the command, which asks the running gateway.
pub fn usage(place: &Place, running: &Running, arguments: &[&str]) -> String {
    let mut command = place.command(&[&["usage"], arguments].concat());
    let output = command.env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn usage_json(place: &Place, running: &Running, arguments: &[&str]) -> Value {
    serde_json::from_str(&usage(place, running, &[arguments, &["--format", "json"]].concat())).unwrap()
}

/// Of one of the lines, by the names given.
pub fn line<'r>(report: &'r Value, names: &[(&str, &str)]) -> &'r Value {
    let lines = report["lines"].as_array().unwrap();
    lines.iter().find(|line| names.iter().all(|(name, value)| line[*name] == *value)).unwrap_or_else(|| panic!("{names:?} in {report:#}"))
}
