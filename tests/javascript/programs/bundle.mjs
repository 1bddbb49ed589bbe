// Bundles a program with the package as a platform's own tools do: node bundle.mjs <options as JSON>
//
// Options: entry, outdir, conditions, external, nodePaths, minify. Prints the sizes of what it wrote, by name, in bytes.

import { copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const { entry, outdir, conditions, external = [], nodePaths, minify = false } = JSON.parse(process.argv.at(-1));
mkdirSync(outdir, { recursive: true });

/** Modules of WebAssembly stay files beside the bundle. */
const wasm = {
  name: "wasm",
  setup({ onResolve }) {
    onResolve({ filter: /\.wasm(\?module)?$/ }, ({ path, importer }) => {
      const [file] = path.split("?");
      copyFileSync(resolve(dirname(importer), file), join(outdir, basename(file)));
      return { path: `./${basename(file)}`, external: true };
    });
  },
};

await build({
  entryPoints: [entry],
  outdir,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  format: "esm",
  target: "es2022",
  platform: "neutral",
  mainFields: ["module", "main"],
  conditions,
  external: ["cloudflare:*", "node:*", ...external],
  nodePaths,
  minify,
  plugins: [wasm],
  logLevel: "error",
});
const sizes = {};
for (const name of readdirSync(outdir)) {
  const bytes = readFileSync(join(outdir, name));
  sizes[name] = { bytes: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length };
}
console.log(JSON.stringify(sizes));
