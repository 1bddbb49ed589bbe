// The numbers that hold a component in check, whatever it says: those of `wit/authority.json`, and a few of this host's own. The
// README's table "Limits of the component" states them.

import { authority } from "./plugin/authority.js";

const { limits } = authority;

// ---- time -----------------------------------------------------------------------------------------------------------------

/** The component has this part of the time on its thread; the rest is the program's. */
export const SHARE = 1 / (1 + limits.rest);
/**
 * So much of its own time it may take at once, in milliseconds: what is over is waited out before it is entered again. A runtime
 * compiles what a session does first while it does it, so the first long steps are not the component's doing.
 */
export const AT_ONCE_MS = 500;
/** A step counts as so long at least, in milliseconds, for no clock shows shorter ones: 1,000 steps a second. */
export const STEP_AT_LEAST_MS = 0.2;
/** No rest is longer, in milliseconds: the machine may have slept in the middle of a step. */
export const LONGEST_REST_MS = 60_000;
/** After a step that took so long, in milliseconds, others have their turn. */
export const LONG_STEP_MS = limits["long-step-ms"];
/** After so many tasks others have their turn. */
export const TASKS_IN_A_TURN = 64;
/** Between a step's end and the wake that it asked for lies so much time at least, and at most, in milliseconds. */
export const WAKE_MS = [limits["wake-at-least-ms"], limits["wake-at-most-ms"]] as const;

/**
 * A call of the component ends after so many instructions, as the module counts them, where no platform ends a program that goes on
 * for ever. An identity token of 16 KiB takes a fiftieth of it, and the most laborious answer that was found a fifth.
 */
export const MAX_INSTRUCTIONS = 500_000_000;

// ---- what it has told and sent ----------------------------------------------------------------------------------------------

/** So many notes, and changes that are told with them, may come at once, and then one for each pause: others are left out. */
export const NOTES = { atOnce: limits["notes-at-once"], everyMs: limits["note-every-ms"] } as const;
/** So many requests, identity tokens and signatures, of each, may be asked for at once, and then one for each pause. */
export const REQUESTS = { atOnce: limits["requests-at-once"], everyMs: limits["request-every-ms"] } as const;
/** So many entries may be loaded from the store at once, swapped in it, and journals kept, of each, and then one for each pause. */
export const ENTRIES = { atOnce: limits["entries-at-once"], everyMs: limits["entry-every-ms"] } as const;
/** No output has as many notes or headers, and no note as many fields. */
export const MAX_LIST = limits.list;
/** No note is longer. */
export const MAX_NOTE = limits["note-bytes"];
/** No value of a header field of a credential is longer, in bytes: every request carries it. */
export const MAX_FIELD = limits["field-bytes"];
/** No journal is longer, in bytes, and no value of an entry that is swapped in. */
export const MAX_JOURNAL = limits["journal-bytes"];
/** Other texts for people are cut after so many characters. */
export const MAX_TEXT = 2_000;
/** So many tasks of a session may be out. */
export const MAX_TASKS = limits.tasks;
/** Neither a request nor an answer is larger, in bytes. */
export const MAX_REQUEST_BYTES = limits["request-bytes"];
export const MAX_RESPONSE_BYTES = limits["response-bytes"];
/** More header fields than any request of the contract has. */
export const MAX_REQUEST_HEADERS = limits["request-headers"];
/** No file is larger, in bytes, and nothing that the program supplies is longer, in characters. */
export const MAX_CONTENT = limits["content-bytes"];

// ---- what callers are told --------------------------------------------------------------------------------------------------

/** No caller is held up for longer, whatever the component says. */
export const WAIT_AT_MOST_MS = limits["wait-at-most-ms"];
/** Callers who say that a token is needed are heard again after this time at the latest, and not at once. */
export const NUDGE_AGAIN_MS = 1_000;
