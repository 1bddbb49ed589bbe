"""Does what a session asks for: sends requests, reads files and variables, calls the program. Grants what `wit/authority.json`
lists and the configuration names, and nothing else, whatever the component says."""

import contextlib
import http.client
import json
import os
import re
import shlex
import ssl
import stat
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

CONTRACT = Path(__file__).parents[2] / "wit"
AUTHORITY = json.loads((CONTRACT / "authority.json").read_text())
RULES = json.loads((CONTRACT / "rules.json").read_text())

LIMITS = AUTHORITY["limits"]
MAX_REQUEST_SECONDS = 60
PASSED_ON = {"request-id", "retry-after", "date", "content-type", "location"}


class Denied(Exception):
    """The policy refuses it. The text names the rule."""


class Allowance:
    """So many at once, and then one for each pause. What was used of it is a moment: the later it lies ahead, the less is left."""

    def __init__(self, many, one):
        self._at_once, self._pause_ms, self._used_until_ms = LIMITS[f"{many}-at-once"], LIMITS[f"{one}-every-ms"], 0

    def take(self):
        now = time.monotonic() * 1000
        used_until_ms = max(self._used_until_ms, now) + self._pause_ms
        fits = used_until_ms <= now + self._at_once * self._pause_ms
        if fits:
            self._used_until_ms = used_until_ms
        return fits


def parse_origin(text):
    """Scheme, host and port, to compare by."""
    parts = urlsplit(text)
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not (parts.scheme == "https" or parts.scheme == "http" and loopback) or not parts.hostname or "@" in parts.netloc:
        raise Denied(f"{parts.scheme}://{parts.hostname} is no origin for a credential: https, or http to this machine")
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}[parts.scheme]


def base_path(base_url):
    """The path of a `base_url`, without the slash at its end."""
    return urlsplit(base_url.strip()).path.rstrip("/")


def check_owners(path, home):
    """Raises `Denied` where others could have written the file, or put another in its place. Looks at the directories up to `home`,
    or to the root."""
    for at in (path, *path.parents):
        found = at.stat()
        if found.st_uid not in (0, os.geteuid()):
            raise Denied(f"{at} belongs to another user: chown {os.geteuid()} {shlex.quote(str(at))} mends it")
        guarded = at != path and found.st_mode & stat.S_ISVTX
        if found.st_mode & 0o022 and not guarded:
            raise Denied(f"its group or others may write {at}: chmod go-w {shlex.quote(str(at))} mends it")
        if at == home:
            break


class Tasks:
    """Answers tasks with outcomes, both in the JSON form. `callables` are the embedding program's, by the task's kind: each takes
    the task's payload, and returns an outcome."""

    def __init__(self, configuration, origins, environ=os.environ, callables=None):
        document = json.loads(configuration)
        source = document.get("federation", {}).get("identity_token", {})
        self.origins = [parse_origin(origin) for origin in origins]
        self.environ = environ
        self.callables = callables or {}
        self._discovers = not document.keys() & {"federation", "bearer"}
        self._config_dir = document.get("discover", {}).get("config_dir")
        # The paths before the token endpoint's own: a variable or a profile may tell another one, where discovery is left with it.
        self._base_paths = {base_path(document.get("base_url", ""))}
        # The one that the configuration names, where it names one.
        self._base_origin = parse_origin(document["base_url"]) if "base_url" in document else None
        self._finds_base = self._discovers and "base_url" not in document
        if self._finds_base and environ.get("ANTHROPIC_BASE_URL", "").strip():
            self._base_paths, self._finds_base = {base_path(environ["ANTHROPIC_BASE_URL"])}, False
        self._files = {source["path"]} if source.get("source") == "file" else set()
        self._variables = {source["name"]} if source.get("source") == "variable" else set()

    def capabilities(self):
        """What `open` is told that this host can do."""
        can = ["read-file", "read-variable", *(self.callables.keys() & {"supply-assertion", "supply-token", "sign"})]
        return can + (["store"] if {"load-entry", "swap-entry"} <= self.callables.keys() else [])

    def outcome(self, task):
        """Does the task, and says what came of it."""
        kind, payload = next(iter(task.items()))
        if kind in ("load-entry", "swap-entry"):
            key = payload["key"] if kind == "swap-entry" else payload
            if key.startswith("file:"):
                return "unsupported"  # This host keeps no logins.
            if not re.fullmatch(r"[0-9a-f]{1,128}", key):
                # A store may take it for a path, a pattern or a command.
                return {"denied": "the key of an entry is a hash, in hexadecimal digits"}
            if kind == "swap-entry" and len(payload["value"].encode()) > LIMITS["journal-bytes"]:
                return {"denied": "the entry is too long"}
        own = {"send-request": self.send, "read-file": self.read_file, "read-variable": self.read_variable}
        do = own.get(kind) or self.callables.get(kind)
        try:
            return do(payload) if do else "unsupported"
        except Denied as denied:
            return {"denied": str(denied)}
        except Exception as error:
            # The class alone: a message may hold what the callable handled.
            return {"failed": type(error).__name__}

    def allows_origin(self, url):
        """Whether a request, or a token, may go to the origin of this URL."""
        origin = parse_origin(url)
        return origin in self.origins and self._base_origin in (None, origin)

    # ---- requests -----------------------------------------------------------------------------------------------------------

    def check_request(self, request):
        """Raises `Denied` unless the request is what its purpose needs."""
        grant = AUTHORITY["exchange"]
        if request["purpose"] not in ("exchange", "refresh"):
            raise Denied("no source of identity tokens may send requests here")
        if not re.fullmatch(r"[!-~]+", request["url"]) or "\\" in request["url"]:
            raise Denied("the URL is none")
        url = urlsplit(request["url"])
        if not self.allows_origin(request["url"]) or parse_origin(request["origin"]) != parse_origin(request["url"]):
            raise Denied(f"the origin {url.scheme}://{url.netloc} is not allowed")
        right = url.path in {base + grant["path"] for base in self._base_paths}
        if request["method"] != grant["method"] or not right or re.search(r"[?#%]|/\.\.?/|[^:]//", request["url"]):
            raise Denied(f"requests go to {grant['method']} {grant['path']} only")
        for header in request["headers"]:
            if header["name"] not in grant["headers"]:
                raise Denied(f"an exchange has no header {header['name']}")
            if header["name"] == "content-type" and header["value"] != grant["content-type"]:
                raise Denied("an exchange is JSON")
            if not re.fullmatch(r"[ -~\t]*", header["value"]):
                raise Denied(f"the value of the header {header['name']} is none")
        if len(request["body"].encode()) > LIMITS["request-bytes"] or len(request["headers"]) > LIMITS["request-headers"]:
            raise Denied("the request is too long")

    def send(self, request):
        self.check_request(request)
        url = urlsplit(request["url"])
        seconds = min(request["timeout-ms"] / 1000, MAX_REQUEST_SECONDS)
        ends_at = time.monotonic() + seconds
        if url.scheme == "https":
            connection = http.client.HTTPSConnection(url.netloc, timeout=seconds, context=ssl.create_default_context())
        else:
            connection = http.client.HTTPConnection(url.netloc, timeout=seconds)
        try:
            connection.connect()
        except OSError as error:
            # Lookup, connection or handshake: no byte of the request left.
            return {"unsent": error.strerror or type(error).__name__}
        # The time is for the whole request. The socket's own would count anew with every byte.
        end = threading.Timer(max(0, ends_at - time.monotonic()), connection.sock.shutdown, [2])
        end.start()
        try:
            # This client follows no redirect, and uses no proxy.
            headers = {header["name"]: header["value"] for header in request["headers"]}
            connection.request(request["method"], url.path, request["body"].encode(), headers)
            response = connection.getresponse()
            limit = min(request["max-response-bytes"], LIMITS["response-bytes"])
            body = response.read(limit + 1)
            if len(body) > limit:
                return {"maybe-sent": "the answer is too long"}
            if response.length:
                return {"maybe-sent": "the answer is cut off"}
        except (OSError, http.client.HTTPException) as error:
            return {"maybe-sent": getattr(error, "strerror", None) or type(error).__name__}
        finally:
            end.cancel()
            connection.close()
        passed = [(name.lower(), value) for name, value in response.getheaders() if name.lower() in PASSED_ON]
        headers = [{"name": name, "value": value} for name, value in passed if re.fullmatch(r"[ -~\t]{0,4096}", value)]
        return {"response": {"status": response.status, "headers": headers[:32], "body": body.decode(errors="replace")}}

    # ---- files and variables ------------------------------------------------------------------------------------------------

    def read_variable(self, name):
        if name not in self._variables and not (self._discovers and name in AUTHORITY["variables"]):
            raise Denied(f"the configuration does not name the variable {name}, and discovery does not read it")
        return {"content": self.environ[name]} if name in self.environ else "absent"

    def read_file(self, request):
        path = request["path"]
        profile = self._directory_of_profile(path) if self._discovers else None
        named = self._files | ({self.environ.get("ANTHROPIC_IDENTITY_TOKEN_FILE")} if self._discovers else set())
        if not profile and path not in named:
            raise Denied(f"the configuration does not name the file {path}, and discovery does not read it")
        limit = min(request["max-bytes"], LIMITS["content-bytes"])
        try:
            # A FIFO would hold up whoever opens it.
            if profile and Path(path).resolve().parent not in (Path(of).resolve() for of in (profile, f"{profile}/configs")):
                raise Denied(f"it is a link that leads out of {profile}: put the file itself there")
            with open(path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return {"failed": "it is no regular file"}
                # A profile names other files: what it is held to is not for the component to say.
                if profile or request["protection"] == "unwritable-by-others":
                    check_owners(Path(path).resolve(), Path(self.environ.get("HOME", "/")).resolve())
                content = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return "absent"
        except PermissionError:
            return {"denied": "this user may not read it"}
        except OSError as error:
            return {"failed": error.strerror or type(error).__name__}
        if len(content) > limit:
            return {"failed": f"it is longer than {limit} bytes"}
        text = content.decode(errors="replace")
        if profile:
            # A profile may name the file of the identity token, by one member and by no other; and the API's place.
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                self._files |= {json.loads(text)["authentication"]["identity_token"]["path"].strip()}
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                self._base_paths |= {base_path(json.loads(text)["base_url"])} if self._finds_base else set()
        return {"content": text}

    def _directory_of_profile(self, path):
        """The directory of a file that discovery reads for itself. The file has to be in it without links, too."""
        told = {name: self.environ.get(name) for name in ("ANTHROPIC_CONFIG_DIR", "HOME", "XDG_CONFIG_HOME")}
        chosen = self._config_dir or told["ANTHROPIC_CONFIG_DIR"]
        usual = [(told["HOME"], "/.config/anthropic"), (told["XDG_CONFIG_HOME"], "/anthropic")]
        directories = [chosen.rstrip("/")] if chosen else [home.rstrip("/") + rest for home, rest in usual if home]
        found = (of for of in directories if re.fullmatch(re.escape(of) + r"/(active_config|configs/[^/]+\.json)", path))
        return next(found, None)
