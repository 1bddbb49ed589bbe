// What the configured source of identity tokens may ask for: what its recipe names, and nothing else. The recipe is read here, and
// not by the component. What only an answer can tell is taken as it comes, but never for the server that a request goes to.

import { platforms } from "./plugin/sources.js";

/** As much of a recipe as matters to a host: which variables, files and requests there are. */
export interface Recipe {
  readonly name?: string;
  readonly parameters?: Readonly<Record<string, { readonly default?: string }>>;
  readonly detect?: readonly (readonly string[])[];
  readonly steps: readonly Step[];
}

interface Step {
  readonly as?: string;
  readonly variable?: string;
  readonly file?: string;
  readonly set?: string;
  readonly encoded?: boolean;
  readonly sign?: unknown;
  readonly request?: Hop;
}

interface Hop {
  readonly method: string;
  readonly url: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly form?: unknown;
  readonly json?: unknown;
  readonly aws?: unknown;
  readonly take?: Readonly<Record<string, string>>;
}

/** A request, as far as it is checked here. */
export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly hasBody: boolean;
}

/** Stands in a text for what nobody knows before an answer. */
const ANY = "any0thing0";
/** More readings of one value than a recipe can mean. */
const MAX_READINGS = 32;
/** The header fields that a signature of AWS adds. */
const OF_AWS = ["authorization", "x-amz-date", "x-amz-security-token"];

/** The sources that a configuration names. */
export class Sources {
  readonly #own: boolean;
  readonly #auto: boolean;
  readonly #recipes: readonly Recipe[];
  readonly #given: Readonly<Record<string, unknown>>;
  /** What was read of a variable. */
  readonly #told: (name: string) => string | undefined;
  /** Discovery looks for the platform, where the variables of a federation lack the identity token alone. */
  readonly #discovered: boolean;

  constructor(identityToken: Readonly<Record<string, unknown>> | "discovered", told: (name: string) => string | undefined) {
    this.#discovered = identityToken === "discovered";
    const given = identityToken === "discovered" ? { source: "auto" } : identityToken;
    const { source, recipe }: Readonly<Record<string, unknown>> = given;
    const known: readonly Recipe[] = platforms;
    this.#own = source === "http";
    this.#auto = source === "auto";
    // Whatever it calls itself: it must not pass for a platform.
    if (this.#own) this.#recipes = isRecipe(recipe) ? [{ ...recipe, name: "http" }] : [];
    else this.#recipes = this.#auto ? known : known.filter(({ name }) => name === source);
    this.#given = given;
    this.#told = told;
  }

  /** The platform whose recipe reads this variable. It needs no other leave than that of the source. */
  ofVariable(name: string): string | undefined {
    if (this.#own) return undefined;
    const tells = this.#auto && this.#asks() && this.#recipes.some(({ detect = [] }) => detect.flat().includes(name));
    if (tells) return "auto";
    return this.#live().find((recipe) => this.#filled(recipe, "variable").includes(name))?.name;
  }

  /** Whether a recipe of the configuration's own reads this variable. It needs leave for it. */
  readsOfItsOwn(variable: string): boolean {
    return this.#own && this.#recipes.some((recipe) => this.#filled(recipe, "variable").includes(variable));
  }

  /** The source whose recipe reads this file. */
  ofFile(path: string): string | undefined {
    return this.#live().find((recipe) => this.#filled(recipe, "file").includes(path))?.name;
  }

  /** Whether a recipe is the configuration's own, and no platform's. */
  isOwn(name: string): boolean {
    return this.#own && name === "http";
  }

  /** The rule that refuses a source's request; undefined where its recipe sends it. */
  refuse(name: string, { method, url, headers, hasBody }: Asked): string | undefined {
    const recipe = this.#live().find((known) => known.name === name);
    if (recipe === undefined) return "the configuration does not name this source";
    const readings = this.#readings(recipe);
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    const sends = recipe.steps.some(({ request }) => {
      if (request === undefined || parsed === undefined || request.method !== method || (hasBody && !takesABody(request))) return false;
      const sent = names(request);
      return headers.every((header) => sent.includes(header)) && fill(request.url, readings, true).some((meant) => leadsTo(meant, request, parsed));
    });
    if (parsed === undefined || !sends) return "the source sends no such request";
    if (parsed.protocol === "https:" || isNear(parsed.hostname)) return undefined;
    return "plain http is for this machine and its metadata service only";
  }

  /** Whether any source is to be asked. */
  #asks(): boolean {
    const set = (name: string) => (this.#told(name) ?? "") !== "";
    const lacksOnlyTheToken =
      ["ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_ORGANIZATION_ID"].every(set) &&
      !["ANTHROPIC_IDENTITY_TOKEN_FILE", "ANTHROPIC_IDENTITY_TOKEN"].some(set);
    return !this.#discovered || lacksOnlyTheToken;
  }

  /** With `auto` those whose variables are set. */
  #live(): readonly Recipe[] {
    const set = (name: string) => (this.#told(name) ?? "") !== "";
    if (!this.#asks()) return [];
    return this.#auto ? this.#recipes.filter(({ detect = [] }) => detect.some((list) => list.every(set))) : this.#recipes;
  }

  #filled(recipe: Recipe, key: "variable" | "file"): string[] {
    const readings = this.#readings(recipe);
    return recipe.steps.flatMap((step) => (step[key] === undefined ? [] : fill(step[key], readings, false)));
  }

  /** Every value that a run can know under a name. */
  #readings(recipe: Recipe): Map<string, string[]> {
    const readings = new Map<string, string[]>();
    const add = (name: string | undefined, values: readonly string[]) => {
      if (name === undefined) return;
      readings.set(name, [...new Set([...(readings.get(name) ?? []), ...values])].slice(0, MAX_READINGS));
    };
    for (const [name, about] of Object.entries(recipe.parameters ?? {})) {
      const value = this.#given[name] ?? about.default;
      if (typeof value === "string") add(name, [value]);
    }
    for (const { as, variable, file, set, encoded, sign, request } of recipe.steps) {
      if (variable !== undefined) add(as, fill(variable, readings, false).flatMap((name) => this.#told(name) || []));
      if (set !== undefined) add(as, fill(set, readings, false).map((value) => (encoded === true ? percentEncoded(value) : value)));
      if (file !== undefined || sign !== undefined) add(as, [ANY]);
      for (const name of Object.keys(request?.take ?? {})) add(name, [ANY]);
    }
    return readings;
  }
}

function isRecipe(value: unknown): value is Recipe {
  return typeof value === "object" && value !== null && "steps" in value && Array.isArray(value.steps) && value.steps.every(isStep);
}

function isStep(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

/** The header fields that a request can have. */
function names({ headers = {}, form, json, aws }: Hop): string[] {
  return [...Object.keys(headers), ...(aws === undefined ? [] : OF_AWS), ...(takesABody({ form, json }) ? ["content-type"] : [])];
}

function takesABody({ form, json }: Pick<Hop, "form" | "json">): boolean {
  return form !== undefined || json !== undefined;
}

/** All texts that a template can become. */
function fill(template: string, readings: ReadonlyMap<string, readonly string[]>, url: boolean): string[] {
  let texts = [""];
  // Holes stand at odd places.
  for (const [index, part] of template.split(/\{([a-z0-9_]+)\}/).entries()) {
    if (index % 2 === 0) texts = texts.map((text) => (url && part.startsWith("/") ? text.replace(/([^:/])\/$/, "$1") : text) + part);
    else texts = texts.flatMap((text) => (readings.get(part) ?? []).map((value) => text + (url ? inUrl(text, value) : value))).slice(0, MAX_READINGS);
  }
  return texts;
}

/** What a value becomes in a URL of which so much is there: it adds nothing to its structure, unless it is the beginning. */
function inUrl(before: string, value: string): string {
  if (before === "") return value;
  return before.endsWith("://") && /^[0-9a-f]*:[0-9a-f:]*$/i.test(value) ? `[${value}]` : percentEncoded(value);
}

/** All but the unreserved characters of RFC 3986 section 2.3 as `%XX`. */
function percentEncoded(value: string): string {
  return encodeURIComponent(value).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Whether a URL is what the recipe means: the same server, path and names in the query. */
function leadsTo(reading: string, { query = {} }: Hop, url: URL): boolean {
  if (!URL.canParse(reading)) return false;
  const meant = new URL(reading);
  if (meant.host.includes(ANY) || meant.origin !== url.origin) return false;
  if (url.username !== "" || url.password !== "" || url.hash !== "") return false;
  const [wanted, path] = [meant.pathname.split("/"), url.pathname.split("/")];
  const same = wanted.length === path.length && wanted.every((segment, index) => isSegment(segment, path[index] ?? ""));
  return same && [...url.searchParams.keys()].every((name) => meant.searchParams.has(name) || name in query);
}

function isSegment(meant: string, segment: string): boolean {
  const at = meant.indexOf(ANY);
  if (at < 0) return meant === segment;
  const [before, after] = [meant.slice(0, at), meant.slice(at + ANY.length)];
  const same = segment.length > before.length + after.length && segment.startsWith(before) && segment.endsWith(after);
  return same && !climbs(segment);
}

/** Whether a server that decodes this part of a path before it takes it apart would find a way up in it. */
function climbs(segment: string): boolean {
  const decoded = segment.replace(/%2e/gi, ".").replace(/%2f/gi, "/").replace(/%5c/gi, "/");
  return decoded.split("/").some((part) => part === "." || part === "..");
}

/** This machine, and the metadata services of clouds: link-local addresses, AWS's in IPv6, Google's name. */
function isNear(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\]|169\.254\.\d+\.\d+|\[fd00:ec2:[0-9a-f:]*\]|metadata\.google\.internal)$/.test(host);
}
