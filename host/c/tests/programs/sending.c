/* A program that sends the library's requests itself: `sending NAME`. CONFIGURATION and OPTIONS are what a credential is opened with. It
 * ends with 0 if all is as it should be. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wif.h>

#include "check.h"

/* What was asked of the program. */
static atomic_int sent;
static atomic_ullong last_id;

/* A connection to http://127.0.0.1:PORT/..., or -1; and what of the URL is sent. */
static int connected(const char *url, const char **path) {
    static const char origin[] = "http://127.0.0.1:";
    CHECK(strncmp(url, origin, sizeof origin - 1) == 0);
    char *end = NULL;
    struct sockaddr_in to = {0};
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t)strtol(url + sizeof origin - 1, &end, 10));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *path = end;
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connection >= 0);
    if (connect(connection, (struct sockaddr *)&to, sizeof to) == 0) return connection;
    close(connection);
    return -1;
}

static void say(int connection, const char *text, size_t length) {
    while (length > 0) {
        ssize_t said = write(connection, text, length);
        if (said <= 0) return;
        text += said;
        length -= (size_t)said;
    }
}

/* The answer as it came, until the server closes: at most `room` bytes, and a zero byte. */
static size_t heard(int connection, char *text, size_t room) {
    size_t length = 0;
    ssize_t count;
    while (length < room && (count = read(connection, text + length, room - length)) > 0) length += (size_t)count;
    text[length] = 0;
    return length;
}

/* Takes an answer apart in its place, and gives it. */
static int given(uint64_t id, char *text, size_t length) {
    const char *fields[65];
    size_t count = 0;
    int status = 0;
    char *body = strstr(text, "\r\n\r\n");
    if (body == NULL || sscanf(text, "HTTP/1.1 %d", &status) != 1) return wif_request_fail(id, 1, "no answer of HTTP came");
    *body = 0;
    body += 4;
    strtok(text, "\r\n");
    for (char *field; count < 64 && (field = strtok(NULL, "\r\n")) != NULL;) {
        char *value = strstr(field, ": ");
        if (value == NULL) continue;
        *value = 0;
        fields[count++] = field;
        fields[count++] = value + 2;
    }
    fields[count] = NULL;
    return wif_request_answer(id, status, fields, body, length - (size_t)(body - text));
}

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

/* By a socket, before it returns. */
static void by_socket(void *user, const wif_request *request) {
    CHECK(strcmp(user, "mine") == 0 && request->timeout_ms > 0 && request->max_response_bytes > 0 && request->ca_file == NULL);
    CHECK(strlen(request->body) == request->body_length && strcmp(request->method, "POST") == 0);
    sent++;
    last_id = request->id;
    const char *path;
    int connection = connected(request->url, &path);
    if (connection < 0) {
        CHECK(wif_request_fail(request->id, 0, "the server is asleep") == 1);
        return;
    }
    char head[4096];
    int length = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: %zu\r\n", path,
                          request->body_length);
    for (const char *const *field = request->headers; field[0] != NULL; field += 2)
        length += snprintf(head + length, sizeof head - (size_t)length, "%s: %s\r\n", field[0], field[1]);
    say(connection, head, (size_t)length);
    say(connection, "\r\n", 2);
    say(connection, request->body, request->body_length);
    static char answer[1 << 16];
    pthread_mutex_lock(&one_at_a_time);
    size_t heard_bytes = heard(connection, answer, sizeof answer - 1);
    CHECK(given(request->id, answer, heard_bytes) == 1);
    /* Only the first counts. */
    CHECK(wif_request_answer(request->id, 200, NULL, "{}", 2) == 0 && wif_request_fail(request->id, 1, "again") == 0);
    pthread_mutex_unlock(&one_at_a_time);
    close(connection);
}

/* Notes the request, and leaves it to somebody else. */
static void later(void *user, const wif_request *request) {
    (void)user;
    last_id = request->id;
    sent++;
}

static wif_credential *opened_by(wif_send *send, void *user) {
    char *error = NULL;
    wif_credential *credential =
        wif_open_sending(getenv("CONFIGURATION"), getenv("OPTIONS"), NULL, 0, NULL, NULL, send, user, &error);
    if (credential == NULL) fprintf(stderr, "%s\n", error);
    CHECK(credential != NULL && error == NULL);
    return credential;
}

static void is_served(wif_credential *credential) {
    char *error = NULL;
    const wif_token *token = wif_get_token(credential, 60000, &error);
    if (token == NULL) fprintf(stderr, "%s\n", error);
    CHECK(token != NULL && strncmp(token->value, "sk-ant-oat01-", 13) == 0);
    wif_token_free(token);
}

/* The error of a call must hold both. */
static void fails(wif_credential *credential, int64_t at_most_ms, const char *one, const char *other) {
    char *error = NULL;
    CHECK(wif_get_token(credential, at_most_ms, &error) == NULL && error != NULL);
    if (strstr(error, one) == NULL || strstr(error, other) == NULL) fprintf(stderr, "%s\n", error);
    CHECK(strstr(error, one) != NULL && strstr(error, other) != NULL);
    wif_string_free(error);
}

/* The status comes to hold it within some seconds. */
static void is_told(wif_credential *credential, const char *text) {
    for (int i = 0; i < 200; i++) {
        char *status = wif_status(credential, NULL);
        int found = status != NULL && strstr(status, text) != NULL;
        if (i == 199) fprintf(stderr, "%s\n", status);
        wif_string_free(status);
        if (found) return;
        nap(50);
    }
    CHECK(!"it is told");
}

static void is_asked(void) {
    for (int i = 0; i < 200 && sent == 0; i++) nap(50);
    CHECK(sent == 1);
}

static void *asks(void *credential) {
    is_served(credential);
    return NULL;
}

static void burst(void) {
    wif_credential *credential = opened_by(by_socket, "mine");
    pthread_t threads[16];
    for (int i = 0; i < 16; i++) CHECK(pthread_create(&threads[i], NULL, asks, credential) == 0);
    for (int i = 0; i < 16; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(sent == 1 && wif_close(credential) == 0);
}

/* The endpoint answers with an error, or is not there: the message says what the program said. */
static void outage(void) {
    wif_credential *credential = opened_by(by_socket, "mine");
    is_told(credential, getenv("TOLD"));
    CHECK(sent >= 1 && wif_close(credential) == 0);
}

static void *answers(void *id) {
    static const char *const fields[] = {"content-type", "application/json", NULL};
    const char *body = "{\"access_token\": \"sk-ant-oat01-of-a-program-0123456789\", \"token_type\": \"Bearer\", \"expires_in\": 3600}";
    CHECK(wif_request_answer(*(atomic_ullong *)id, 200, fields, body, strlen(body)) == 1);
    return NULL;
}

/* From a thread of the program's, long after the call has returned. */
static void answered_later(void) {
    wif_credential *credential = opened_by(later, NULL);
    CHECK(wif_try_token(credential) == NULL);
    is_asked();
    nap(100);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, answers, &last_id) == 0 && pthread_join(thread, NULL) == 0);
    is_served(credential);
    CHECK(sent == 1 && wif_close(credential) == 0);
}

static void never(void) {
    wif_credential *credential = opened_by(later, NULL);
    is_told(credential, "no complete answer within 300 ms");
    /* Too late. */
    CHECK(wif_request_answer(last_id, 200, NULL, NULL, 0) == 0);
    CHECK(wif_close(credential) == 0);
}

static void after_close(void) {
    wif_credential *credential = opened_by(later, NULL);
    CHECK(wif_try_token(credential) == NULL);
    is_asked();
    CHECK(wif_close(credential) == 0);
    CHECK(wif_request_answer(last_id, 200, NULL, "{}", 2) == 0 && wif_request_fail(last_id, 0, "late") == 0);
    CHECK(wif_request_fail(0, 0, NULL) == 0 && wif_request_answer(UINT64_MAX, 200, NULL, NULL, 0) == 0);
}

static void unusable(void) {
    wif_credential *credential = opened_by(later, NULL);
    CHECK(wif_try_token(credential) == NULL);
    is_asked();
    wif_request_answer(last_id, -7, NULL, NULL, 0);
    is_told(credential, "its status is none");
    CHECK(wif_close(credential) == 0);
}

/* What the policy refuses never reaches the program. */
static void refused(void) {
    wif_credential *credential = opened_by(later, NULL);
    fails(credential, 60000, "\"code\":\"denied-by-host\"", "policy.allow_");
    CHECK(sent == 0 && wif_close(credential) == 0);
    char *error = NULL;
    CHECK(wif_open_sending("{}", "{}", NULL, 0, NULL, NULL, NULL, NULL, &error) == NULL && strstr(error, "send is NULL") != NULL);
    wif_string_free(error);
    static const char *const of_the_client[] = {"{\"policy\": {\"proxy\": \"http://127.0.0.1:1\"}}", "{\"root_certificates\": [\"\"]}"};
    for (int i = 0; i < 2; i++) {
        CHECK(wif_open_sending("{}", of_the_client[i], NULL, 0, NULL, NULL, later, NULL, &error) == NULL);
        CHECK(strstr(error, i == 0 ? "\"field\":\"policy.proxy\"" : "\"field\":\"root_certificates\"") != NULL);
        wif_string_free(error);
    }
}

/* A request of the parent is none of the child's, which sends its own. */
static void forked(void) {
    wif_credential *credential = opened_by(later, NULL);
    CHECK(wif_try_token(credential) == NULL);
    is_asked();
    uint64_t parents = last_id;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(wif_request_answer(parents, 200, NULL, "{}", 2) == 0);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    answers(&last_id);
    is_served(credential);
    CHECK(wif_close(credential) == 0);
}

/* A library without an HTTP client says so; with one, it sends. */
static void without_a_client(void) {
    char *error = NULL;
    wif_credential *credential = wif_open(getenv("CONFIGURATION"), getenv("OPTIONS"), NULL, 0, NULL, NULL, &error);
    CHECK(credential != NULL);
    fails(credential, 60000, "\"code\":\"unsupported-by-host\"", "wif_open_sending");
    CHECK(wif_close(credential) == 0);
}

int main(int count, char **arguments) {
    static const struct { const char *name; void (*run)(void); } scenarios[] = {
        {"burst", burst},     {"outage", outage},     {"answered-later", answered_later}, {"never", never}, {"after-close", after_close},
        {"refused", refused}, {"unusable", unusable}, {"forked", forked},                 {"without-a-client", without_a_client},
    };
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        if (count == 2 && strcmp(arguments[1], scenarios[i].name) == 0) {
            scenarios[i].run();
            return 0;
        }
    }
    fprintf(stderr, "no such scenario\n");
    return 2;
}
