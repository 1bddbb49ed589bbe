//! How the help of the command and of its subcommands ends: exit codes, variables, an example.

/// Of the command itself.
pub(crate) const WIF: &str = "\
Exit codes:
  0  done
  1  something else went wrong: see the message
  2  the command line is wrong
  3  the configuration is wrong, or the policy forbids what it says
  4  there is no token now, and there may be one later
  5  the endpoint or the source of the identity token says no
  6  `wif status` only: there is a credential, and it hides another one
  7  `wif find-keys` only: a key is set somewhere

Variables:
  ANTHROPIC_FEDERATION_RULE_ID, ANTHROPIC_ORGANIZATION_ID, ANTHROPIC_SERVICE_ACCOUNT_ID,
  ANTHROPIC_WORKSPACE_ID, ANTHROPIC_IDENTITY_TOKEN_FILE or ANTHROPIC_IDENTITY_TOKEN
                      the federation, as the vendor's clients read it
  ANTHROPIC_PROFILE, ANTHROPIC_CONFIG_DIR
                      or a profile with all of that
  ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN, CLAUDE_CODE_OAUTH_TOKEN
                      a static credential; goes before all of these
  ANTHROPIC_BASE_URL  another place than https://api.anthropic.com
  HTTPS_PROXY, ALL_PROXY, NO_PROXY
                      the proxy, and the hosts without it, as curl reads them
  WIF_ALLOW_LOOPBACK  1: every port of this machine may be that place
  WIF_LOG             what is logged to standard error, such as wif=info

Example:
  wif emulate -- wif token";

/// Of `wif token`.
pub(crate) const TOKEN: &str = "\
Exit codes:
  0  the token is printed
  1  something else went wrong: see the message
  2  the command line is wrong
  3  the configuration is wrong, or the policy forbids what it says
  4  there is no token within the time, and there may be one later
  5  the endpoint or the source of the identity token says no

Variables:
  `wif --help` lists those that say which credential it is.
  WIF_STATE_PASSWORD  the password of the server, where --state is one
  WIF_LOG=wif=info logs what is waited for; on a terminal that is shown anyway.

Examples:
  wif token --state ~/.cache/wif.json                   # a helper of other programs
  wif token --state ~/.cache/wif.json --rejected last   # after a 401 of the API
  wif token --state rediss://redis.example --state-key /run/secrets/wif.key    # one exchange for many machines
  wif token --json | jq -r .unusable_at
  eval \"$(wif token --env)\"                              # for the programs that this shell starts
  wif token --output /run/claude/token --watch          # for programs that can only read a file

For Claude Code, in its settings.json, with CLAUDE_CODE_API_KEY_HELPER_TTL_MS=60000 in its environment:
  \"apiKeyHelper\": \"wif token --state ~/.cache/wif.json\"
Claude Code keeps what the helper prints for five minutes by default. `wif` replaces a token 120 s before its end. So let Claude Code
ask again after one minute, as above.";

/// Of `wif login`.
pub(crate) const LOGIN: &str = "\
Exit codes:
  0  logged in
  2  the command line is wrong
  3  something that was configured cannot be used, such as a port or a profile
  4  nobody logged in within the time
  5  the login was not allowed

Variables:
  ANTHROPIC_PROFILE     the profile, where --profile names none
  ANTHROPIC_CONFIG_DIR  where profiles are, in place of ~/.config/anthropic
  ANTHROPIC_BASE_URL    another place than https://api.anthropic.com
  BROWSER               the command that opens an address
  DBUS_SESSION_BUS_ADDRESS
                        the bus of the session, where the keychain is

Examples:
  wif login
  wif login --no-browser --profile work    # on a machine without a browser
  wif login --keychain                     # the vendor's clients do not find it
  wif token                                # prints its token, refreshed if need be";

/// Of `wif logout`.
pub(crate) const LOGOUT: &str = "\
It removes the credentials of the profile, in the file and in the keychain. The profile itself stays, for the next login.
Whoever has copied the token can use it until it expires.

Exit codes:
  0  logged out, or there was no login
  1  something else went wrong: see the message
  2  the command line is wrong
  3  the credentials cannot be removed

Variables:
  ANTHROPIC_PROFILE     the profile, where neither --profile nor --all names any
  ANTHROPIC_CONFIG_DIR  where profiles are, in place of ~/.config/anthropic

Examples:
  wif logout
  wif logout --profile work
  wif logout --all";

/// Of `wif issuer`.
pub(crate) const ISSUER: &str = "\
It writes the private key into a file, and prints the public key as a JWKS. To standard error it says what to enter in the Console
and in the configuration of your program.

Exit codes:
  0  the key is made
  1  the key cannot be written, or its file is there already
  2  the command line is wrong: the URL is no issuer, for example

Variables:
  None.

Example:
  wif issuer https://issuer.example --key key.pem --subject batch > jwks.json";

/// Of `wif status`.
pub(crate) const STATUS: &str = "\
Exit codes:
  0  nothing stands against a token, as far as can be told without an exchange
  3  the configuration is wrong, or the policy forbids what it says
  4  `wif token` would find none now, and may find one later
  5  the endpoint or the source of the identity token says no
  6  there is a credential, and it hides another one: see the warnings

Variables:
  `wif --help` lists those that say which credential it is.

Example:
  wif status --json | jq -r '.warnings[]'";

/// Of `wif exec`.
pub(crate) const EXEC: &str = "\
The command has the token in ANTHROPIC_AUTH_TOKEN and the place in ANTHROPIC_BASE_URL. It has no other variable that a client of the
API would take for a credential. It also lacks the variable that holds the identity token, and all that a platform's source reads,
such as ACTIONS_ID_TOKEN_REQUEST_TOKEN or AWS_REGION: --keep NAME leaves one to it. The token is not refreshed while the command
runs. A command that runs for longer reads a file of `wif token --output FILE --watch`, or uses a library or a proxy.

Exit codes:
  That of the command; 128 and the number of the signal that ended it; 126 if it cannot be run, 127
  if there is none. Without a token it is not run: 1 to 5, as for `wif token`.

Variables:
  `wif --help` lists those that say which credential it is.
  WIF_STATE_PASSWORD  the password of the server, where --state is one

Examples:
  wif exec -- python my_program.py
  wif exec --state ~/.cache/wif.json -- claude -p 'say hello'";

/// Of `wif find-keys`.
pub(crate) const FIND_KEYS: &str = "\
It reads .env files, shell profiles, workflows, compose files, manifests, notebooks and all other text below each PATH, and follows
no links. It reports a key that stands there (`key`), a variable that is set to one by reference (`set`), and a variable that is
passed on from outside (`passed`). It prints no value. It leaves out placeholders, comments, documentation, and programs that read a
variable. --history runs git, and nothing that the repository's own configuration names.

Exit codes:
  0  nothing was found
  1  something could not be read: a file, a part of a history, or what goes beyond 8 MiB
  2  the command line is wrong
  7  a key is set somewhere

Variables:
  None.

Examples:
  wif find-keys .
  wif find-keys ~/.bashrc ~/.zshrc ~/.profile /etc/environment .
  wif find-keys --history --sarif . > keys.sarif";

/// Of `wif doctor`.
pub(crate) const DOCTOR: &str = "\
It judges as the service does, by the same code as `wif emulate`: form, size, algorithm, kid, every claim with its leeway, the
lifetime, the rule's match with its condition (CEL), the workspace. The likeliest finding stands first. It never prints the token. It
sends nothing, unless --online lets it fetch the issuer's keys; the token is not sent then, either.

What it says (`certainty` of --json):
  refused   the service refuses an exchange for this
  likely    it does, unless a setting that you did not hand over says otherwise
  later     the exchange succeeds, and requests fail later
  possible  this may be the reason
  advice    nothing fails because of it

Exit codes:
  0  nothing was found for which an exchange would be refused
  2  the command line is wrong
  3  a file cannot be read, or is no rule or issuer
  5  an exchange would be refused

Variables:
  `wif --help` lists those that say which credential it is.

Examples:
  wif doctor                                          # the configured token, by what every issuer wants
  wif doctor --rule rule.json --issuer issuer.json    # by your own rule
  kubectl exec POD -- cat /var/run/secrets/anthropic.com/token | wif doctor --token - --rule rule.toml
  wif doctor --refused                                # after a 401 that says nothing";

/// Of `wif completions`.
pub(crate) const COMPLETIONS: &str = "\
Exit codes:
  0  the script is printed
  1  it cannot be printed
  2  the command line is wrong

Variables:
  None.

Examples:
  wif completions bash > /etc/bash_completion.d/wif
  wif completions zsh > \"${fpath[1]}/_wif\"
  wif completions fish > ~/.config/fish/completions/wif.fish";

/// Of `wif man`.
pub(crate) const MAN: &str = "\
Exit codes:
  0  the pages are written
  1  they cannot be written
  2  the command line is wrong

Variables:
  None.

Example:
  wif man /usr/local/share/man/man1 && man wif";

/// Of `wif demo`.
pub(crate) const DEMO: &str = "\
Exit codes:
  0  both accounts agree
  1  they do not, or something else went wrong

Variables:
  WIF_LOG  what is logged to standard error, such as wif=info

Example:
  wif demo";

/// How the help of `wif emulate` begins.
pub(crate) const BEFORE_EMULATE: &str = "\
With a COMMAND it runs that with the variables that lead a client to the emulator, and ends when it ends. Without one it prints \
these variables, for a file or another terminal, and then what it is asked and why it refuses, as comments, until Ctrl-C.

An identity token that it publishes can be exchanged once, as in production, and only if the federation rule matches. Unlike in \
production the next one is published as soon as one was exchanged, so that a second run of your program finds one that is good; \
--rotation timed shows what a second run meets there. With --resources the rules are your own, so that you can try one before \
you create it; with --try it judges one identity token by them and ends.";

/// How the help of `wif emulate` ends.
pub(crate) const EMULATE: &str = "\
Faults of exchanges (--fault):
  lost_answer, cut_answer, lost_request, slow, redirect, oversized, not_json, json_array, empty,
  html_502, rate_limited, overloaded, server_error, server_error_after, extra_members,
  expires_in_60, expires_in_0, expires_in_negative, expires_in_text, expires_in_null,
  expires_in_huge, expires_in_missing, token_type_lower, token_type_mac, token_type_missing
Faults of the API (--api-fault):
  unauthorized, rate_limited, overloaded, server_error, redirect, slow, lost_answer, cut_stream

While it runs, the administration API does the same and more; GET / lists what it takes:
  curl -X POST $WIF_EMULATOR_ADMIN/faults \\
       -d '{\"endpoint\": \"exchange\", \"fault\": \"lost_answer\", \"times\": 2}'
  curl -X DELETE $WIF_EMULATOR_ADMIN/faults
  curl $WIF_EMULATOR_ADMIN/history
  curl -X POST $WIF_EMULATOR_ADMIN/keys/rotate
  curl -X POST $WIF_EMULATOR_ADMIN/identity-tokens -d '{\"claims\": {\"ref\": \"refs/heads/main\"}}'
  curl -X POST $WIF_EMULATOR_ADMIN/revoke -d '{\"all\": true}'

Exit codes:
  With a COMMAND its own; 128 and the number of the signal that ended it; 126 if it cannot be
  run, 127 if there is none. Before it runs, and without one: 0 done, 1 the emulator cannot run,
  2 the command line, 3 the resources, 5 the identity token of --try would be refused.

Variables, for COMMAND or printed:
  ANTHROPIC_BASE_URL, ANTHROPIC_FEDERATION_RULE_ID, ANTHROPIC_ORGANIZATION_ID,
  ANTHROPIC_SERVICE_ACCOUNT_ID, ANTHROPIC_WORKSPACE_ID, ANTHROPIC_IDENTITY_TOKEN_FILE
                        what leads a client to the emulator
  WIF_ALLOW_LOOPBACK    1: this command may go there
  WIF_EMULATOR_ADMIN    the administration API
  Those that would go before them, such as ANTHROPIC_API_KEY, are unset.

Examples:
  wif emulate -- wif token
  wif emulate -- sh                       # a shell in which everything leads to the emulator
  wif emulate > trial.env &               # and in another terminal: . ./trial.env";
