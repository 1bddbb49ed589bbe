/* What the programs of these tests have in common. */
#ifndef WIF_TESTS_CHECK_H
#define WIF_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Also where NDEBUG is set. */
#define CHECK(is_so)                                                              \
    do {                                                                          \
        if (!(is_so)) {                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #is_so);   \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

static void nap(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

#endif
