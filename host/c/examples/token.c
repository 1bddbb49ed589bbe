/* Gets an access token as this workload would, and says what it is good for:
 *
 *     cc token.c $(pkg-config --cflags --libs wif) -o token
 *     ./token                        (for a trial: wif emulate -- ./token)
 */
#include <stdio.h>
#include <wif.h>

static int failed(char *error) {
    fprintf(stderr, "%s\n", error);
    wif_string_free(error);
    return 1;
}

int main(void) {
    char *error = NULL;
    /* No configuration: it is found in the environment, as the vendor's SDKs find it. */
    wif_credential *credential = wif_open(NULL, NULL, NULL, 0, NULL, NULL, &error);
    if (credential == NULL) return failed(error);

    const wif_token *token = wif_get_token(credential, 10000, &error);
    if (token == NULL) {
        wif_close(credential);
        return failed(error);
    }
    /* For each request: these headers, to this origin and no other. */
    for (const char *const *header = token->headers; header[0] != NULL; header += 2)
        printf("%s: (%zu bytes), for %s\n", header[0], sizeof(char) * (size_t)snprintf(NULL, 0, "%s", header[1]), token->origin);
    printf("token %s\n", token->id);

    wif_token_free(token);
    return wif_close(credential);
}
