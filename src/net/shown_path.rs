//! A request's path as the log of the network shows it, for requests that are cut. Pure; called by `connection`.

/// A path with a long segment cut short: it may be a token that opens something, and this goes to the log.
pub fn shortened(path: &str) -> String {
    const LONG: usize = 40;
    const SHOWN: usize = 12;
    let segment = |s: &str| match s.char_indices().nth(SHOWN) {
        Some((at, _)) if s.len() > LONG => format!("{}…", s.get(..at).unwrap_or_default()),
        _ => s.to_owned(),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_shown() {
        assert_eq!(shortened(&format!("/_t/{}/a.glb", "A".repeat(80))), "/_t/AAAAAAAAAAAA…/a.glb");
        assert_eq!(shortened("/b/k"), "/b/k");
    }
}
