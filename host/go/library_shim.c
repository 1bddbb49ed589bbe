//go:build cgo && wif_library

#include <stdlib.h>

#include "_cgo_export.h"
#include "library_shim.h"

static void call(void *user, const char *request, wif_answer *answer) { wifGoCall((uintptr_t)user, (char *)request, answer); }

static void line(void *user, const char *text) { wifGoLog((uintptr_t)user, (char *)text); }

static void done(void *user, const wif_token *token, const char *error) { wifGoDone((uintptr_t)user, (wif_token *)token, (char *)error); }

wif_credential *wif_go_open(const char *configuration, const char *options, const struct wif_go_callable *callables, size_t count,
                            uintptr_t log, char **error) {
    wif_callable *own = calloc(count + 1, sizeof *own);
    if (own == NULL) return NULL;
    for (size_t i = 0; i < count; i++) {
        wif_callable callable = {callables[i].kind, callables[i].name, call, (void *)callables[i].handle};
        own[i] = callable;
    }
    wif_credential *credential = wif_open(configuration, options, own, count, log == 0 ? NULL : line, (void *)log, error);
    free(own);
    return credential;
}

void wif_go_get(wif_credential *credential, int64_t at_most_ms, uintptr_t answers) {
    wif_get_token_async(credential, at_most_ms, done, (void *)answers);
}
