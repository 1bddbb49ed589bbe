//! Header fields as the proxy hands them over: requests pass through here, and have many.

use wif_rules::Serialized;

use crate::hostcalls::{self, MapType, Refused};

/// The fields of one map.
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    /// The fields of this map of the effective context.
    pub(crate) fn read(map: MapType) -> Result<Self, Refused> {
        hostcalls::get_map(map).map(|fields| Self(fields.unwrap_or_default()))
    }

    /// Each name, in lower case, and its value.
    pub(crate) fn iter(&self) -> Serialized<'_> {
        Serialized::new(&self.0)
    }
}
