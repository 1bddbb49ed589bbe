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
  const lower = name.toLowerCase();
  const dashed = lower.includes("_") ? lower.replaceAll("_", "-") : lower;
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

/** The fields without any form of a caller's credential. */
export function stripped(fields: readonly Field[]): Field[] {
  return fields.filter(([name]) => !isCredential(name));
}

/**
 * The fields of a request with our credential in place of any form of the caller's own: `set` replaces, `merged` is added to
 * what is there. What stays as it was is the same object as before.
 */
export function credentialed(fields: readonly Field[], set: readonly Field[], merged: readonly Field[]): Field[] {
  const kept: Field[] = [];
  for (const field of fields) {
    const [name, value] = field;
    if (isCredential(name) || has(set, name)) continue;
    const ours = merged.find(([other]) => other === name);
    if (ours !== undefined) kept.push([name, union(value, ours[1])]);
    else if (name !== "connection") kept.push(field);
    else {
      const left = keptThroughHops(value, (element) => has(set, element) || has(merged, element));
      if (left === value) kept.push(field);
      else if (left !== "") kept.push([name, left]);
    }
  }
  kept.push(...set);
  for (const [name, value] of merged) if (!has(fields, name)) kept.push([name, union("", value)]);
  return kept;
}

function has(fields: readonly Field[], name: string): boolean {
  return fields.some(([other]) => other === name);
}

/** A `connection` field without what would have the next hop drop one of our headers (RFC 9110 section 7.6.1). */
function keptThroughHops(value: string, isOurs: (element: string) => boolean): string {
  const elements = value.split(",").map((element) => element.trim());
  const kept = elements.filter((element) => element !== "" && !isOurs(element.toLowerCase()) && !isCredential(element));
  return kept.length === elements.length ? value : kept.join(", ");
}

/** The elements of two comma-separated values, in order, each once. */
function union(theirs: string, ours: string): string {
  const elements = `${theirs},${ours}`.split(",").map((element) => element.trim());
  return [...new Set(elements.filter((element) => element !== ""))].join(",");
}
