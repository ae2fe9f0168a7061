//! Documents of our own (listings, the tenants' JSON, metrics), compressed while they are sent, for clients that accept it.
//!
//! Not here: what clients stored, which `edge::compress` shows in forms that are made once and kept. gzip alone: whoever takes any
//! coding takes it, and its state is the smallest.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderValue, Version};

use crate::base::coding::Coding;
use crate::http::body::ResponseBody;
use crate::http::gzip::Coded;
use crate::http::negotiate::Accepted;
use crate::http::respond::Answer;

/// Less goes in one packet anyway.
const FROM: u64 = 1400;

/// The answer as it is sent to a client with these headers. Only for whole documents of ours.
pub fn for_client(mut answer: Answer, version: Version, headers: &HeaderMap) -> Answer {
    answer.headers_mut().append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    // An HTTP/1.0 client knows the end of such a body by that of the connection alone.
    if version < Version::HTTP_11 || answer.body().len() < FROM || !Accepted::of(headers).takes(Coding::Gzip) {
        return answer;
    }
    match std::mem::replace(answer.body_mut(), ResponseBody::Empty) {
        ResponseBody::Full(document) => {
            *answer.body_mut() = ResponseBody::Coded(Box::new(Coded::new(document)));
            answer.headers_mut().remove(CONTENT_LENGTH);
            answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        other => *answer.body_mut() = other,
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read;

    use super::*;
    use crate::http::gzip::PIECE;
    use crate::http::respond;

    fn asking(accepts: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepts))])
    }

    #[tokio::test]
    async fn a_long_document_is_sent_in_less_and_is_the_same() {
        let document: String = (0..20_000).map(|n| format!("<Key>models/{n}.glb</Key>")).collect();
        let answer = for_client(respond::xml(document.clone()), Version::HTTP_11, &asking("br, gzip;q=0.5"));
        assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
        assert!(!answer.headers().contains_key(CONTENT_LENGTH));
        let ResponseBody::Coded(mut coded) = answer.into_body() else { panic!("not compressed") };
        let mut sent = Vec::new();
        while let Some(piece) = poll_fn(|cx| coded.poll_next(cx)).await {
            let piece = piece.unwrap();
            assert!(!piece.is_empty() && piece.len() <= PIECE);
            sent.extend_from_slice(&piece);
        }
        assert!(coded.has_ended() && sent.len() < document.len() / 5, "{} of {}", sent.len(), document.len());
        let mut read = String::new();
        flate2::read::GzDecoder::new(&sent[..]).read_to_string(&mut read).unwrap();
        assert_eq!(read, document);
    }

    #[test]
    fn who_does_not_ask_for_it_and_what_is_short_is_left_as_it_is() {
        let long = || respond::xml("<a/>".repeat(1000));
        for (answer, version, accepts) in [
            (long(), Version::HTTP_11, "identity"),
            (long(), Version::HTTP_11, "gzip;q=0, br"),
            (long(), Version::HTTP_10, "gzip"),
            (respond::xml("<a/>".into()), Version::HTTP_2, "gzip"),
        ] {
            let answer = for_client(answer, version, &asking(accepts));
            assert!(matches!(answer.body(), ResponseBody::Full(_)));
            assert!(!answer.headers().contains_key(CONTENT_ENCODING) && answer.headers().contains_key(CONTENT_LENGTH));
            assert_eq!(answer.headers()[VARY], "accept-encoding");
        }
    }
}
