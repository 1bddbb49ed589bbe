// Checks Kubernetes documents, which come as YAML by the standard input, against the schemas of their kinds: values by the
// validators that are made from the schemas, and names by the types, for the validators let unknown fields pass, as Kubernetes
// does, which drops them. Answers with JSON: {"documents": […], "errors": ["…"]}.

import { readFileSync } from "node:fs";
import ts from "typescript";
import { parseAllDocuments } from "yaml";

const PACKAGES = {
  "extensions.istio.io": "istio",
  "networking.istio.io": "istio",
  "gateway.envoyproxy.io": "envoy-gateway",
  "gateway.networking.k8s.io": "gateway-api",
};

const errors = [];
const documents = [];
const types = [];
for (const parsed of parseAllDocuments(readFileSync(0, "utf8"), { uniqueKeys: true })) {
  errors.push(...parsed.errors.map(String));
  const document = parsed.toJS();
  const { apiVersion, kind } = document;
  const [group, version] = apiVersion.split("/");
  const module = `@kubernetes-models/${PACKAGES[group]}/${group}/${version}`;
  const index = documents.push(document) - 1;
  try {
    const Model = (await import(module))[kind];
    new Model(document).validate();
    types.push(`import type { I${kind} as T${index} } from "${module}";\nconst d${index}: T${index} = ${JSON.stringify(document)};`);
  } catch (error) {
    errors.push(`${apiVersion} ${kind}: ${error.message}`);
  }
}

const file = `${process.cwd()}/documents.mts`;
const options = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ESNext,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  types: [],
};
const host = ts.createCompilerHost(options);
const getSourceFile = host.getSourceFile.bind(host);
host.getSourceFile = (name, version, ...rest) =>
  name === file ? ts.createSourceFile(name, types.join("\n"), version) : getSourceFile(name, version, ...rest);
for (const diagnostic of ts.getPreEmitDiagnostics(ts.createProgram([file], options, host))) {
  errors.push(ts.flattenDiagnosticMessageText(diagnostic.messageText, " "));
}
process.stdout.write(JSON.stringify({ documents, errors }));
