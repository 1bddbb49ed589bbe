/* A program for each behaviour: `scenarios NAME`. CONFIGURATION and OPTIONS are what a credential is opened with. It ends with 0 if all
 * is as it should be; what the endpoint has to say about it, the test asks the endpoint. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wif.h>

#include "check.h"

static wif_credential *open_with(const wif_callable *callables, size_t count, wif_log *log, void *user) {
    char *error = NULL;
    wif_credential *credential =
        wif_open(getenv("CONFIGURATION"), getenv("OPTIONS"), callables, count, log, user, &error);
    if (credential == NULL) fprintf(stderr, "%s\n", error);
    CHECK(credential != NULL && error == NULL);
    return credential;
}

static wif_credential *opened(void) { return open_with(NULL, 0, NULL, NULL); }

/* The id of the token that is got, in `id`. */
static void get(wif_credential *credential, char id[17]) {
    char *error = NULL;
    const wif_token *token = wif_get_token(credential, 60000, &error);
    if (token == NULL) fprintf(stderr, "%s\n", error);
    CHECK(token != NULL && error == NULL);
    CHECK(strlen(token->id) == 16);
    memcpy(id, token->id, 17);
    wif_token_free(token);
}

/* What a child ends with. */
static int waited_for(pid_t child) {
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void *same_token(void *credential) {
    char id[17];
    for (int i = 0; i < 100; i++) get(credential, id);
    return NULL;
}

static void token(void) {
    wif_credential *credential = opened();
    char *error = NULL;
    const wif_token *token = wif_get_token(credential, 60000, &error);
    CHECK(token != NULL && error == NULL && token->suspect == 0);
    CHECK(strncmp(token->value, "sk-ant-oat01-", 13) == 0);
    CHECK(strncmp(token->origin, "http://127.0.0.1:", 17) == 0);
    CHECK(strcmp(token->headers[0], "authorization") == 0);
    CHECK(strncmp(token->headers[1], "Bearer ", 7) == 0 && strcmp(token->headers[1] + 7, token->value) == 0);
    CHECK(token->headers[2] == NULL);
    CHECK(strcmp(token->merged[0], "anthropic-beta") == 0 && token->merged[1] != NULL && token->merged[2] == NULL);

    const wif_token *again = wif_try_token(credential);
    CHECK(again != NULL && strcmp(again->id, token->id) == 0 && wif_serves(credential, token) == 1);
    wif_token_free(again);

    pthread_t threads[8];
    for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, same_token, credential) == 0);
    for (int i = 0; i < 8; i++) CHECK(pthread_join(threads[i], NULL) == 0);

    char *status = wif_status(credential, &error);
    CHECK(status != NULL && strstr(status, "\"state\":\"serving\"") != NULL && strstr(status, token->value) == NULL);
    wif_string_free(status);
    CHECK(wif_close(credential) == 0);
    /* It outlives its credential. */
    CHECK(strlen(token->value) > 20);
    wif_token_free(token);
}

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t came;
    int calls;
    const wif_token *token;
    int closed;
    wif_credential *credential;
    int refused;
};

static void into_mailbox(void *user, const wif_token *token, const char *error) {
    struct mailbox *mailbox = user;
    /* Not from here. */
    if (mailbox->credential != NULL) mailbox->refused = wif_close(mailbox->credential);
    pthread_mutex_lock(&mailbox->lock);
    mailbox->calls++;
    mailbox->token = token;
    mailbox->closed = error != NULL && strstr(error, "\"code\":\"closed\"") != NULL;
    pthread_cond_signal(&mailbox->came);
    pthread_mutex_unlock(&mailbox->lock);
}

static void callback(void) {
    wif_credential *credential = opened();
    struct mailbox mailbox = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, NULL, 0, credential, 0};
    wif_get_token_async(credential, WIF_NO_LIMIT, into_mailbox, &mailbox);
    pthread_mutex_lock(&mailbox.lock);
    while (mailbox.calls == 0) pthread_cond_wait(&mailbox.came, &mailbox.lock);
    pthread_mutex_unlock(&mailbox.lock);
    CHECK(mailbox.token != NULL && mailbox.refused == -1);
    wif_token_free(mailbox.token);
    CHECK(wif_close(credential) == 0 && mailbox.calls == 1);
}

/* Nobody answers the exchange: whoever waits is told when the credential closes. */
static void callback_at_close(void) {
    wif_credential *credential = opened();
    struct mailbox mailbox = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, NULL, 0, NULL, 0};
    wif_get_token_async(credential, WIF_NO_LIMIT, into_mailbox, &mailbox);
    nap(100);
    CHECK(wif_close(credential) == 0);
    CHECK(mailbox.calls == 1 && mailbox.token == NULL && mailbox.closed);
}

static void descriptor(void) {
    wif_credential *credential = opened();
    int fd = wif_fd(credential);
    CHECK(fd >= 0);
    const wif_token *token = NULL;
    while (token == NULL) {
        struct pollfd wanted = {fd, POLLIN, 0};
        CHECK(poll(&wanted, 1, 60000) == 1);
        wif_acknowledge(credential);
        token = wif_try_token(credential);
    }
    wif_reject(credential, token->value);
    struct pollfd wanted = {fd, POLLIN, 0};
    CHECK(poll(&wanted, 1, 60000) == 1);
    wif_token_free(token);
    CHECK(wif_close(credential) == 0);
}

static void supply(void *user, const char *request, wif_answer *answer) {
    CHECK(strcmp(user, "mine") == 0);
    CHECK(strstr(request, "\"audience\":\"https://api.anthropic.com\"") != NULL);
    wif_answer_ok(answer, getenv("IDENTITY_TOKEN"));
    wif_answer_error(answer, "the first answer counts");
}

static void fail(void *user, const char *request, wif_answer *answer) {
    (void)user, (void)request;
    wif_answer_error(answer, "the metadata service is asleep");
}

static void silent(void *user, const char *request, wif_answer *answer) { (void)user, (void)request, (void)answer; }

static void callable(void) {
    wif_callable callables[] = {{"identity-token", "ours", supply, "mine"}};
    wif_credential *credential = open_with(callables, 1, NULL, NULL);
    memset(callables, 0, sizeof callables);
    char id[17];
    get(credential, id);
    CHECK(wif_close(credential) == 0);
}

static void bear(void *user, const char *request, wif_answer *answer) {
    (void)user;
    CHECK(strcmp(request, "{}") == 0);
    wif_answer_ok(answer, "{\"value\": \"sk-ant-oat01-of-the-program-0123456789\", \"expires-at-ms\": 4000000000000}");
}

static void bearer(void) {
    wif_callable callables[] = {{"access-token", "ours", bear, NULL}};
    wif_credential *credential = open_with(callables, 1, NULL, NULL);
    char *error = NULL;
    const wif_token *token = wif_get_token(credential, 60000, &error);
    CHECK(token != NULL && strcmp(token->value, "sk-ant-oat01-of-the-program-0123456789") == 0);
    wif_token_free(token);
    CHECK(wif_close(credential) == 0);
}

/* The error of a call, which must hold all of these; or of opening, if the credential is NULL. */
static void holds(char *error, const char *one, const char *other) {
    CHECK(error != NULL);
    if (strstr(error, one) == NULL || strstr(error, other) == NULL) fprintf(stderr, "%s\n", error);
    CHECK(strstr(error, one) != NULL && strstr(error, other) != NULL);
    wif_string_free(error);
}

static void callables_fail(void) {
    wif_call *calls[] = {fail, silent};
    const char *why[] = {"the metadata service is asleep", "gave no answer"};
    for (int i = 0; i < 2; i++) {
        wif_callable callables[] = {{"identity-token", "ours", calls[i], NULL}};
        wif_credential *credential = open_with(callables, 1, NULL, NULL);
        char *error = NULL, *status = wif_status(credential, &error);
        /* It has been asked before long. */
        for (int tries = 0; tries < 200 && strstr(status, "identity-token-unreadable") == NULL; tries++) {
            CHECK(wif_get_token(credential, 100, &error) == NULL);
            wif_string_free(error), wif_string_free(status);
            status = wif_status(credential, &error);
        }
        holds(status, "identity-token-unreadable", why[i]);
        CHECK(wif_close(credential) == 0);
    }
}

static void errors(void) {
    char *error = NULL;
    CHECK(wif_open("{", NULL, NULL, 0, NULL, NULL, &error) == NULL);
    holds(error, "the configuration is not JSON", "\"field\":\"\"");
    CHECK(wif_open("{\"federation\": {}}", NULL, NULL, 0, NULL, NULL, &error) == NULL);
    holds(error, "\"code\":\"configuration\"", "\"field\":\"federation.federation_rule_id\"");
    CHECK(wif_open("{}", "{\"polcy\": {}}", NULL, 0, NULL, NULL, &error) == NULL);
    holds(error, "\"code\":\"configuration\"", "unknown field `polcy`");
    CHECK(wif_open("{}", "{\"policy\": {\"allow_origins\": [\"http://10.0.0.1\"]}}", NULL, 0, NULL, NULL, &error) == NULL);
    holds(error, "plain HTTP to another machine", "\"action\":\"Mend the field policy.\"");
    CHECK(wif_open("\xff", NULL, NULL, 0, NULL, NULL, &error) == NULL);
    holds(error, "\"code\":\"invalid-argument\"", "not UTF-8");
    wif_callable callables[] = {{"identity", "ours", silent, NULL}};
    CHECK(wif_open("{}", NULL, callables, 1, NULL, NULL, &error) == NULL);
    holds(error, "\"code\":\"invalid-argument\"", "identity-token, access-token, sign");
    CHECK(wif_open("{", NULL, NULL, 0, NULL, NULL, NULL) == NULL);

    /* NULL where it is of no use is told, and harms nobody. */
    CHECK(wif_get_token(NULL, 0, &error) == NULL);
    holds(error, "\"code\":\"invalid-argument\"", "credential is NULL");
    CHECK(wif_status(NULL, &error) == NULL);
    holds(error, "\"code\":\"invalid-argument\"", "credential is NULL");
    CHECK(wif_try_token(NULL) == NULL && wif_serves(NULL, NULL) == 0 && wif_fd(NULL) == -1 && wif_replace(NULL, "", 0) == NULL);
    CHECK(wif_close(NULL) == 0);
    wif_reject(NULL, NULL), wif_changed(NULL), wif_acknowledge(NULL), wif_shutdown(NULL), wif_token_free(NULL), wif_string_free(NULL);
    wif_answer_ok(NULL, NULL), wif_answer_error(NULL, "x"), wif_session_close(NULL), wif_get_token_async(NULL, 0, NULL, NULL);

    /* The endpoint is elsewhere: the policy's rule, in the words of this header. */
    wif_credential *credential = opened();
    CHECK(wif_get_token(credential, 60000, &error) == NULL);
    holds(error, "\"code\":\"denied-by-host\"", "the option policy.allow_origins");
    wif_shutdown(credential);
    CHECK(wif_get_token(credential, 60000, &error) == NULL);
    holds(error, "\"code\":\"closed\"", "\"action\":\"Open another.\"");
    CHECK(wif_close(credential) == 0);
    CHECK(strcmp(wif_version(), WIF_VERSION) == 0);
}

static void not_allowed(void) {
    wif_credential *credential = opened();
    char *error = NULL;
    CHECK(wif_get_token(credential, 60000, &error) == NULL);
    holds(error, "\"code\":\"denied-by-host\"", getenv("RULE"));
    CHECK(wif_close(credential) == 0);
}

static void timed_out(void) {
    wif_credential *credential = opened();
    char *error = NULL;
    for (int tries = 0; tries < 200 && (error == NULL || strstr(error, "while exchanging") == NULL); tries++) {
        wif_string_free(error);
        CHECK(wif_get_token(credential, 50, &error) == NULL);
    }
    holds(error, "\"code\":\"timed-out\"", "50 ms, while exchanging");
    CHECK(wif_close(credential) == 0);
}

static void replaced(void) {
    wif_credential *credential = opened();
    char first[17], second[17];
    get(credential, first);
    /* The test has revoked it and rotated the identity token meanwhile. */
    printf("got\n"), fflush(stdout), (void)getchar();
    nap(5200);
    const wif_token *token = wif_replace(credential, first, 60000);
    CHECK(token != NULL && strcmp(token->id, first) != 0);
    memcpy(second, token->id, 17);
    /* Said late, and said of a token that is gone: nothing happens. */
    wif_reject(credential, first);
    wif_token_free(token);
    get(credential, first);
    CHECK(strcmp(first, second) == 0);
    CHECK(wif_close(credential) == 0);
}

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char logged[1 << 16];

static void keep(void *user, const char *line) {
    CHECK(user == &logged);
    pthread_mutex_lock(&log_lock);
    strncat(logged, line, sizeof logged - strlen(logged) - 2);
    strcat(logged, "\n");
    pthread_mutex_unlock(&log_lock);
}

static void log_lines(void) {
    wif_credential *credential = open_with(NULL, 0, keep, &logged);
    char *error = NULL;
    const wif_token *token = wif_get_token(credential, 60000, &error);
    CHECK(token != NULL);
    CHECK(wif_close(credential) == 0);
    CHECK(strstr(logged, "\"code\":\"exchange-succeeded\"") != NULL && strstr(logged, "\"level\":\"info\"") != NULL);
    CHECK(strstr(logged, token->value) == NULL);
    wif_token_free(token);
}

/* The child goes on with the parent's token, its own descriptor and its own thread; so does its child; and the parent as before. */
static void forked(void) {
    wif_credential *credential = opened();
    char id[17], childs[17];
    get(credential, id);
    const wif_token *held = wif_try_token(credential);
    int fd = wif_fd(credential);
    struct pollfd wanted = {fd, POLLIN, 0};
    CHECK(poll(&wanted, 1, 60000) == 1);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        const wif_token *token = wif_try_token(credential);
        CHECK(token != NULL && strcmp(token->id, id) == 0 && strcmp(token->value, held->value) == 0);
        wif_token_free(token);
        CHECK(wif_fd(credential) == fd);
        /* Its own: what is taken here is not taken there. */
        nap(100);
        wif_acknowledge(credential);
        wif_reject(credential, held->id);
        CHECK(poll(&wanted, 1, 60000) == 1);
        pid_t grandchild = fork();
        CHECK(grandchild >= 0);
        if (grandchild == 0) {
            get(credential, childs);
            CHECK(strcmp(childs, id) == 0);
            wif_token_free(held);
            exit(wif_close(credential));
        }
        CHECK(waited_for(grandchild) == 0);
        char *error = NULL, *status = wif_status(credential, &error);
        CHECK(status != NULL);
        wif_string_free(status);
        wif_token_free(held);
        exit(wif_close(credential));
    }
    CHECK(waited_for(child) == 0);
    CHECK(poll(&wanted, 1, 0) == 1);
    CHECK(wif_serves(credential, held) == 1);
    wif_token_free(held);
    CHECK(wif_close(credential) == 0);
}

/* A child that never asks, or closes without asking, ends in good order. */
static void forked_and_left(void) {
    wif_credential *credential = opened();
    char id[17];
    get(credential, id);
    pid_t child = fork();
    if (child == 0) exit(wif_close(credential));
    CHECK(waited_for(child) == 0);
    CHECK(wif_close(credential) == 0);
}

static void *ask(void *credential) {
    for (int i = 0; i < 2000; i++) {
        wif_token_free(wif_try_token(credential));
        wif_changed(credential);
        char *error = NULL;
        wif_string_free(wif_status(credential, &error));
        wif_string_free(error);
    }
    return NULL;
}

/* While other threads and the library's own are at work: none of the children hangs. */
static void forked_under_load(void) {
    wif_credential *credential = opened();
    char id[17], childs[17];
    get(credential, id);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, ask, credential) == 0);
    for (int i = 0; i < 30; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            get(credential, childs);
            _exit(strcmp(childs, id) == 0 ? 0 : 1);
        }
        CHECK(waited_for(child) == 0);
    }
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(wif_close(credential) == 0);
}

/* Workers that share a store get one token, from one exchange, though they start at once. */
static void workers(void) {
    wif_credential *credential = opened();
    pid_t children[6];
    int ends[2];
    CHECK(pipe(ends) == 0);
    for (int i = 0; i < 6; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            alarm(60);
            char id[17];
            get(credential, id);
            CHECK(write(ends[1], id, 16) == 16);
            _exit(wif_close(credential));
        }
    }
    char first[17] = "", id[17] = "";
    for (int i = 0; i < 6; i++) {
        CHECK(waited_for(children[i]) == 0);
        CHECK(read(ends[0], id, 16) == 16);
        if (i == 0) memcpy(first, id, 17);
        CHECK(strcmp(first, id) == 0);
    }
    get(credential, id);
    CHECK(strcmp(first, id) == 0);
    CHECK(wif_close(credential) == 0);
}

static volatile sig_atomic_t handled;
static pthread_t main_thread;

static void handle(int number) {
    (void)number;
    if (pthread_equal(pthread_self(), main_thread)) handled++;
    else _exit(3);
}

/* Signals of the program are handled on its threads, and all handlers are its own. */
static void signals(void) {
    struct sigaction before[65], after;
    for (int number = 1; number < 65; number++) sigaction(number, NULL, &before[number]);
    wif_credential *credential = open_with(NULL, 0, keep, &logged);
    char id[17];
    get(credential, id);
    for (int number = 1; number < 65; number++) {
        if (sigaction(number, NULL, &after) != 0) continue;
        CHECK(after.sa_handler == before[number].sa_handler);
    }
    /* While this thread does not take it, no other does. */
    main_thread = pthread_self();
    signal(SIGUSR1, handle);
    sigset_t one;
    sigemptyset(&one), sigaddset(&one, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &one, NULL) == 0);
    for (int i = 0; i < 50; i++) {
        CHECK(kill(getpid(), SIGUSR1) == 0);
        wif_changed(credential);
        nap(2);
    }
    CHECK(handled == 0);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &one, NULL) == 0);
    CHECK(handled > 0);
    CHECK(wif_close(credential) == 0);
}

/* Loaded by name: used, let go of, and used again. */
static void unloaded(void) {
    for (int i = 0; i < 2; i++) {
        void *library = dlopen("libwif.so.0", RTLD_NOW | RTLD_LOCAL);
        CHECK(library != NULL);
        const char *(*version)(void);
        *(void **)&version = dlsym(library, "wif_version");
        CHECK(version != NULL && strcmp(version(), WIF_VERSION) == 0);
        wif_credential *credential = opened();
        char *error = NULL;
        const wif_token *token = wif_get_token(credential, 300, &error);
        wif_token_free(token), wif_string_free(error);
        CHECK(wif_close(credential) == 0);
        CHECK(dlclose(library) == 0);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* What a request pays for a token that is there: prints nanoseconds, the best of many rounds. */
static void hit(void) {
    wif_credential *credential = opened();
    char id[17];
    get(credential, id);
    const wif_token *held = wif_try_token(credential);
    double best = 1e9, best_serves = 1e9;
    for (int round = 0; round < 200; round++) {
        double start = now();
        for (int i = 0; i < 10000; i++) wif_token_free(wif_try_token(credential));
        double middle = now();
        for (int i = 0; i < 10000; i++) CHECK(wif_serves(credential, held));
        double end = now();
        if ((middle - start) / 1e4 < best) best = (middle - start) / 1e4;
        if ((end - middle) / 1e4 < best_serves) best_serves = (end - middle) / 1e4;
    }
    printf("wif_try_token and wif_token_free: %.0f ns; wif_serves: %.0f ns\n", best, best_serves);
    wif_token_free(held);
    CHECK(wif_close(credential) == 0);
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"token", token},         {"callback", callback},
    {"callback-at-close", callback_at_close},
    {"descriptor", descriptor}, {"callable", callable},
    {"bearer", bearer},       {"callables-fail", callables_fail},
    {"errors", errors},       {"timed-out", timed_out},
    {"not-allowed", not_allowed},
    {"replaced", replaced},   {"log", log_lines},
    {"forked", forked},       {"forked-and-left", forked_and_left},
    {"forked-under-load", forked_under_load},
    {"workers", workers},     {"signals", signals},
    {"unloaded", unloaded},   {"hit", hit},
};

int main(int count, char **arguments) {
    for (size_t i = 0; count == 2 && i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(scenarios[i].name, arguments[1]) == 0) {
            scenarios[i].run();
            return 0;
        }
    fprintf(stderr, "there is no such scenario\n");
    return 2;
}
