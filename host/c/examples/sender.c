/* Sends the library's requests by libcurl, so that a program has one HTTP client, with one set of certificates and proxies:
 *
 *     cc sender.c $(pkg-config --cflags --libs wif libcurl) -o sender
 *     ./sender                        (for a trial: wif emulate -- ./sender)
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wif.h>

/* Of an answer. */
struct body {
    char *bytes;
    size_t length, at_most;
};

static size_t take(char *bytes, size_t size, size_t count, void *user) {
    struct body *body = user;
    size_t length = size * count;
    if (body->length + length > body->at_most) return 0;
    memcpy(body->bytes + body->length, bytes, length);
    body->length += length;
    return length;
}

/* The curl_slist with a field more. */
static struct curl_slist *with(struct curl_slist *fields, const char *name, const char *value) {
    size_t length = strlen(name) + strlen(value) + 3;
    char *field = malloc(length);
    snprintf(field, length, "%s: %s", name, value);
    struct curl_slist *more = curl_slist_append(fields, field);
    memset(field, 0, length);
    free(field);
    return more;
}

static const char *field_of(CURL *curl, const char *name) {
    struct curl_header *field = NULL;
    return curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &field) == CURLHE_OK ? field->value : NULL;
}

/* Nothing has left where there is no name, no connection, or no handshake. */
static int may_have_left(CURLcode code) {
    return code != CURLE_COULDNT_RESOLVE_HOST && code != CURLE_COULDNT_RESOLVE_PROXY && code != CURLE_COULDNT_CONNECT &&
           code != CURLE_SSL_CONNECT_ERROR && code != CURLE_PEER_FAILED_VERIFICATION;
}

static void answer(const wif_request *request, CURL *curl, const struct body *body) {
    static const char *const names[] = {"content-type", "date", "location", "retry-after", "request-id"};
    const char *fields[2 * sizeof names / sizeof *names + 1];
    size_t count = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = field_of(curl, names[i]);
        if (value == NULL) continue;
        fields[count++] = names[i];
        fields[count++] = value;
    }
    fields[count] = NULL;
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    wif_request_answer(request->id, (int)status, fields, body->bytes, body->length);
}

/* It may wait: this is a thread of the library's, for this. */
static void send_by_curl(void *user, const wif_request *request) {
    (void)user;
    CURL *curl = curl_easy_init();
    struct body body = {malloc(request->max_response_bytes + 1), 0, request->max_response_bytes};
    struct curl_slist *fields = NULL;
    for (const char *const *field = request->headers; field[0] != NULL; field += 2) fields = with(fields, field[0], field[1]);
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
    if (request->body_length > 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    }
    if (request->ca_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, request->ca_file);
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    }
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        answer(request, curl, &body);
    else
        wif_request_fail(request->id, may_have_left(code), curl_easy_strerror(code));
    curl_slist_free_all(fields);
    curl_easy_cleanup(curl);
    memset(body.bytes, 0, body.length);
    free(body.bytes);
}

int main(void) {
    char *error = NULL;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    wif_credential *credential = wif_open_sending(NULL, NULL, NULL, 0, NULL, NULL, send_by_curl, NULL, &error);
    const wif_token *token = credential == NULL ? NULL : wif_get_token(credential, 10000, &error);
    if (token == NULL)
        fprintf(stderr, "%s\n", error);
    else
        printf("token %s, for %s\n", token->id, token->origin);
    int failed = token == NULL;
    wif_string_free(error);
    wif_token_free(token);
    wif_close(credential);
    curl_global_cleanup();
    return failed;
}
