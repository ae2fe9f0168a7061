//! Addresses and networks in one form, in which they are compared: an IPv4 address is one, however it came.
//!
//! A socket for both families tells IPv4 peers as `::ffff:a.b.c.d`, and people write networks so. Here both are IPv4. All other
//! IPv6 networks hold no IPv4 address, `::/0` included, as on AWS; one that reaches only partly into IPv4 is none.
//! Called by configuration, policies, signatures with an address in them, and the limit on connections of one address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Bits in front of an IPv4 address that is written as an IPv6 one.
const MAPPED_BITS: u8 = 96;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// Not an address or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoNetwork;

impl Network {
    /// None: it reaches partly into IPv4, or there are no so many bits.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let net = IpNet::new(address, bits).ok()?.trunc();
        let IpNet::V6(v6) = net else { return Some(Network(net)) };
        let all_mapped = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
        match (bits.checked_sub(MAPPED_BITS), v6.addr().to_ipv4_mapped()) {
            (Some(bits), Some(v4)) => Ipv4Net::new(v4, bits).ok().map(|v4| Network(IpNet::V4(v4))),
            // Short ones hold the mapped addresses as they hold everything: those are meant as IPv6.
            (None, _) if v6.contains(&all_mapped) && !v6.addr().is_unspecified() => None,
            _ => Some(Network(net)),
        }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    pub fn address(&self) -> IpAddr {
        self.0.addr()
    }

    pub fn bits(&self) -> u8 {
        self.0.prefix_len()
    }

    /// All of IPv4.
    pub fn is_any_ipv4(&self) -> bool {
        self.bits() == 0 && self.address().is_ipv4()
    }
}

/// With or without a number of bits; bits of the address behind those are cut off.
impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| NoNetwork)?;
        Network::new(net.addr(), net.prefix_len()).ok_or(NoNetwork)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> Network {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn one_form() {
        for (text, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:a01:203", "10.1.2.3/32"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("::/80", "::/80"),
            ("::/96", "::/96"),
            ("2001:db8::1/32", "2001:db8::/32"),
        ] {
            assert_eq!(net(text).to_string(), shown, "{text}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0", "::ffff:10.0.0.0/90", "::ffff:0:0/81", "::ffff:0:0/95", "::/129", "x"] {
            assert_eq!(bad.parse::<Network>(), Err(NoNetwork), "{bad}");
        }
        let of = |n: &str, a: &str| net(n).contains(a.parse().unwrap());
        assert!(of("10.0.0.0/8", "::ffff:10.1.1.1") && of("::ffff:10.0.0.0/104", "10.1.1.1") && of("::/0", "2001:db8::1"));
        assert!(!of("::/0", "10.1.1.1") && !of("::/0", "::ffff:10.1.1.1") && !of("0.0.0.0/0", "2001:db8::1"));
    }

    proptest! {
        /// Whichever of the two ways a network and an address are written in, the answer is that of IPv4.
        #[test]
        fn mapped_or_not(a: u32, b: u32, near: bool, bits in 0u8..=32, net_mapped: bool, address_mapped: bool) {
            let (base, host) = (Ipv4Addr::from(a), Ipv4Addr::from(if near { a ^ (b >> 8) } else { b }));
            let expected = u64::from(u32::from(base)) >> (32 - bits) == u64::from(u32::from(host)) >> (32 - bits);
            let text = if net_mapped { format!("{}/{}", base.to_ipv6_mapped(), bits + 96) } else { format!("{base}/{bits}") };
            let address = if address_mapped { IpAddr::V6(host.to_ipv6_mapped()) } else { IpAddr::V4(host) };
            prop_assert_eq!(net(&text).contains(address), expected);
            prop_assert_eq!(net(&text), net(&format!("{base}/{bits}")));
        }
    }
}
