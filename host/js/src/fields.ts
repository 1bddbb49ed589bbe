// Header fields: what is one, what is a caller's credential, and how lists are merged.

import { rules } from "./plugin/rules.js";

/** A header field, its name in lower case. */
export type Field = readonly [name: string, value: string];

/**
 * The headers in which the API, the clouds that serve the same models, and proxies before them look for a credential, or for
 * the workspace that it is used in.
 */
const { names, prefixes } = rules.credentials;
const CREDENTIALS: ReadonlySet<string> = new Set(names);

/** `_` is taken for `-`, because servers behind CGI and its kin do not tell them apart. */
function isCredential(name: string): boolean {
  const dashed = name.toLowerCase().replaceAll("_", "-");
  return CREDENTIALS.has(dashed) || prefixes.some((prefix) => dashed.startsWith(prefix));
}

/** Whether it is a field name in lower case (RFC 9110 section 5.1). */
export function isName(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name);
}

/** Whether it is a field value of visible ASCII, spaces and tabs. */
export function isValue(value: string): boolean {
  return /^[\t -~]*$/.test(value) && value === value.trim();
}

/** Takes off every form of a caller's credential. */
export function strip(headers: Headers): void {
  for (const name of [...headers.keys()]) if (isCredential(name)) headers.delete(name);
}

/** Takes out of `connection` what would have the next hop drop one of our headers (RFC 9110 section 7.6.1). */
export function keepThroughHops(headers: Headers, ours: readonly Field[]): void {
  const value = headers.get("connection");
  if (value === null) return;
  const isOurs = (element: string) => ours.some(([name]) => name === element.toLowerCase());
  const elements = value.split(",").map((element) => element.trim());
  const kept = elements.filter((element) => element !== "" && !isOurs(element) && !isCredential(element));
  if (kept.length === 0) headers.delete("connection");
  else headers.set("connection", kept.join(", "));
}

/** Adds the elements of a comma-separated value that the field does not have yet, in order, each once. */
export function merge(headers: Headers, name: string, ours: string): void {
  const elements = `${headers.get(name) ?? ""},${ours}`.split(",").map((element) => element.trim());
  headers.set(name, [...new Set(elements.filter((element) => element !== ""))].join(","));
}
