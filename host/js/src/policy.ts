// What the component may have done for it. It asks; this decides, whatever it says.

import { OptionError } from "./errors.js";

/** Limits on everything that leaves or enters on the component's word. */
export interface PolicyOptions {
  /**
   * Origins, beside `https://api.anthropic.com`, that requests and tokens may go to: a scheme, a host and perhaps a port.
   * Plain `http` is for `localhost`, `127.0.0.1` and `[::1]` only.
   */
  readonly allowOrigins?: readonly string[];
  /** Read files below these directories only. Symbolic links are followed, and must end below one of them. */
  readonly allowDirectories?: readonly string[];
  /** Environment variables to read, beside those that discovery reads, where it does. */
  readonly allowVariables?: readonly string[];
  /** Ends requests to the token endpoint after this time, in milliseconds; 60,000 by default. */
  readonly requestTimeoutMs?: number;
  /** Ends calls of callables, signers and stores after this time, in milliseconds; 30,000 by default. */
  readonly callableTimeoutMs?: number;
}

/** What discovery reads. */
const VARIABLES = ["HOME", "XDG_CONFIG_HOME", "APPDATA", "USERPROFILE"];
const DISCOVERED = /^ANTHROPIC_(API_KEY|AUTH_TOKEN|PROFILE|CONFIG_DIR|BASE_URL|FEDERATION_RULE_ID|ORGANIZATION_ID|SERVICE_ACCOUNT_ID|WORKSPACE_ID|IDENTITY_TOKEN(_FILE)?)$/;
const VARIABLES_PREFIX = "ANTHROPIC_";
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** The policy in force. Each check gives the rule that refuses, with the way to allow it, or undefined. */
export class Policy {
  readonly #origins: readonly string[];
  readonly #variables: ReadonlySet<string>;
  /** Undefined: files anywhere. */
  readonly directories: readonly string[] | undefined;
  readonly requestTimeoutMs: number;
  readonly callableTimeoutMs: number;

  /** The configuration leaves it to discovery. */
  readonly #discovers: boolean;
  /** The variable that it names. */
  readonly #named: unknown;

  constructor(options: PolicyOptions = {}, configuration = "{}") {
    const { federation, bearer } = parsed(configuration);
    this.#discovers = federation === undefined && bearer === undefined;
    this.#named = federation?.identity_token?.name;
    this.#origins = ["https://api.anthropic.com", ...(options.allowOrigins ?? [])].map(parseOrigin);
    this.#variables = new Set([...VARIABLES, ...(options.allowVariables ?? [])]);
    this.directories = options.allowDirectories;
    this.requestTimeoutMs = duration("requestTimeoutMs", options.requestTimeoutMs ?? 60_000);
    this.callableTimeoutMs = duration("callableTimeoutMs", options.callableTimeoutMs ?? 30_000);
  }

  checkOrigin(origin: string): string | undefined {
    if (this.#origins.includes(bareOrigin(origin) ?? "")) return undefined;
    const allowed = this.#origins.join(" and ");
    return `the policy allows ${allowed} only, not ${printable(origin)}; allow it with policy.allowOrigins`;
  }

  /** Whether this URL is of this origin, which is allowed; without user information or a fragment. */
  checkUrl(url: string, origin: string): string | undefined {
    const refused = this.checkOrigin(origin);
    if (refused !== undefined) return refused;
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    const bare = parsed !== undefined && parsed.username === "" && parsed.password === "" && parsed.hash === "";
    return bare && parsed.origin === bareOrigin(origin) ? undefined : `the URL is not one of ${printable(origin)}`;
  }

  checkVariable(name: string): string | undefined {
    const named = name === this.#named && name.startsWith(VARIABLES_PREFIX);
    if (named || (this.#discovers && DISCOVERED.test(name)) || this.#variables.has(name)) return undefined;
    return `the policy does not allow the variable ${printable(name)}; allow it with policy.allowVariables`;
  }
}

/** What is wrong with a configuration, the component says. */
function parsed(configuration: string): { federation?: { identity_token?: { name?: unknown } }; bearer?: unknown } {
  try {
    return JSON.parse(configuration) ?? {};
  } catch {
    return {};
  }
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
function printable(text: string): string {
  return text.slice(0, 200).replace(/[^ -~]/g, "?");
}
