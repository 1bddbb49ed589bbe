//! The two images, of a module's bytes.

use std::io::Write;

use flate2::{Compression, GzBuilder};

use crate::Digest;
use crate::layout::Layout;
use crate::manifest::{
    Annotations, CONFIG, Config, Descriptor, History, INDEX, Index, LAYER, MANIFEST, Manifest, RootFs, Runtime, RuntimeConfig,
    json,
};

/// The name in the layout of the image that every proxy loads: one compressed layer, in it [`MODULE_FILE`].
pub const COMPAT: &str = "compat";

/// The name in the layout of the artifact: two layers, one of them the module itself.
pub const ARTIFACT: &str = "artifact";

/// The name that proxies look for in the layer of [`COMPAT`].
pub const MODULE_FILE: &str = "plugin.wasm";

/// The media types of the Wasm image specification's artifact.
const RUNTIME_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";
const WASM: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

/// The annotations of the OCI image specification, and the one that the Wasm image specification asks of compat images.
const REFERENCE: &str = "org.opencontainers.image.ref.name";
const TITLE: &str = "org.opencontainers.image.title";
const DESCRIPTION: &str = "org.opencontainers.image.description";
const VERSION: &str = "org.opencontainers.image.version";
const LICENSES: &str = "org.opencontainers.image.licenses";
const VARIANT: &str = "module.wasm.image/variant";

/// A module as OCI images: an image layout with [`COMPAT`] and [`ARTIFACT`]. The same module gives the same bytes and digests, at
/// any time and on any machine.
#[derive(Debug, Clone)]
pub struct Images {
    module: Digest,
    compat: Digest,
    artifact: Digest,
    layout: Layout,
}

impl Images {
    /// Packs the module. Its bytes are not looked into.
    #[must_use]
    pub fn of(module: &[u8]) -> Self {
        let mut layout = Layout::new();
        let compat = compat(&mut layout, module);
        let artifact = artifact(&mut layout, module);
        let digests = [compat.digest.clone(), artifact.digest.clone()];
        // Who pushes the index as a whole gives proxies the first image: those without a platform are taken for the
        // platform that proxies ask for.
        let manifests = vec![compat.annotated(REFERENCE, COMPAT), artifact.annotated(REFERENCE, ARTIFACT)];
        layout.index(&Index { schema_version: 2, media_type: INDEX, manifests, annotations: annotations() });
        let [compat, artifact] = digests;
        Self { module: Digest::of(module), compat, artifact, layout }
    }

    /// The digest of the module's bytes: what `sha256` means beside an `http` or `https` URL.
    #[must_use]
    pub fn module_digest(&self) -> &Digest {
        &self.module
    }

    /// The digest of [`COMPAT`]'s manifest: what `sha256` means beside an `oci` URL that leads to it.
    #[must_use]
    pub fn compat_digest(&self) -> &Digest {
        &self.compat
    }

    /// The digest of [`ARTIFACT`]'s manifest: what `sha256` means beside an `oci` URL that leads to it.
    #[must_use]
    pub fn artifact_digest(&self) -> &Digest {
        &self.artifact
    }

    /// Writes the layout into a directory that is empty or does not exist yet.
    ///
    /// # Errors
    ///
    /// [`Error`](crate::Error) names the path: the directory is not empty, or something cannot be written.
    pub fn write_directory(&self, directory: &std::path::Path) -> Result<(), crate::Error> {
        self.layout.write_directory(directory)
    }

    /// Writes the layout as a tar archive, uncompressed.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_archive(&self, writer: impl Write) -> std::io::Result<()> {
        self.layout.write_archive(writer)
    }
}

/// An image whose last layer holds the module as a file.
fn compat(layout: &mut Layout, module: &[u8]) -> Described {
    let archive = archive(module);
    let config = Config {
        // What the fetchers of proxies ask for on every machine, and what container engines let pass. Nothing of it is run.
        architecture: "amd64",
        os: "linux",
        rootfs: RootFs { kind: "layers", diff_ids: [Digest::of(&archive).to_string()] },
        history: [History { created_by: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")) }],
    };
    let mut annotations = annotations();
    annotations.insert(VARIANT, "compat".to_owned());
    let config = layout.blob(CONFIG, json(&config));
    let layer = layout.blob(LAYER, compressed(&archive));
    image(layout, config, vec![layer], annotations)
}

/// An image of exactly two layers: what the module is to be loaded into, and the module. The first is its configuration, too:
/// its media type tells registries what the artifact is.
fn artifact(layout: &mut Layout, module: &[u8]) -> Described {
    let runtime = Runtime { kind: "envoy_proxy", abi_versions: ["0.2.1"], config: RuntimeConfig { root_ids: [] } };
    let config = layout.blob(RUNTIME_CONFIG, json(&runtime));
    let content = layout.blob(WASM, module.to_vec());
    let layers = vec![config.clone().annotated(TITLE, "runtime-config.json"), content.annotated(TITLE, MODULE_FILE)];
    image(layout, config, layers, annotations())
}

/// A manifest's descriptor, and its digest.
struct Described {
    digest: Digest,
    descriptor: Descriptor,
}

impl Described {
    fn annotated(self, key: &'static str, value: &str) -> Descriptor {
        self.descriptor.annotated(key, value)
    }
}

fn image(layout: &mut Layout, config: Descriptor, layers: Vec<Descriptor>, annotations: Annotations) -> Described {
    let manifest = json(&Manifest { schema_version: 2, media_type: MANIFEST, config, layers, annotations });
    Described { digest: Digest::of(&manifest), descriptor: layout.blob(MANIFEST, manifest) }
}

/// Of the index and of both images.
fn annotations() -> Annotations {
    let values = [
        (TITLE, "wif-proxy-wasm"),
        (DESCRIPTION, "A workload's credential for the Claude API, as a proxy-wasm filter"),
        (VERSION, env!("CARGO_PKG_VERSION")),
        (LICENSES, env!("CARGO_PKG_LICENSE")),
    ];
    values.map(|(key, value)| (key, value.to_owned())).into()
}

/// One file in a tar archive.
fn archive(module: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    let files = std::iter::once((MODULE_FILE, module));
    crate::layout::pack(files, &mut archive).expect("memory takes what is written");
    archive
}

/// In gzip's form, without a name and a time in the header.
fn compressed(archive: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(archive).and_then(|()| encoder.finish()).expect("memory takes what is written")
}
