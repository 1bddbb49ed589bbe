/* What cgo cannot say: functions of Go as callbacks of C, by handles that are numbers. */
#ifndef WIF_GO_SHIM_H
#define WIF_GO_SHIM_H

#include <wif.h>

struct wif_go_callable {
    const char *kind;
    const char *name;
    uintptr_t handle;
};

wif_credential *wif_go_open(const char *configuration, const char *options, const struct wif_go_callable *callables, size_t count,
                            uintptr_t log, char **error);
void wif_go_get(wif_credential *credential, int64_t at_most_ms, uintptr_t answers);

#endif
