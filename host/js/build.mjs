// Builds the package from the plugin component: node build.mjs <component.wasm> <output folder> [<folder of this file>]
//
// Runs in the folder where the pinned tools are installed. Writes nothing but the output folder, which is the package as it is
// published.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { transpileBytes } from "@bytecodealliance/jco-transpile";
import { parse, print } from "@bytecodealliance/jco-transpile/wasm-tools";
import { build, transformSync } from "esbuild";

const [componentPath, outputPath, sourcePath = "."] = process.argv.slice(process.argv[1]?.endsWith("build.mjs") ? 2 : 1);
if (componentPath === undefined || outputPath === undefined) {
  console.error("usage: node build.mjs <component.wasm> <output folder> [<folder of this file>]");
  process.exit(2);
}
const [component, output, source] = [componentPath, outputPath, sourcePath].map((path) => resolve(path));
const dist = join(output, "dist");
/** Of the contract: what a session may ask of any host, and what every host does with requests. */
const lists = ["authority", "rules"];
/** Pages of 64 KiB. */
const MEMORY_LIMIT_PAGES = list("authority").limits["memory-bytes"] / 65_536;
/** Where none are left. */
const TRAP = "global.get $left\ni32.const 0\ni32.lt_s\nif\nunreachable\nend";
/** Sections of a core module. */
const [CUSTOM, MEMORY] = [0, 5];
/** One file for each module: the types that are published, and what tests of the parts import. */
const parts = join(dist, "modules");
const stage = join(output, ".stage");
rmSync(output, { recursive: true, force: true });
mkdirSync(join(stage, "src/plugin"), { recursive: true });
for (const name of ["src", "tsconfig.json"]) cpSync(join(source, name), join(stage, name), { recursive: true });
cpSync(join(source, "README.md"), join(output, "README.md"));
cpSync(join(source, "worker"), join(output, "worker"), { recursive: true });
cpSync(join(source, "../../LICENSE"), join(output, "LICENSE"));
const { devDependencies, scripts, ...manifest } = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
writeFileSync(join(stage, "package.json"), JSON.stringify({ type: "module" }));
write(join(output, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);

// The component as a JavaScript module, which instantiates synchronously: no promise anywhere.
const { files } = await transpileBytes(readFileSync(component), {
  name: "plugin",
  instantiation: { tag: "sync" },
  nodejsCompat: false,
});
const wasm = {};
/** The same where nothing but the module itself can end a loop: Workers and edge functions have a platform that does. */
const countedWasm = {};
const texts = new Map();
for (const [name, content] of Object.entries(files)) {
  if (name.endsWith(".wasm")) {
    const text = await print(published(content));
    // Written anew it is smaller: the linker leaves each number five bytes.
    wasm[name] = await parse(text);
    countedWasm[name] = await parse(counted(text));
  } else texts.set(name, Buffer.from(content).toString());
}
// jco looks into a variable of the environment at each call, which Deno does not permit and which takes half of the time. What it would
// log then goes, too: a call whose value nobody takes.
const silent = texts.get("plugin.js").replaceAll(/(?<!const )_debugLog\(/g, "/* @__PURE__ */ _debugLog(");
const glue = transformSync(silent, {
  minify: true,
  format: "esm",
  target: "es2022",
  define: { "globalThis.process.env.JCO_DEBUG": "undefined" },
});
if (/JCO_DEBUG|AsyncTask#|debugLog/.test(glue.code)) throw new Error("the transpiled component still looks into the environment");

const names = Object.keys(wasm);
const identifiers = names.map((_, index) => `module${index}`);
const table = `const table = {\n${names.map((name, index) => `  "${name}": ${identifiers[index]},\n`).join("")}};
export const modules = (name) => {
  const module = table[name];
  if (module === undefined) throw new TypeError(\`the component has no core module \${name}\`);
  return module;
};
`;
const imports = (suffix) => names.map((name, index) => `import module${index} from "./${name}${suffix}";\n`).join("");
const generated = {
  "plugin.js": glue.code,
  "workers.js": `${imports("")}${table}`,
  "edge-light.js": `${imports("?module")}${table}`,
  // By hand it takes a third of the time from import to the first task.
  "inline.js": `const decode = (text) => {
  if (Uint8Array.fromBase64 !== undefined) return Uint8Array.fromBase64(text);
  if (globalThis.Buffer !== undefined) return globalThis.Buffer.from(text, "base64");
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = characters.charCodeAt(at);
  return bytes;
};
const table = {\n${names.map((name) => `  "${name}": "${Buffer.from(countedWasm[name]).toString("base64")}",\n`).join("")}};
const compiled = {};
export const modules = (name) => {
  if (table[name] === undefined) throw new TypeError(\`the component has no core module \${name}\`);
  return (compiled[name] ??= new WebAssembly.Module(decode(table[name])));
};
`,
};
const modulesType = "export declare const modules: (name: string) => WebAssembly.Module;\n";
for (const name of ["workers.d.ts", "edge-light.d.ts", "inline.d.ts"]) texts.set(name, modulesType);
for (const [name, text] of texts) {
  if (!name.endsWith(".d.ts")) continue;
  write(join(stage, "src/plugin", name), text);
  write(join(parts, "plugin", name), text);
}
for (const [name, text] of Object.entries(generated)) write(join(parts, "plugin", name), text);
for (const name of lists) {
  write(join(stage, "src/plugin", `${name}.ts`), `export const ${name} = ${JSON.stringify(list(name))} as const;\n`);
}
write(join(stage, "src/plugin/sources.ts"), `import type { Recipe } from "../sources.js";\nexport const platforms: readonly Recipe[] = ${JSON.stringify(platforms())};\n`);
for (const [name, bytes] of Object.entries(wasm)) write(join(dist, "plugin", name), bytes);

const types = ["--typeRoots", resolve("node_modules/@types")];
const compiler = [resolve("node_modules/typescript/bin/tsc"), "--project", stage, "--outDir", parts, ...types];
try {
  execFileSync(process.execPath, compiler, { stdio: ["ignore", "pipe", "inherit"] });
} catch (error) {
  console.error(String(error.stdout));
  process.exit(1);
}
rmSync(stage, { recursive: true });

// One file for each platform: to load many takes longer than everything else at the start.
const wasmBeside = {
  name: "wasm",
  setup({ onResolve }) {
    onResolve({ filter: /\.wasm(\?module)?$/ }, ({ path }) => ({ path: `./plugin/${basename(path)}`, external: true }));
  },
};
await build({
  entryPoints: ["node", "web", "workers", "edge-light"].map((name) => join(parts, `${name}.js`)),
  outdir: dist,
  // What is told of paths is told from here.
  absWorkingDir: dist,
  bundle: true,
  format: "esm",
  target: "es2022",
  platform: "neutral",
  external: ["cloudflare:*", "node:*"],
  plugins: [wasmBeside],
  logLevel: "error",
});

/** A list of the contract. */
function list(name) {
  const text = readFileSync(join(source, "../../wit", `${name}.json`), "utf8");
  return JSON.parse(text, (key, value) => (key === "$comment" ? undefined : value));
}

/** The recipes of the platforms, without what only the component needs. */
function platforms() {
  const folder = join(source, "../../guest/recipes/documents");
  const inner = new Set(["description", "required", "optional", "when", "unless", "absent", "refusals", "fail", "ca_file"]);
  const values = new Set(["form", "json", "aws", "sign"]);
  const short = (key, value) => (inner.has(key) ? undefined : values.has(key) ? 1 : value);
  const documents = readdirSync(folder).filter((name) => name.endsWith(".json")).sort();
  return documents.map((document) => {
    const { name, parameters, detect, steps } = JSON.parse(readFileSync(join(folder, document), "utf8"));
    return JSON.parse(JSON.stringify({ name, parameters, detect, steps }, short));
  });
}

function write(path, content) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/**
 * A core module as it is published: without the names of functions, which are for auditors, who read the component; and with a
 * limit to its memory, for no other can be set from JavaScript.
 */
function published(bytes) {
  const kept = [bytes.subarray(0, 8)];
  for (let at = 8; at < bytes.length;) {
    const id = bytes[at];
    const [size, start] = leb128(bytes, at + 1);
    const content = bytes.subarray(start, start + size);
    at = start + size;
    if (id === CUSTOM) continue;
    const written = id === MEMORY ? limited(content) : content;
    kept.push([id, ...toLeb128(written.length)], written);
  }
  return Buffer.concat(kept.map((part) => Buffer.from(part)));
}

/**
 * A core module that counts what it does: each function where it begins, and each loop where it begins anew, takes as many as there
 * are instructions until the next such place from the global `instructions-left`, and traps below nought. Whoever calls it fills
 * that up before. `text` is what `wasm-tools print` gives: an instruction a line.
 */
function counted(text) {
  const written = [];
  /** The function and the blocks around an instruction. Of a function and of a loop: where it takes, and how many. */
  const open = [];
  const begin = () => open.push({ at: written.push("") - 1, instructions: 0 });
  const end = () => {
    const { at, instructions } = open.pop();
    if (at !== undefined) written[at] = `${take(`i32.const ${instructions}`)}\n${TRAP}`;
  };
  let beforeTheBody = false;
  let counts = false;
  let length;
  for (const line of text.split("\n")) {
    const instruction = line.match(/^ {4,}([a-z][a-z0-9_.]*)/)?.[1];
    if (instruction === undefined) {
      if (line === "  )") while (open.length > 0) end();
      if (line === ")" && counts) written.push(`(global $left (export "instructions-left") (mut i32) i32.const 0)`);
      written.push(line);
      if (line.startsWith("  (func ")) beforeTheBody = true;
      continue;
    }
    if (beforeTheBody) {
      written.push("(local $length i32)");
      begin();
      beforeTheBody = false;
      counts = true;
    }
    const place = open.findLast(({ at }) => at !== undefined);
    if (place === undefined || /^(try|delegate)/.test(instruction)) throw new Error(`unexpected: ${line}`);
    place.instructions += 1;
    if (instruction === "memory.copy" || instruction === "memory.fill") {
      // Sixteen bytes are taken for an instruction.
      if (length === undefined) written.push(`local.tee $length\n${take("local.get $length\ni32.const 4\ni32.shr_u")}`);
      else place.instructions += Math.min(length >>> 4, MEMORY_LIMIT_PAGES * 65_536);
    }
    if (instruction === "end") end();
    written.push(line);
    if (instruction === "loop") begin();
    if (instruction === "block" || instruction === "if") open.push({});
    length = instruction === "i32.const" ? Number(line.trim().split(" ")[1]) : undefined;
  }
  return written.join("\n");
}

function take(instructions) {
  return `global.get $left\n${instructions}\ni32.sub\nglobal.set $left`;
}

/** The memory section: one memory, its least size, and now its largest. */
function limited(content) {
  const [memories, flags] = content;
  if (memories !== 1 || flags !== 0) throw new Error("the component's memory is not the one that was expected");
  const [least] = leb128(content, 2);
  return [1, 1, ...toLeb128(least), ...toLeb128(MEMORY_LIMIT_PAGES)];
}

/** An unsigned number, and where it ends. */
function leb128(bytes, at) {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at];
  }
}

function toLeb128(value) {
  const low = value & 0x7f;
  return value < 0x80 ? [value] : [low | 0x80, ...toLeb128(value >>> 7)];
}
