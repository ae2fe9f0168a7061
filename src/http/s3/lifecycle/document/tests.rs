//! Each refusal with its code, and the way there and back.

use proptest::prelude::*;

use super::*;
use crate::base::lifecycle::testing::configurations;
use crate::base::lifecycle::{MAX_ID_CHARS, TransitionMinimum};

fn parse(text: &str) -> Result<Configuration> {
    let configuration = Configuration { rules: read(text.as_bytes())?, minimum: TransitionMinimum::default() };
    configuration.check()?;
    Ok(configuration)
}

fn rule_of(inside: &str) -> Result<Rule> {
    let document = format!("<LifecycleConfiguration><Rule><Status>Enabled</Status>{inside}</Rule></LifecycleConfiguration>");
    Ok(parse(&document)?.rules.remove(0))
}

/// With a filter for everything.
fn action(inside: &str) -> Result<Rule> {
    rule_of(&format!("<Filter/>{inside}"))
}

fn filter(inside: &str) -> Result<Filter> {
    Ok(rule_of(&format!("<Filter>{inside}</Filter><Expiration><Days>1</Days></Expiration>"))?.filter)
}

const DAYS: &str = "<Expiration><Days>1</Days></Expiration>";

proptest! {
    #[test]
    fn reads_what_it_writes(configuration in configurations()) {
        let text = write(&configuration);
        let read = Configuration { rules: read(text.as_bytes()).unwrap(), minimum: configuration.minimum };
        read.check().unwrap();
        prop_assert_eq!(read, configuration);
    }
}

#[test]
fn filters() {
    assert_eq!(rule_of(&format!("<Prefix>a b/</Prefix>{DAYS}")).unwrap().filter.prefix.as_deref(), Some("a b/"));
    assert_eq!(filter("").unwrap(), Filter::default());
    assert_eq!(filter("<Prefix/>").unwrap().prefix.as_deref(), Some(""));
    assert_eq!(filter("<ObjectSizeLessThan>9</ObjectSizeLessThan>").unwrap().smaller_than, Some(9));
    let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
    assert_eq!(filter(tag).unwrap().tags, [("k".to_owned(), "v".to_owned())]);
    let both = filter(&format!("<And><Prefix>p</Prefix>{tag}</And>")).unwrap();
    assert_eq!((both.prefix.as_deref(), both.tags.len()), (Some("p"), 1));
    let tags = filter(&format!("<And>{tag}<Tag><Key>l</Key><Value/></Tag></And>")).unwrap();
    assert_eq!(tags.tags.len(), 2);

    for refused in [
        format!("<Prefix>p</Prefix>{tag}"),
        format!("{tag}{tag}"),
        format!("<And>{tag}</And>"),
        "<And><Prefix>p</Prefix></And>".into(),
        "<And/>".into(),
        "<Suffix>.jpg</Suffix>".into(),
        "<Tag><Key>k</Key></Tag>".into(),
        "<ObjectSizeLessThan>large</ObjectSizeLessThan>".into(),
    ] {
        assert_eq!(filter(&refused).unwrap_err().kind(), ErrorKind::MalformedXml, "{refused}");
    }
    for neither_nor in [format!("<Prefix/><Filter/>{DAYS}"), DAYS.to_owned(), format!("<Filter/><Filter/>{DAYS}")] {
        assert_eq!(rule_of(&neither_nor).unwrap_err().kind(), ErrorKind::MalformedXml, "{neither_nor}");
    }
    let sizes = |larger: u32, smaller: u32| {
        filter(&format!(
            "<And><ObjectSizeGreaterThan>{larger}</ObjectSizeGreaterThan><ObjectSizeLessThan>{smaller}</ObjectSizeLessThan></And>"
        ))
        .map_err(|e| e.kind())
    };
    assert!(sizes(1, 2).is_ok());
    assert_eq!(sizes(2, 2), Err(ErrorKind::InvalidRequest));
    let twice = filter(&format!("<And>{tag}{tag}</And>"));
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::InvalidRequest);
}

#[test]
fn actions() {
    for (refused, kind) in [
        ("", ErrorKind::InvalidRequest),
        ("<Expiration/>", ErrorKind::MalformedXml),
        ("<Expiration><Days>0</Days></Expiration>", ErrorKind::InvalidArgument),
        ("<Expiration><Days>-1</Days></Expiration>", ErrorKind::InvalidArgument),
        ("<Expiration><Days>x</Days></Expiration>", ErrorKind::MalformedXml),
        ("<Expiration><Days>1</Days><Date>2027-01-01T00:00:00Z</Date></Expiration>", ErrorKind::MalformedXml),
        ("<Expiration><Days>1</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>", ErrorKind::MalformedXml),
        ("<Expiration><Date>20270101</Date></Expiration>", ErrorKind::MalformedXml),
        ("<Expiration><Date>2027-01-01T00:00:01Z</Date></Expiration>", ErrorKind::InvalidArgument),
        ("<NoncurrentVersionExpiration/>", ErrorKind::MalformedXml),
        ("<NoncurrentVersionExpiration><NoncurrentDays>0</NoncurrentDays></NoncurrentVersionExpiration>", ErrorKind::InvalidArgument),
        (
            "<AbortIncompleteMultipartUpload><DaysAfterInitiation>0</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
            ErrorKind::InvalidArgument,
        ),
        ("<Transition><Days>29</Days><StorageClass>STANDARD_IA</StorageClass></Transition>", ErrorKind::InvalidArgument),
        ("<Transition><Days>29</Days><StorageClass>COLD</StorageClass></Transition>", ErrorKind::MalformedXml),
        (
            "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition><Expiration><Days>1</Days></Expiration>",
            ErrorKind::InvalidArgument,
        ),
        (
            "<Transition><Date>2027-01-01T00:00:00Z</Date><StorageClass>GLACIER</StorageClass></Transition><Expiration><Days>1</Days></Expiration>",
            ErrorKind::InvalidRequest,
        ),
        ("<Undo/>", ErrorKind::MalformedXml),
        ("<Status>Enabled</Status><Expiration><Days>1</Days></Expiration>", ErrorKind::MalformedXml),
    ] {
        assert_eq!(action(refused).unwrap_err().kind(), kind, "{refused}");
    }
    let date = |text: &str| action(&format!("<Expiration><Date>{text}</Date></Expiration>")).unwrap().expiration;
    assert_eq!(date("2027-01-01"), date("2027-01-01T01:00:00+01:00"));
    let free = action("<Transition><Days>0</Days><StorageClass>GLACIER</StorageClass></Transition>").unwrap();
    assert_eq!(free.transitions.len(), 1);

    let keep = |n: u32| {
        format!(
            "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>{n}</NewerNoncurrentVersions></NoncurrentVersionExpiration>"
        )
    };
    assert_eq!(action(&keep(5)).unwrap().noncurrent, Some(NoncurrentExpiration { days: 1, keep: Some(5) }));
    assert_eq!(action(&keep(101)).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(rule_of(&format!("<Prefix/>{}", keep(5))).unwrap_err().kind(), ErrorKind::InvalidRequest, "it needs a Filter");
}

#[test]
fn what_does_not_go_together() {
    let abort = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
    let marker = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
    let (tag, size) = ("<Tag><Key>k</Key><Value>v</Value></Tag>", "<ObjectSizeGreaterThan>1</ObjectSizeGreaterThan>");
    for (filter, of) in [(tag, abort), (size, abort), (tag, marker)] {
        let refused = rule_of(&format!("<Filter>{filter}</Filter>{of}")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidRequest, "{filter} {of}");
    }
    assert!(rule_of(&format!("<Filter><Prefix>p</Prefix></Filter>{abort}{marker}")).is_ok());
}

#[test]
fn rules_and_their_ids() {
    let rule = |id: &str| format!("<Rule><ID>{id}</ID><Status>Enabled</Status><Filter/>{DAYS}</Rule>");
    let of = |rules: &str| parse(&format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>"));
    let made = of(&rule("").repeat(2)).unwrap();
    assert!(made.rules[0].id != made.rules[1].id && made.rules[0].id.len() == 36);
    assert_eq!(of(&rule("a").repeat(2)).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(of(&rule(&"x".repeat(MAX_ID_CHARS))).is_ok());
    assert_eq!(of(&rule(&"x".repeat(MAX_ID_CHARS + 1))).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(of("").unwrap_err().kind(), ErrorKind::MalformedXml);
    assert_eq!(of("<Regel/>").unwrap_err().kind(), ErrorKind::MalformedXml);
    for status in ["enabled", "", "On"] {
        let rule = format!("<Rule><Status>{status}</Status><Filter/>{DAYS}</Rule>");
        assert_eq!(of(&rule).unwrap_err().kind(), ErrorKind::MalformedXml, "{status}");
    }
    assert_eq!(of(&rule("").repeat(MAX_RULES)).unwrap().rules.len(), MAX_RULES);
    assert_eq!(of(&rule("").repeat(MAX_RULES + 1)).unwrap_err().kind(), ErrorKind::InvalidRequest);
}
