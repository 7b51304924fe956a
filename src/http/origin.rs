//! Where requests come from, as far as limits go.

use std::net::IpAddr;

use actix_web::HttpRequest;

/// An address, of IPv6 its network (/64): the owner of one of its addresses has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(i64);

impl Origin {
    /// The origin of a request; of one that comes through a proxy, the proxy.
    pub fn of(request: &HttpRequest) -> Self {
        request.peer_addr().map_or(Self(0), |peer| peer.ip().into())
    }
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(i64::from(address.to_bits())),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_an_address_or_a_network() {
        let of = |text: &str| Origin::from(text.parse::<IpAddr>().expect("an address"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
