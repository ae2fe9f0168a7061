//! What a decision costs: policies are bounded where they are set, and patterns take time in their length alone.

use super::policies::{Gateway, with_policy};
use super::*;
use crate::auth::{Action, BucketPolicy};

/// A policy of the largest size, made of `pattern` in as many resources or values as fit.
fn largest(wrap: impl Fn(&str) -> String, pattern: &str) -> String {
    let n = (20_000 - wrap("").len()) / (pattern.len() + 3);
    wrap(&vec![format!("\"{pattern}\""); n].join(","))
}

fn in_resources(patterns: &str) -> String {
    format!(r#"{{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":[{patterns}]}}"#)
}

fn in_user_agent(patterns: &str) -> String {
    format!(
        r#"{{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*","Condition":{{"StringLike":{{"aws:UserAgent":[{patterns}]}}}}}}"#
    )
}

/// Patterns that made a matcher try again at every place, in policies from before there was a limit. What took 64 ms of a release
/// build for one pattern takes less here for a policy full of them, in a debug build, so it is no matter of the machine.
#[test]
fn a_decision_takes_time_in_the_length_of_the_policy_alone() {
    let (key, agent) = ("a".repeat(1024), "a".repeat(32 * 1024));
    let arn = "arn:aws:s3:::bucket/";
    let ones = "?".repeat(900);
    for pattern in
        [format!("*{ones}b"), format!("*{ones}*{ones}*b"), "*a*a*a*a*a*a*a*a*b".into(), format!("*{}b*", "a".repeat(900)), "*?b*".into()]
    {
        for policy in [largest(in_resources, &format!("{arn}{pattern}")), largest(in_user_agent, &pattern)] {
            let mut g = Gateway::new();
            g.request = parts(http::Request::get("/bucket/k").header("user-agent", &agent));
            let bucket = with_policy("acme", &policy);
            g.may_key("acme", Action::GetObject, &bucket, "compiles it");
            let began = std::time::Instant::now();
            g.may_key("acme", Action::GetObject, &bucket, &key);
            assert!(began.elapsed() < std::time::Duration::from_millis(40), "{pattern:.20}: {:?}", began.elapsed());
        }
    }
}

#[test]
fn what_costs_too_much_can_not_be_set_but_still_counts_where_it_is() {
    let refused = |statement: &str| {
        let document = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        BucketPolicy::compile(&BucketName::parse("bucket").unwrap(), document.as_bytes()).map(|_| ()).map_err(|e| e.message().to_owned())
    };
    let wildcards = largest(in_resources, "arn:aws:s3:::bucket/?????????????????????????");
    assert!(refused(&wildcards).unwrap_err().contains("at most 1024"));
    let searched = largest(in_resources, "arn:aws:s3:::bucket/*/secret-of-a-hundred-tenants-or-more/*");
    assert!(refused(&searched).unwrap_err().contains("at most 2048"));
    assert_eq!(refused(&largest(in_resources, "arn:aws:s3:::bucket/prefix/*")), Ok(()));
    assert_eq!(refused(&largest(in_resources, "arn:aws:s3:::bucket/a")), Ok(()));

    let g = Gateway::new();
    let open = with_policy("acme", &wildcards);
    assert!(!g.may_key("acme", Action::GetObject, &open, &"k".repeat(25)));
    assert!(g.may_key("acme", Action::GetObject, &open, "k"));
}

/// Nobody sends a header of 3 KB that has to be searched: where one comes, an Allow does not count, and a Deny does.
#[test]
fn a_value_too_long_to_be_searched_counts_against_the_request() {
    let statement = |effect: &str, operator: &str, pattern: &str| {
        format!(
            r#"{{"Effect":"{effect}","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*","Condition":{{"{operator}":{{"aws:UserAgent":"{pattern}"}}}}}}"#
        )
    };
    let may = |statements: &str, agent: &str| {
        let mut g = Gateway::new();
        g.request = parts(http::Request::get("/bucket/k").header("user-agent", agent));
        g.may_key("anonymous", Action::GetObject, &with_policy("acme", statements), "k")
    };
    let (short, long) = (format!("{}bot{}", "a".repeat(100), "a".repeat(100)), format!("{}bot{}", "a".repeat(2000), "a".repeat(2000)));
    let everyone = r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}"#;
    for (effect, operator, pattern, of_short, of_long) in [
        ("Allow", "StringLike", "*bot*", true, false),
        ("Allow", "StringNotLike", "*bot*", false, false),
        ("Allow", "StringNotLike", "*cat*", true, false),
        ("Allow", "StringLike", "aaa*", true, true),
        ("Allow", "StringLike", "*aaa", true, true),
        ("Allow", "StringLike", "aaa*aaa", true, true),
        ("Deny", "StringLike", "*bot*", false, false),
        ("Deny", "StringLike", "*cat*", true, false),
        ("Deny", "StringNotLike", "*bot*", true, false),
        ("Deny", "StringLike", "b*", true, true),
        ("Allow", "NumericEquals", "7", false, false),
        ("Deny", "NumericNotEquals", "7", false, false),
    ] {
        let own = statement(effect, operator, pattern);
        let all = if effect == "Deny" { format!("{own},{everyone}") } else { own };
        assert_eq!(may(&all, &short), of_short, "{effect} {operator} {pattern}");
        assert_eq!(may(&all, &long), of_long, "{effect} {operator} {pattern}, long");
    }
}

/// `s3:*?*?*?…` tried every way to cut an action's name in pieces.
#[test]
fn patterns_of_actions_are_read_in_time() {
    let action = format!("s3:{}", "*?".repeat(1000));
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Principal":"*","Action":"{action}","Resource":"arn:aws:s3:::bucket/*"}}]}}"#
    );
    let refused = BucketPolicy::compile(&BucketName::parse("bucket").unwrap(), text.as_bytes());
    assert!(refused.unwrap_err().message().contains("names none of S3's"));
}
