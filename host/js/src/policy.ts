// What the component may have done for it. It asks; this decides, whatever it says.

import { OptionError } from "./errors.js";
import { authority } from "./plugin/authority.js";
import { type Asked, Sources } from "./sources.js";

/** Limits on everything that leaves or enters on the component's word. */
export interface PolicyOptions {
  /**
   * Origins, beside `https://api.anthropic.com`, that requests and tokens may go to: a scheme, a host and perhaps a port.
   * Plain `http` is for `localhost`, `127.0.0.1` and `[::1]` only.
   */
  readonly allowOrigins?: readonly string[];
  /**
   * Also allow every port of this very machine (`localhost`, `127.0.0.1`, `[::1]`), for development. In Node, Deno and Bun the
   * variable `WIF_ALLOW_LOOPBACK` says it by default, with 1 or true. Never allows anything else.
   */
  readonly allowLoopback?: boolean;
  /** Read files below these directories only. Symbolic links are followed, and must end below one of them. */
  readonly allowDirectories?: readonly string[];
  /** Environment variables that may be read where the configuration names them, beside those that discovery reads, where it does. */
  readonly allowVariables?: readonly string[];
  /**
   * Ask these sources for identity tokens only, such as `aws`. Without it any source may be asked that the configuration names. A
   * recipe of the configuration's own (`http`) sends requests to `allowOrigins` only.
   */
  readonly allowSources?: readonly string[];
  /** Ends requests to the token endpoint after this time, in milliseconds; 60,000 by default. */
  readonly requestTimeoutMs?: number;
  /** Ends calls of callables, signers and stores after this time, in milliseconds; 30,000 by default. */
  readonly callableTimeoutMs?: number;
}

/** What discovery reads. */
const DISCOVERED: ReadonlySet<string> = new Set(authority.variables);
/** Where every exchange goes, below the path of `base_url`. */
const ENDPOINT = authority.exchange.path;
/** Of variables that the configuration names, those of the vendor need no leave. */
const VARIABLES_PREFIX = "ANTHROPIC_";
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** What is looked for in a profile. */
interface Profile {
  readonly authentication?: { readonly identity_token?: { readonly path?: unknown }; readonly credentials_path?: unknown };
  readonly base_url?: unknown;
}

/** The policy in force. Each check gives the rule that refuses, with the way to allow it, or undefined. */
export class Policy {
  readonly #origins: readonly string[];
  readonly #loopback: boolean;
  readonly #variables: ReadonlySet<string>;
  /** Undefined: wherever the configuration and discovery lead. */
  readonly directories: readonly string[] | undefined;
  readonly requestTimeoutMs: number;
  readonly callableTimeoutMs: number;

  /** The configuration leaves it to discovery. */
  readonly #discovers: boolean;
  /** The variable that it names. */
  readonly #named: unknown;
  /** The sources that it names by their recipes or discovery finds, and those that may be asked. */
  readonly #sources: Sources;
  readonly #allowedSources: readonly string[] | undefined;
  /** The file that it names. */
  readonly #file: unknown;
  /** The directory of profiles that it names. */
  readonly #configDir: unknown;
  /** The API's origin, and the path before the token endpoint's, where it names one. */
  readonly #baseOrigin: string | undefined;
  readonly #basePath: string | undefined;
  /** What was read of variables, by name; the files that the profiles name which were read, and the paths of their `base_url`. */
  readonly #told = new Map<string, string>();
  readonly #toldByProfiles = new Set<unknown>();
  /** The credentials files that profiles name. */
  readonly #credentials = new Set<unknown>();
  readonly #pathsOfProfiles = new Set<string>();
  readonly #hidden = new Set<string>();

  constructor(options: PolicyOptions = {}, configuration = "{}") {
    const document = parsed(configuration);
    const { federation, bearer, discover, base_url: baseUrl } = document ?? {};
    this.#discovers = document !== undefined && federation === undefined && bearer === undefined;
    const identityToken = federation?.identity_token;
    this.#named = identityToken?.["source"] === "variable" ? identityToken["name"] : undefined;
    this.#file = identityToken?.["source"] === "file" ? identityToken["path"] : undefined;
    this.#sources = new Sources(this.#discovers ? "discovered" : (federation?.identity_token ?? {}), (name) => this.#told.get(name));
    this.#allowedSources = options.allowSources;
    this.#configDir = discover?.config_dir;
    if (baseUrl !== undefined && URL.canParse(baseUrl)) this.#baseOrigin = new URL(baseUrl).origin;
    if (baseUrl !== undefined) this.#basePath = basePath(baseUrl);
    else if (!this.#discovers) this.#basePath = "";
    this.#origins = ["https://api.anthropic.com", ...(options.allowOrigins ?? [])].map(parseOrigin);
    this.#loopback = options.allowLoopback === true;
    this.#variables = new Set(options.allowVariables);
    this.directories = options.allowDirectories;
    this.requestTimeoutMs = duration("requestTimeoutMs", options.requestTimeoutMs ?? 60_000);
    this.callableTimeoutMs = duration("callableTimeoutMs", options.callableTimeoutMs ?? 30_000);
  }

  checkOrigin(origin: string): string | undefined {
    const bare = bareOrigin(origin) ?? "";
    if (this.#origins.includes(bare)) return undefined;
    const local = URL.canParse(bare) && LOOPBACK.has(new URL(bare).hostname);
    if (local && this.#loopback) return undefined;
    const allowed = this.#origins.join(" and ");
    const how = local ? "policy.allowOrigins, or every port of this machine with WIF_ALLOW_LOOPBACK=1" : "policy.allowOrigins";
    return `the policy allows ${allowed} only, not ${printable(origin)}; allow it with ${how}`;
  }

  /** Whether a token may be for this origin: it is allowed, and the one that the configuration names, where it names one. */
  checkTokenOrigin(origin: string): string | undefined {
    const refused = this.checkOrigin(origin);
    if (refused !== undefined || this.#baseOrigin === undefined || bareOrigin(origin) === this.#baseOrigin) return refused;
    return `base_url names another origin than ${printable(origin)}`;
  }

  /** Whether this URL is of this origin, which is allowed; without user information or a fragment. */
  checkUrl(url: string, origin: string): string | undefined {
    const refused = this.checkTokenOrigin(origin);
    if (refused !== undefined) return refused;
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    const bare = parsed !== undefined && parsed.username === "" && parsed.password === "" && parsed.hash === "";
    return bare && parsed.origin === bareOrigin(origin) ? undefined : `the URL is not one of ${printable(origin)}`;
  }

  /** Whether this is the token endpoint. The text and not the parsed URL: a parser takes out dot segments, and an empty query. */
  checkEndpoint(url: string): string | undefined {
    const { origin, href } = new URL(url);
    const right = this.#basePaths().some((path) => href === origin + path + ENDPOINT);
    if (right && !/[?#%\\]|\/\.\.?\/|[^!-~]|[^:]\/\//.test(url)) return undefined;
    return `the policy allows requests to the path ${(this.#basePath ?? "") + ENDPOINT} only, without a query`;
  }

  /** The paths that may stand before the token endpoint's own. Where discovery finds `base_url`, a variable or a profile tells it. */
  #basePaths(): readonly string[] {
    if (this.#basePath !== undefined) return [this.#basePath];
    const told = this.#told.get("ANTHROPIC_BASE_URL");
    return told ? [basePath(told)] : ["", ...this.#pathsOfProfiles];
  }

  checkFile(path: string): string | undefined {
    if (path === this.#file) return undefined;
    const source = this.#sources.ofFile(path);
    if (source !== undefined) return this.#checkSourceName(source);
    const told = path === this.#expanded(this.#told.get("ANTHROPIC_IDENTITY_TOKEN_FILE")) || this.#toldByProfiles.has(path);
    const found = told || this.directoryOfProfile(path) !== undefined || this.isCredentials(path);
    if (this.#discovers && found) return undefined;
    return `the configuration does not name the file ${printable(path)}, and discovery does not read it`;
  }

  /**
   * The variables that decide which credential discovery finds, and where it is exchanged. CLAUDE_CODE_OAUTH_TOKEN is not among them: a
   * program that may read `ANTHROPIC_*` alone has chosen not to use it.
   */
  decisive(): string[] {
    return this.#discovers ? [...DISCOVERED].filter((name) => name.startsWith(VARIABLES_PREFIX)) : [];
  }

  /** The runtime hid a variable: it is told with what discovery then does not find. */
  variableWasHidden(name: string): void {
    this.#hidden.add(name);
  }

  /** A sentence about what the runtime hid, if anything. */
  hidden(): string {
    const names = [...this.#hidden].join(", ");
    return names === "" ? "" : ` The runtime does not let this program read ${names}.`;
  }

  /** The content of a variable was handed over: it may name a file. */
  variableWasRead(name: string, value: string): void {
    this.#told.set(name, value.trim());
  }

  /** The content of a file was handed over: a profile names others. */
  fileWasRead(path: string, content: string): void {
    if (this.directoryOfProfile(path) === undefined) return;
    try {
      const profile = JSON.parse(content) as Profile | null;
      // Whoever could write another member into it must not open another file by it.
      const path: unknown = profile?.authentication?.identity_token?.path;
      if (typeof path === "string") this.#toldByProfiles.add(this.#expanded(path.trim()));
      const credentials: unknown = profile?.authentication?.credentials_path;
      if (typeof credentials === "string" && credentials.trim() !== "") this.#credentials.add(this.#expanded(credentials.trim()));
      if (typeof profile?.base_url === "string") this.#pathsOfProfiles.add(basePath(profile.base_url));
    } catch {
      // The component says what is wrong with it.
    }
  }

  /** `~` is the home directory, as in discovery. */
  #expanded(path: unknown): unknown {
    const home = this.#told.get("HOME");
    return typeof path === "string" && path.startsWith("~/") && home ? `${home.replace(/\/+$/, "")}${path.slice(1)}` : path;
  }

  /**
   * The directory of a file that discovery reads for itself, `active_config` or a profile. The file has to be in it without links, too,
   * and nobody else may be able to write it: it opens other files.
   */
  directoryOfProfile(path: string): string | undefined {
    return this.#directoryWith(path, /^(active_config|configs\/[^/]+\.json)$/);
  }

  /** Whether it is the credentials file of a profile. It holds a person's login, so nobody else may be able to read it. */
  isCredentials(path: string): boolean {
    return this.#credentials.has(path) || this.#directoryWith(path, /^credentials\/[^/.][^/]*\.json$/) !== undefined;
  }

  /** The directory of profiles that this path is in, if the rest of the path is like this. */
  #directoryWith(path: string, rest: RegExp): string | undefined {
    if (!this.#discovers) return undefined;
    const below = (name: string, suffix: string) => {
      const directory = this.#told.get(name);
      return directory ? [directory.replace(/\/+$/, "") + suffix] : [];
    };
    const chosen = typeof this.#configDir === "string" ? [this.#configDir] : below("ANTHROPIC_CONFIG_DIR", "");
    const usual = [...below("HOME", "/.config/anthropic"), ...below("XDG_CONFIG_HOME", "/anthropic"), ...below("APPDATA", "/Anthropic")];
    return (chosen.length > 0 ? chosen : usual).find((directory) => {
      const root = `${directory.trimEnd().replace(/\/+$/, "")}/`;
      // The root is nobody's directory of profiles, and a blank names none.
      return root.trimStart() !== "/" && path.startsWith(root) && rest.test(path.slice(root.length));
    });
  }

  /** Whether a source may send this request. */
  checkSource(name: string, origin: string, asked: Asked): string | undefined {
    const refused = this.#checkSourceName(name);
    if (refused !== undefined) return refused;
    if (!URL.canParse(asked.url) || new URL(asked.url).origin !== bareOrigin(origin)) return `the URL is not one of ${printable(origin)}`;
    return (this.#sources.isOwn(name) ? this.checkOrigin(origin) : undefined) ?? this.#sources.refuse(name, asked);
  }

  #checkSourceName(name: string): string | undefined {
    if (this.#allowedSources === undefined || name === "auto" || this.#allowedSources.includes(name)) return undefined;
    return `the policy does not allow the source ${printable(name)}; allow it with policy.allowSources`;
  }

  checkVariable(name: string): string | undefined {
    const source = this.#sources.ofVariable(name);
    if (source !== undefined) return this.#checkSourceName(source);
    if (this.#discovers && DISCOVERED.has(name)) return undefined;
    if (name !== this.#named && !this.#sources.readsOfItsOwn(name))
      return `the configuration does not name the variable ${printable(name)}, and discovery does not read it`;
    if (name.startsWith(VARIABLES_PREFIX) || this.#variables.has(name)) return undefined;
    return `the policy does not allow the variable ${printable(name)}; allow it with policy.allowVariables`;
  }
}

/** As much of a configuration as matters here. */
interface Document {
  readonly federation?: { readonly identity_token?: Readonly<Record<string, unknown>> };
  readonly bearer?: unknown;
  readonly discover?: { readonly config_dir?: unknown };
  readonly base_url?: string;
}

/** Undefined for what is no document: what is wrong with it, the component says. */
function parsed(configuration: string): Document | undefined {
  try {
    const document: unknown = JSON.parse(configuration);
    return typeof document === "object" && document !== null ? document : undefined;
  } catch {
    return undefined;
  }
}

/** The path of a `base_url`, without the slash at its end. */
function basePath(baseUrl: string): string {
  return URL.canParse(baseUrl) ? new URL(baseUrl).pathname.replace(/\/+$/, "") : "";
}

/** An origin as the URL parser writes it. */
export function parseOrigin(text: string): string {
  const origin = bareOrigin(text);
  if (origin === undefined) {
    const example = "write a scheme, a host and perhaps a port, such as https://api.anthropic.com";
    throw new OptionError(`${printable(text)} is no origin: ${example}`);
  }
  const { protocol, hostname } = new URL(origin);
  if (protocol === "http:" && !LOOPBACK.has(hostname)) {
    throw new OptionError(`${printable(text)} is plain HTTP to another machine; use https, or a loopback host`);
  }
  return origin;
}

/** Undefined for what is more, or less, than an origin of `http` or `https`. */
function bareOrigin(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const web = url.protocol === "https:" || url.protocol === "http:";
  const bare = url.username === "" && url.password === "" && url.hash === "" && url.search === "" && url.pathname === "/";
  return web && bare && !/[?#@]/.test(text) ? url.origin : undefined;
}

function duration(name: string, value: number): number {
  if (Number.isFinite(value) && value >= 1) return Math.min(value, 2 ** 31 - 1);
  throw new OptionError(`policy.${name} is a number of milliseconds, from 1 on`);
}

/** What a stranger wrote, for people: cut, and without control characters. */
export function printable(text: string): string {
  return text.slice(0, 200).replace(/[^ -~]/g, "?");
}
