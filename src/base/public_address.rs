//! Whether an address is one of the open internet: what somebody else named may be asked for there, and nowhere else.
//!
//! Pure. An IPv4 address that an IPv6 one carries (mapped, NAT64, 6to4) is judged as what it is. What is not surely public is not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => carried(v6).map_or_else(|| is_public_v6(v6), is_public_v4),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let is_special = match (a, b, c) {
        // This network, its own addresses, loopback.
        (0 | 10 | 127, ..) => true,
        // Carriers' own.
        (100, 64..=127, _) => true,
        // Link-local, where clouds answer with credentials.
        (169, 254, _) => true,
        (172, 16..=31, _) => true,
        // Protocols, examples, relays, private.
        (192, 0, 0 | 2) | (192, 88, 99) | (192, 168, _) => true,
        // Benchmarks and examples.
        (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => true,
        // Multicast, reserved, broadcast.
        (224..=255, ..) => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [a, b, _, _, e, f, ..] = v6.segments();
    // Global unicast is 2000::/3 and nothing else.
    let is_global = (0x2000..=0x3fff).contains(&a);
    let is_special = match (a, b) {
        // Teredo, ORCHID, benchmarks and other protocols in 2001::/23.
        (0x2001, 0x0000..=0x01ff) => true,
        // Examples.
        (0x2001, 0x0db8) | (0x3fff, 0x0000..=0x0fff) => true,
        _ => false,
    };
    // ISATAP, which ends in an IPv4 address.
    let is_isatap = matches!(e, 0 | 0x0200) && f == 0x5efe;
    is_global && !is_special && !is_isatap
}

/// The IPv4 address that it stands for.
fn carried(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let joined = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match v6.segments() {
        [0x2002, high, low, ..] => Some(joined(high, low)),
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => Some(joined(high, low)),
        _ => v6.to_ipv4_mapped(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public() {
        let of = |text: &str| is_public(text.parse().unwrap());
        for public in [
            "8.8.8.8",
            "100.63.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(of(public), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::",
            "2002:7f00:1::1",
            "2606:4700::5efe:a00:1",
            "2606:4700::200:5efe:a00:1",
            "100::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!of(private), "{private}");
        }
    }
}
