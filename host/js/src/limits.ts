// The numbers that hold a component in check, whatever it says. The README's table "Limits of the component" states them.

// ---- time -----------------------------------------------------------------------------------------------------------------

/** Of each second the component has this part for itself; the rest is the program's. */
export const SHARE = 0.2;
/** So much of its own time it may take at once, in milliseconds: what is over is waited out before it is entered again. */
export const AT_ONCE_MS = 500;
/** A step counts as so long at least, in milliseconds, for no clock shows shorter ones: 1,000 steps a second. */
export const STEP_AT_LEAST_MS = 0.2;
/** No rest is longer, in milliseconds: the machine may have slept in the middle of a step. */
export const LONGEST_REST_MS = 60_000;
/** After a step that took so long, in milliseconds, others have their turn. */
export const LONG_STEP_MS = 5;
/** After so many tasks others have their turn. */
export const TASKS_IN_A_TURN = 64;
/** Between a step's end and the wake that it asked for lies so much time at least, and at most, in milliseconds. */
export const WAKE_MS = [5, 24 * 3_600_000] as const;

// ---- what it has told and sent ----------------------------------------------------------------------------------------------

/** So many notes, and changes that are told with them, may come at once, and then so many in each minute: others are left out. */
export const NOTES = { atOnce: 256, perMinute: 240 } as const;
/** So many requests, identity tokens and signatures, of each, may be asked for at once, and then so many in each minute. */
export const REQUESTS = { atOnce: 32, perMinute: 60 } as const;
/** No output of the contract has as many notes or headers. */
export const MAX_LIST = 64;
/** What is told for people is cut after so many characters. */
export const MAX_TEXT = 2_000;
/** A note has no more details. */
export const MAX_DETAILS = 16;
/** So many tasks of a session may be out. */
export const MAX_TASKS = 64;

// ---- what callers are told --------------------------------------------------------------------------------------------------

/** No caller is held up for longer, whatever the component says. */
export const WAIT_AT_MOST_MS = 30_000;
/** Callers who say that a token is needed are heard again after this time at the latest, and not at once. */
export const NUDGE_AGAIN_MS = 1_000;
