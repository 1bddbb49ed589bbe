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

/** Of a name in lower case. `_` is taken for `-`, because servers behind CGI and its kin do not tell them apart. */
function isCredential(name: string): boolean {
  const dashed = name.includes("_") ? name.replaceAll("_", "-") : name;
  if (CREDENTIALS.has(dashed)) return true;
  for (const prefix of prefixes) if (dashed.startsWith(prefix)) return true;
  return false;
}

/** Whether it is a field name in lower case (RFC 9110 section 5.1). */
export function isName(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name);
}

/** Whether it is a field value of visible ASCII, spaces and tabs. */
export function isValue(value: string): boolean {
  return /^[\t -~]*$/.test(value) && value === value.trim();
}

/** Takes any form of a caller's credential off. */
export function strip(headers: Headers): void {
  // Headers do not change while they are being read.
  const gone: string[] = [];
  headers.forEach((_, name) => void (isCredential(name) && gone.push(name)));
  for (const name of gone) headers.delete(name);
}

/**
 * Puts our credential in place of any form of the caller's own: `set` replaces, `merged` is added to what is there. Headers are changed
 * one by one, and only where that is needed: to make them anew takes longer than all the rest.
 */
export function carry(headers: Headers, set: readonly Field[], merged: readonly Field[]): void {
  const changes: Field[] = [];
  headers.forEach((value, name) => {
    if (isCredential(name)) {
      if (!has(set, name)) changes.push([name, ""]);
    } else if (name === "connection") {
      const left = keptThroughHops(value, (element) => has(set, element) || has(merged, element));
      if (left !== value) changes.push([name, left]);
    }
  });
  for (const [name, value] of changes) {
    if (value === "") headers.delete(name);
    else headers.set(name, value);
  }
  for (const [name, value] of set) headers.set(name, value);
  for (const [name, value] of merged) {
    const theirs = headers.get(name);
    headers.set(name, theirs === null ? value : union(theirs, value));
  }
}

function has(fields: readonly Field[], name: string): boolean {
  for (const [other] of fields) if (other === name) return true;
  return false;
}

/** A `connection` field without what would have the next hop drop one of our headers (RFC 9110 section 7.6.1). */
function keptThroughHops(value: string, isOurs: (element: string) => boolean): string {
  const elements = value.split(",").map((element) => element.trim());
  const kept = elements.filter((element) => element !== "" && !isOurs(element.toLowerCase()) && !isCredential(element.toLowerCase()));
  return kept.length === elements.length ? value : kept.join(", ");
}

/** The elements of two comma-separated values, in order, each once. */
export function union(theirs: string, ours: string): string {
  const elements = `${theirs},${ours}`.split(",").map((element) => element.trim());
  return [...new Set(elements.filter((element) => element !== ""))].join(",");
}
