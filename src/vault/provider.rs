//! A provider: its file, read and looked through.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use http::Uri;

use crate::base::layout::artifact_type_of;
use crate::base::timestamp::Timestamp;
use crate::vault::file::{Example, File, Model};
use crate::vault::sign::Signer;
use crate::vault::step::Step;

const MAX_FILE_BYTES: u64 = 1024 * 1024;

#[derive(Debug)]
pub struct Provider {
    pub name: String,
    pub models: Vec<Arc<Model>>,
    pub signer: Signer,
    pub examples: Vec<Example>,
    steps: BTreeMap<String, Step>,
    /// That see the key: `host` or `host:port`.
    hosts: Vec<String>,
    retired_after: Option<Timestamp>,
}

impl Provider {
    pub fn load(path: &Path) -> Result<Self, Vec<String>> {
        let told = |e: String| vec![format!("{}: {e}", path.display())];
        let length = std::fs::metadata(path).map_err(|e| told(e.to_string()))?.len();
        if length > MAX_FILE_BYTES {
            return Err(told("it is larger than 1 MiB".into()));
        }
        let text = std::fs::read_to_string(path).map_err(|e| told(e.to_string()))?;
        let provider = Provider::parse(&text, path.parent().unwrap_or(Path::new("")));
        provider.map_err(|faults| faults.into_iter().map(|fault| format!("{}: {fault}", path.display())).collect())
    }

    /// `folder`: where files of keys are looked for.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Vec<String>> {
        let file: File = toml::from_str(text).map_err(|e| vec![e.to_string()])?;
        let mut faults = Vec::new();
        let mut note = |fault: String| faults.push(fault);
        let is_name = !file.name.is_empty() && file.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !is_name {
            note(format!("name: expected lower case letters, digits and hyphens, found {:?}", file.name));
        }
        let mut steps = BTreeMap::new();
        for (name, step) in &file.step {
            match Step::parse(name, step, &file.rule) {
                Ok(step) => drop(steps.insert(name.clone(), step)),
                Err(e) => note(e),
            }
        }
        for model in &file.model {
            check_model(model, &file).into_iter().for_each(&mut note);
        }
        let signer = Signer::new(&file.auth, &file.keys, folder).map_err(&mut note).ok();
        let retired_after = day(file.retired_after.as_deref()).map_err(&mut note).ok().flatten();
        let mut hosts = file.hosts.clone();
        for address in steps.values().flat_map(Step::addresses).filter(|address| !address.is_empty()) {
            match host_of(address) {
                Some(host) if !hosts.contains(&host) => hosts.push(host),
                Some(_) => {}
                None => note(format!("{address:?} begins like no address")),
            }
        }
        match signer {
            Some(signer) if faults.is_empty() => {
                let models = file.model.into_iter().map(Arc::new).collect();
                Ok(Provider { name: file.name, models, signer, examples: file.example, steps, hosts, retired_after })
            }
            _ => Err(faults),
        }
    }

    /// The steps of a model, in order.
    pub fn steps_of<'p>(&'p self, model: &'p Model) -> impl Iterator<Item = &'p Step> {
        model.steps.iter().filter_map(|name| self.steps.get(name))
    }

    /// Whether the address is one of its own: those alone are shown the key.
    pub fn is_own(&self, url: &str) -> bool {
        host_of(url).is_some_and(|host| self.hosts.contains(&host))
    }

    pub fn is_retired(&self, now: Timestamp) -> bool {
        self.retired_after.is_some_and(|at| at <= now)
    }

    pub fn is_model_retired(&self, model: &Model, now: Timestamp) -> bool {
        day(model.retired_after.as_deref()).ok().flatten().is_some_and(|at| at <= now)
    }
}

fn check_model(model: &Model, file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    let mut note = |fault: String| faults.push(format!("model {}: {fault}", model.name));
    if model.name.is_empty() || model.steps.is_empty() || model.inputs.is_empty() {
        note("expected a name, steps and inputs".into());
    }
    for step in model.steps.iter().filter(|step| !file.step.contains_key(*step)) {
        note(format!("there is no step {step:?}"));
    }
    let last = model.steps.last().and_then(|step| file.step.get(step));
    if last.is_some_and(|step| step.result.is_empty()) {
        note("its last step has no result".into());
    }
    let artifacts = last.iter().flat_map(|step| &step.result).filter_map(|result| result.artifact.as_deref());
    for artifact in artifacts.filter(|artifact| artifact_type_of(artifact).is_none()) {
        note(format!("{artifact:?} is no artifact type"));
    }
    for cost in [model.cost.request, model.cost.second] {
        if !cost.is_finite() || cost < 0.0 {
            note("cost: expected dollars".into());
        }
    }
    if let Err(e) = day(model.retired_after.as_deref()) {
        note(e);
    }
    if file.model.iter().filter(|other| other.name == model.name).count() > 1 {
        note("it is there twice".into());
    }
    faults
}

fn day(text: Option<&str>) -> Result<Option<Timestamp>, String> {
    let parse = |text: &str| {
        Timestamp::parse_iso8601(&format!("{text}T00:00:00Z"))
            .ok_or_else(|| format!("retired_after: {text:?} is no day such as 2027-06-01"))
    };
    text.map(parse).transpose()
}

/// With its port, where one is written.
fn host_of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    matches!(scheme, "https" | "http").then(|| authority.as_str().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        name = "maker"
        auth = { kind = "header", name = "authorization", value = "Bearer {key}" }
        keys = { key = { env = "MAKER_KEY" } }
        [[model]]
        name = "m1"
        kind = "image"
        steps = ["make"]
        cost = { request = 0.04 }
        [step.make]
        submit = { url = "https://api.maker.example/v1/make", body = { prompt = "{prompt}" } }
        result = [{ from = "url", at = "$.url" }]
    "#;

    #[test]
    fn hosts_are_its_own_and_no_others() {
        let provider = Provider::parse(FILE, Path::new("")).unwrap();
        assert!(provider.is_own("https://api.maker.example/v1/jobs/7"));
        for other in [
            "https://api.maker.example.evil.example/",
            "https://evil@api.maker.example/",
            "https://maker.example/",
            "ftp://api.maker.example/",
        ] {
            assert!(!provider.is_own(other), "{other}");
        }
    }

    #[test]
    fn each_fault_of_a_file() {
        for (from, to, expected) in [
            ("name = \"maker\"", "name = \"The Maker\"", "expected lower case"),
            ("steps = [\"make\"]", "steps = [\"bake\"]", "there is no step \"bake\""),
            ("$.url", "url", "is no path"),
            ("{prompt}", "{prompt", "brace"),
            ("env = \"MAKER_KEY\"", "value = \"s3cret\"", "unknown field"),
            ("kind = \"image\"", "kind = \"picture\"", "unknown variant"),
            ("cost = { request = 0.04 }", "cost = { request = -1.0 }", "expected dollars"),
            ("https://api", "api", "begins like no address"),
            ("cost =", "retired_after = \"soon\"\ncost =", "no day"),
        ] {
            let faults = Provider::parse(&FILE.replace(from, to), Path::new("")).unwrap_err();
            assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected} not in {faults:?}");
        }
    }
}
