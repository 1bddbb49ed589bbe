//! Reads an image layout as the fetchers of Istio and of Envoy Gateway read an image: nothing is believed that has no digest. The
//! documents are parsed by the ecosystem's own model of them.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, OciLayout};
use sha2::{Digest, Sha256};

/// What the fetchers look for.
const FILE: &str = "plugin.wasm";
const WASM: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
const REFERENCE: &str = "org.opencontainers.image.ref.name";

/// A layout in a directory.
pub struct Reader<'a> {
    pub directory: &'a Path,
    pub index: ImageIndex,
}

impl<'a> Reader<'a> {
    pub fn open(directory: &'a Path) -> Self {
        let layout = OciLayout::from_file(directory.join("oci-layout")).unwrap();
        assert_eq!(layout.image_layout_version(), "1.0.0");
        Self { directory, index: ImageIndex::from_file(directory.join("index.json")).unwrap() }
    }

    /// The image of that name.
    pub fn image(&self, name: &str) -> (&Descriptor, ImageManifest) {
        let named = |descriptor: &&Descriptor| {
            descriptor.annotations().as_ref().is_some_and(|annotations| annotations.get(REFERENCE).is_some_and(|it| it == name))
        };
        let mut found = self.index.manifests().iter().filter(named);
        let descriptor = found.next().unwrap_or_else(|| panic!("the index has no {name}"));
        assert!(found.next().is_none(), "the index has two {name}");
        assert_eq!(descriptor.media_type(), &MediaType::ImageManifest);
        let manifest = ImageManifest::from_reader(&*self.blob(descriptor).unwrap()).unwrap();
        assert_eq!((manifest.schema_version(), manifest.media_type()), (2, &Some(MediaType::ImageManifest)));
        (descriptor, manifest)
    }

    /// The content that the descriptor names, or what is wrong with it.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, String> {
        let path = self.directory.join("blobs").join(descriptor.digest().algorithm().as_ref()).join(descriptor.digest().digest());
        let bytes = fs::read(&path).map_err(|error| error.to_string())?;
        if bytes.len() as u64 != descriptor.size() {
            return Err(format!("{} has another size", path.display()));
        }
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if descriptor.digest().to_string() != format!("sha256:{digest}") {
            return Err(format!("{} has another digest", path.display()));
        }
        Ok(bytes)
    }

    /// As a fetcher does: first as a container image, then as an artifact.
    pub fn fetch(&self, name: &str) -> Result<Vec<u8>, String> {
        let (_, manifest) = self.image(name);
        self.as_container_image(&manifest)
            .or_else(|first| self.as_artifact(&manifest).map_err(|second| format!("{first}; {second}")))
    }

    /// The file in the last layer.
    pub fn as_container_image(&self, manifest: &ImageManifest) -> Result<Vec<u8>, String> {
        let layer = manifest.layers().last().ok_or("it has no layers")?;
        if layer.media_type() != &MediaType::ImageLayerGzip {
            return Err(format!("its last layer is {}", layer.media_type()));
        }
        let layer = self.blob(layer)?;
        let mut archive = tar::Archive::new(GzDecoder::new(&*layer).take(256 << 20));
        for entry in archive.entries().map_err(|error| error.to_string())? {
            let mut entry = entry.map_err(|error| error.to_string())?;
            if entry.path().is_ok_and(|path| path.file_name().is_some_and(|name| name == FILE)) {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
                return Ok(bytes);
            }
        }
        Err(format!("its last layer has no {FILE}"))
    }

    /// One of two layers.
    pub fn as_artifact(&self, manifest: &ImageManifest) -> Result<Vec<u8>, String> {
        let [first, second] = &**manifest.layers() else { return Err("it has not two layers".to_owned()) };
        let layer = [first, second].into_iter().find(|layer| layer.media_type().to_string() == WASM);
        self.blob(layer.ok_or("neither of its layers is a module")?)
    }

    /// The configuration of a container image.
    pub fn configuration(&self, manifest: &ImageManifest) -> ImageConfiguration {
        assert_eq!(manifest.config().media_type(), &MediaType::ImageConfig);
        ImageConfiguration::from_reader(&*self.blob(manifest.config()).unwrap()).unwrap()
    }
}

/// All files below a directory, with their paths in it, sorted.
pub fn tree(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.strip_prefix(directory).unwrap().display().to_string(), fs::read(path).unwrap()));
            }
        }
    }
    files.sort();
    files
}
