/* wif.h - an access token for the Claude API from the identity token that a workload has anyway, kept fresh.
 *
 *     char *error = NULL;
 *     wif_credential *credential = wif_open("{}", NULL, NULL, 0, NULL, NULL, &error);
 *     const wif_token *token = wif_get_token(credential, 10000, &error);
 *     ... "Authorization: Bearer " + token->value, to token->origin and nowhere else ...
 *     wif_token_free(token);
 *     wif_close(credential);
 *
 * THREADS. Every function may be called from any thread, at the same time, on the same credential, unless its comment says otherwise.
 * A credential has one thread of its own for its work, and more for callables while they run. All of them block all signals, so the
 * program's handlers run on the program's threads. The library installs no signal handler and changes no locale, no working
 * directory and no environment variable. It reads environment variables with getenv's rules: no other thread may set one meanwhile.
 *
 * OWNERSHIP. What a function takes, it copies before it returns, unless its comment says otherwise. What it returns is the caller's,
 * who frees it with the one function that its comment names. NULL may be freed. Texts are UTF-8 and end with a zero byte.
 *
 * ERRORS. A function with the parameter `error` returns NULL if it fails, and then stores a JSON document in *error, for
 * wif_string_free. `error` itself may be NULL. The document has "code", "message" and "action", and where they are known
 * "retry-in-ms", "rotation-in-ms", "status", "request-id" and "field". README.md has the table of codes. Where nothing failed, *error
 * is left as it was. No error holds a secret. No panic and no exception leaves a function: what should never happen is an error with
 * the code "internal", and a line on the standard error output that says where.
 *
 * CALLBACKS are called on threads of the library. They may take their time, and may call every function of this header but
 * wif_close. They must return normally: longjmp and C++ exceptions must not pass through the library.
 *
 * FORK. After fork() a credential goes on in the child: the first call there opens it anew, with a new thread and a new seed, from what
 * the parent knew at that moment. The token that the parent had is served on, and an identity token that was spent is not sent again.
 * Parent and child then are two: without a store that they share ("store_directory") each exchanges the next identity token for
 * itself, and where one can be exchanged once, the second is refused and waits for the next. Tokens taken before the fork stay valid in
 * both. The descriptor of wif_fd has the same number in the child and a notification of its own. Operations of wif_get_token_async that
 * were begun in the parent never call back in the child, and requests of wif_send that were begun there are none of the child's. If it
 * cannot be opened anew, calls in the child fail with the code "closed".
 * fork() waits for at most a second until the credential's thread rests. Children of vfork() and posix_spawn() must not use it.
 *
 * DLCLOSE. The library stays in memory: dlclose() does nothing, and a program that loads it again finds it as it was.
 */
#ifndef WIF_H
#define WIF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header. A library with the same first two numbers, or the first where it is not 0, has all of it. */
#define WIF_VERSION "0.2.0"

/* For time limits: none. */
#define WIF_NO_LIMIT (-1)

/* A workload's credential. */
typedef struct wif_credential wif_credential;

/* What a callable answers with. */
typedef struct wif_answer wif_answer;

/* A session without a driver. */
typedef struct wif_session wif_session;

/* An access token. Read only, shared between threads; valid until wif_token_free, also after wif_close. Later versions may add
 * members at the end. */
typedef struct wif_token {
    const char *id;             /* 16 hexadecimal digits; no secret, for logs and for wif_reject */
    const char *origin;         /* the only origin that it may be sent to, such as https://api.anthropic.com */
    const char *value;          /* SECRET: the access token, or the API key */
    const char *const *headers; /* SECRET: name, value, name, value, ..., NULL: replace what a request has of these names */
    const char *const *merged;  /* name, value, ..., NULL: add each comma-separated value where it is not yet there */
    int suspect;                /* 1 if the API has rejected it, and it is served for want of a better one; otherwise 0 */
} wif_token;

/* A function of the program that supplies something. `request` is JSON and valid during the call. It answers by one call of
 * wif_answer_ok or wif_answer_error before it returns; without one it has failed.
 *
 *   kind              request                                answer
 *   "identity-token"  {"audience": "..."}                    the identity token
 *   "access-token"    {"rejected": "<id>"} or {}             {"value": "...", "expires-at-ms": 1800000000000}; the second is optional
 *   "sign"            {"algorithm": "ES256", "input": "..."} the signature's bytes (RFC 7518 section 3) in base64url, unpadded
 *
 * It may be called at the same time on several threads. If it takes longer than "callable_timeout_ms", it has failed; but it must
 * return, because wif_close waits for it. */
typedef void wif_call(void *user, const char *request, wif_answer *answer);

/* A callable, under the name that the configuration uses ("callable" sources' "name"; for "sign" the key's). */
typedef struct wif_callable {
    const char *kind;
    const char *name;
    wif_call *call;
    void *user; /* passed to `call`; stays the program's, and must be valid until wif_close has returned */
} wif_callable;

/* Takes a line of the log: a JSON object with "level" ("info", "warning", "error"), "message", and "fields". Never a secret. Called in
 * the order of events, one at a time, on a thread of its own; what comes while 1,000 lines wait is dropped. */
typedef void wif_log(void *user, const char *line);

/* Takes what wif_get_token_async brings. One of `token` and `error` is NULL. The token is the callee's, for wif_token_free; the error
 * is valid during the call. */
typedef void wif_done(void *user, const wif_token *token, const char *error);

/* A request that the library wants sent, and all that it points to: valid during the call; copy what is needed longer. */
typedef struct wif_request {
    uint64_t id;                /* for wif_request_answer and wif_request_fail; no other request of the process has it */
    const char *method;         /* such as POST */
    const char *url;            /* absolute */
    const char *const *headers; /* SECRET: name, value, name, value, ..., NULL */
    const char *body;           /* SECRET; empty where there is none */
    size_t body_length;         /* its bytes, without the zero byte at its end */
    const char *ca_file;        /* a file of certificates in PEM that the server's must lead to, instead of the system's, and then
                                   without a proxy; or NULL */
    int64_t timeout_ms;         /* so long the whole of it may take; a later answer counts for nothing */
    size_t max_response_bytes;  /* an answer with a longer body does not count: stop reading there */
} wif_request;

/* Sends a request of the library: the exchange, or what a source asks its platform. The policy has allowed it before, by its method, URL
 * and header fields. It is answered by one call of wif_request_answer or wif_request_fail, during this call or later, on any thread. It
 * may be called at the same time on several threads, and may wait; but it must return, because wif_close waits for it.
 *
 * What the library cannot see, the program must do: verify the server's certificate; follow no redirect; add what the transport needs and
 * no credential, cookie or retry; go by a public name to no address that only this machine or its network can reach, unless
 * "allow_private_origins" has the origin; and keep headers, body and answer out of logs. */
typedef void wif_send(void *user, const wif_request *request);

/* Opens a credential.
 *
 *   configuration  the configuration's JSON (README.md of the project); "{}" or NULL discovers it as the vendor's SDKs do
 *   options        JSON, or NULL; README.md has the table: policy, store_directory, root_certificates, max_waiters
 *   callables      `count` of them, or NULL
 *   log, log_user  or NULL; log_user must be valid until wif_close has returned
 *
 * Does not wait for the network. What depends on variables, files or the network is the first token's error; errors here have the code
 * "configuration" (with "field") or "internal".
 * Returns a credential for wif_close, or NULL. In a library with the sandbox it takes ten milliseconds
 * the first time. */
wif_credential *wif_open(const char *configuration, const char *options, const wif_callable *callables, size_t count, wif_log *log,
                         void *log_user, char **error);

/* wif_open, for a program that sends the library's requests itself, by `send`; send_user must be valid until wif_close has returned. The
 * options policy.proxy and root_certificates are then for the program's own HTTP client, and here an error. A library that was built with
 * HTTP=0 sends no other requests: with wif_open, whatever takes a request fails with "unsupported-by-host". */
wif_credential *wif_open_sending(const char *configuration, const char *options, const wif_callable *callables, size_t count,
                                 wif_log *log, void *log_user, wif_send *send, void *send_user, char **error);

/* The current token, if there is one that may be used now; otherwise NULL, which is no error. Never waits, takes no lock, and asks for
 * a token where one is needed, so that a later call finds it. For wif_token_free. */
const wif_token *wif_try_token(wif_credential *credential);

/* Whether wif_try_token would return this very token: 1, or 0. As cheap, and without a reference to free: callers in other languages
 * keep the token's fields in a form of their own for as long as this says 1. */
int wif_serves(wif_credential *credential, const wif_token *token);

/* A token for a request that is about to be sent. Waits for one, for at most `at_most_ms` or WIF_NO_LIMIT; blocks the calling thread.
 * For wif_token_free.
 * Errors: every code of the table but "invalid-argument". Fails at once where waiting would not help. */
const wif_token *wif_get_token(wif_credential *credential, int64_t at_most_ms, char **error);

/* The same without blocking: `done` is called exactly once, perhaps before this returns; at the latest when the credential closes. */
void wif_get_token_async(wif_credential *credential, int64_t at_most_ms, wif_done *done, void *user);

/* Says that the API answered 401 to a request with this token. Takes the token's id or its value. Any but the current one does nothing,
 * so it does not matter how many callers say so, and how late. Returns at once. */
void wif_reject(wif_credential *credential, const char *id_or_value);

/* wif_reject, and then another token to send the request with once more: waits while an exchange is under way, for at most
 * `at_most_ms`, or with WIF_NO_LIMIT for as long as callers wait at the end of a token's life (a second). NULL if there is no other:
 * hand the API's answer on. Check `origin`. Blocks. For wif_token_free. */
const wif_token *wif_replace(wif_credential *credential, const char *id_or_value, int64_t at_most_ms);

/* Says that a file, the store or the network may have changed: sources are read again. Returns at once. */
void wif_changed(wif_credential *credential);

/* A file descriptor that becomes readable when something changes: a token came, expired, was rejected, or could not be had. For poll,
 * epoll, kqueue and event loops; wait for it, and then call wif_acknowledge. It belongs to the credential: do not read, write or close
 * it. -1 if the system has none. */
int wif_fd(wif_credential *credential);

/* Makes the descriptor unreadable until the next change. Call it before looking at the token, so that no change is missed. */
void wif_acknowledge(wif_credential *credential);

/* Where the credential stands, as JSON with the names of the contract's `status`: for people and for monitoring. Asks the session,
 * so it is not for every request; blocks for a moment. For wif_string_free. Holds no secret.
 * Errors: "closed", "component-stopped", "internal". */
char *wif_status(wif_credential *credential, char **error);

/* Stops all work. Whoever waits gets "closed"; the last token is served until it expires. Blocks while an exchange is under way, for at
 * most two seconds: one that is stopped has perhaps spent its identity token for nobody. */
void wif_shutdown(wif_credential *credential);

/* wif_shutdown, and then waits until every callback has returned, and frees the credential. No other call on it may be running or come
 * later; wif_shutdown ends those that wait. Returns 0; or -1, and does nothing, where it is called from a callback. NULL is 0. */
int wif_close(wif_credential *credential);

/* Frees a token. From any thread, also after wif_close. */
void wif_token_free(const wif_token *token);

/* Whether a header field of this name may hold a credential of a request's own: 1, or 0. Every such field comes off a request before a
 * token's headers go on, for what the API makes of two credentials is not known. Case does not matter, and _ is taken for -. */
int wif_is_credential(const char *name);

/* Frees a text that this library returned. */
void wif_string_free(char *text);

/* Answers a callable's call. The text is copied. Only during that call; the first answer counts. */
void wif_answer_ok(wif_answer *answer, const char *text);

/* Answers that it failed. The text reaches logs and errors: it must hold no secret. */
void wif_answer_error(wif_answer *answer, const char *text);

/* Answers a request of wif_send: with the status, the header fields (name, value, ..., NULL; or NULL) and the body, whatever the status
 * is. The library reads content-type, date, location, retry-after and request-id; others do no harm. All is copied. From any
 * thread, at any time, also after wif_close and for an id that never was.
 * Returns 1 if it is the answer. 0 if nobody waits for it: it was answered before, it took too long, or the credential was closed; and
 * after fork(), in the child, for what the parent has begun. An answer that cannot be used (a status that is none) counts as one that
 * did not arrive. */
int wif_request_answer(uint64_t id, int status, const char *const *headers, const char *body, size_t body_length);

/* Says that there is no answer. `maybe_sent` is 0 only if no byte of the request has left: no name, no connection, no handshake. Then the
 * same identity token is sent again. Otherwise, and in doubt, 1: a token that can be exchanged once counts as spent. `why` reaches logs
 * and errors: it must hold no secret. Otherwise like wif_request_answer. */
int wif_request_fail(uint64_t id, int maybe_sent, const char *why);

/* The library's version, such as "0.2.0". Static. */
const char *wif_version(void);

/* ---- A session without a driver ----
 *
 * For authors of hosts: the state machine behind the contract's JSON, without clock, network or threads. The rules of
 * wit/session.wit are the caller's to keep. Calls on one session are serial; different sessions are independent. After an error with the
 * code "component-stopped" the session is of no use: close it, and open another from the newest journal. What goes in and comes out
 * holds secrets. */

/* `opening` is {"configuration": "<JSON as a text>", "seed": 1, "can": ["read-file", ...], "from": "fresh" or {"resumed": "<journal>"}
 * or "lost"}. Errors: "configuration" (with "field"), "invalid-argument", "component-stopped". For wif_session_close. */
wif_session *wif_session_open(const char *opening, char **error);

/* A `clock` and an `event` in, an `output` out. For wif_string_free. Errors: "invalid-argument", which changes nothing;
 * "component-stopped". */
char *wif_session_step(wif_session *session, const char *clock, const char *event, char **error);

/* A `clock` in, a `status` out. Otherwise like wif_session_step. */
char *wif_session_status(wif_session *session, const char *clock, char **error);

/* The key of this identity's entry in a store, as a JSON text or null. Otherwise like wif_session_step. */
char *wif_session_entry_key(wif_session *session, char **error);

/* Frees a session. */
void wif_session_close(wif_session *session);

#ifdef __cplusplus
}
#endif

#endif
