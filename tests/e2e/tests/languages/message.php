<?php
// A message of the Claude API, with the library in C by the extension FFI. `php message.php`
declare(strict_types=1);

$wif = FFI::cdef(<<<'C'
    typedef struct wif_credential wif_credential;
    typedef struct wif_token {
        const char *id;
        const char *origin;
        const char *value;
        const char *const *headers;
        const char *const *merged;
        int suspect;
    } wif_token;
    wif_credential *wif_open(const char *, const char *, void *, size_t, void *, void *, char **);
    const wif_token *wif_get_token(wif_credential *, int64_t, char **);
    void wif_token_free(const wif_token *);
    void wif_string_free(char *);
    int wif_close(wif_credential *);
    C, 'libwif.so.0');

// What the function returns, or its error, thrown.
function checked(FFI $wif, callable $function): FFI\CData
{
    $error = $wif->new('char *');
    $value = $function(FFI::addr($error));
    if ($value !== null) {
        return $value;
    }
    $document = FFI::string($error);
    $wif->wif_string_free($error);
    throw new RuntimeException($document);
}

// A list of C: name, value, name, value, ..., NULL.
function fields(FFI\CData $list): array
{
    $fields = [];
    for ($at = 0; $list[$at] !== null; $at += 2) {
        $fields[] = $list[$at] . ': ' . $list[$at + 1];
    }
    return $fields;
}

$credential = checked($wif, fn ($error) => $wif->wif_open(null, null, null, 0, null, null, $error));
$token = checked($wif, fn ($error) => $wif->wif_get_token($credential, 10_000, $error));
$url = $token->origin . '/v1/messages';
$headers = [...fields($token->headers), ...fields($token->merged), 'content-type: application/json', 'anthropic-version: 2023-06-01'];
$wif->wif_token_free($token);

$body = json_encode([
    'model' => 'claude-sonnet-4-5',
    'max_tokens' => 64,
    'messages' => [['role' => 'user', 'content' => 'Say hello.']],
]);
$request = ['method' => 'POST', 'header' => $headers, 'content' => $body, 'follow_location' => 0, 'ignore_errors' => true];
$answer = file_get_contents($url, false, stream_context_create(['http' => $request]));
if (!str_contains($http_response_header[0], ' 200 ')) {
    throw new RuntimeException("the API answered {$http_response_header[0]}");
}
echo json_decode($answer, true)['content'][0]['text'], "\n";
$wif->wif_close($credential);
