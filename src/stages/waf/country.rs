//! Countries of addresses, from a MaxMind DB file.

use std::fmt;
use std::net::IpAddr;

/// A database of countries.
pub struct CountryDatabase(maxminddb::Reader<Vec<u8>>);

impl fmt::Debug for CountryDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CountryDatabase")
    }
}

impl CountryDatabase {
    /// Reads the content of a file.
    pub fn new(content: Vec<u8>) -> Result<Self, String> {
        maxminddb::Reader::from_source(content).map(Self).map_err(|error| error.to_string())
    }

    /// The ISO 3166 code of an address, `ZZ` if it is unknown.
    pub fn country(&self, address: IpAddr) -> String {
        let found =
            self.0.lookup(address).ok().and_then(|found| found.decode::<maxminddb::geoip2::Country>().ok());
        let code = found.flatten().and_then(|found| found.country.iso_code.map(str::to_owned));
        code.unwrap_or_else(|| "ZZ".to_owned())
    }
}
