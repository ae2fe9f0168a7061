//! Policies: any text compiles or is refused with its faults; what compiled decides without a panic, and nothing of another bucket.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tidegate::auth::BucketPolicy;
use tidegate::auth::policy::pattern::{Pattern, Wildcards};
use tidegate::auth::policy::text::Text;
use tidegate::base::names::{BucketName, TenantId};

fuzz_target!(|input: (&str, &str, &str)| {
    let (policy, head, tail) = input;
    let bucket = BucketName::parse("bucket").expect("a name");
    if let Ok(compiled) = BucketPolicy::compile(&bucket, policy.as_bytes()) {
        let _ = compiled.is_public();
    }
    if let Ok(pattern) = Pattern::compile(policy, Wildcards::Yes) {
        let tenant = TenantId::parse("acme").expect("a name");
        // A text in two parts is the same as in one.
        let joined = format!("{head}/{tail}");
        let whole = pattern.matches(joined.as_str().into(), Some(&tenant));
        assert_eq!(whole, pattern.matches(Text::joined(head, Some(tail)), Some(&tenant)));
    }
});
