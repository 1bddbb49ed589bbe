//! The documents of an OCI image layout, as far as this one has them. Members are written in the order given here and maps are
//! sorted, so that equal content has equal bytes; models that keep annotations in hash maps cannot promise that.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Digest;

/// Annotations by key.
pub(crate) type Annotations = BTreeMap<&'static str, String>;

/// The media types of the OCI image specification 1.1.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// `oci-layout`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Layout {
    pub(crate) image_layout_version: &'static str,
}

/// `index.json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u8,
    pub(crate) media_type: &'static str,
    pub(crate) manifests: Vec<Descriptor>,
    pub(crate) annotations: Annotations,
}

/// An image's manifest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u8,
    pub(crate) media_type: &'static str,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    pub(crate) annotations: Annotations,
}

/// Names a blob.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: &'static str,
    pub(crate) digest: String,
    pub(crate) size: usize,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    pub(crate) annotations: Annotations,
}

impl Descriptor {
    pub(crate) fn of(media_type: &'static str, bytes: &[u8]) -> Self {
        Self { media_type, digest: Digest::of(bytes).to_string(), size: bytes.len(), annotations: Annotations::new() }
    }

    pub(crate) fn annotated(mut self, key: &'static str, value: &str) -> Self {
        self.annotations.insert(key, value.to_owned());
        self
    }
}

/// What is configured of an image with a root file system. It has no time of creation: that would make each build another
/// image.
#[derive(Serialize)]
pub(crate) struct Config {
    pub(crate) architecture: &'static str,
    pub(crate) os: &'static str,
    pub(crate) rootfs: RootFs,
    pub(crate) history: [History; 1],
}

/// The layers of an image, uncompressed.
#[derive(Serialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) diff_ids: [String; 1],
}

/// How a layer came to be.
#[derive(Serialize)]
pub(crate) struct History {
    pub(crate) created_by: &'static str,
}

/// The first layer of the artifact: what the module is to be loaded into.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Runtime {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) abi_versions: [&'static str; 1],
    pub(crate) config: RuntimeConfig,
}

/// The root ids that the module knows. It takes any.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuntimeConfig {
    pub(crate) root_ids: [&'static str; 0],
}

/// As compact JSON.
pub(crate) fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("these documents have text for keys and finite numbers")
}
