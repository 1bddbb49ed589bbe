"""What leaves for a request, and what an answer means: the rules of `wit/rules.json`, as `tests/requests` tries them."""

from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from tasks import RULES, Denied, parse_origin

CREDENTIALS, PREFIXES = set(RULES["credentials"]["names"]), tuple(RULES["credentials"]["prefixes"])


class Request(NamedTuple):
    """A request. Fields are pairs of a name and a value, in order; a name may stand there more than once."""

    method: str
    url: str
    fields: list
    trailers: list


def is_credential(name):
    """Whether a field of this name is a form of a caller's own credential."""
    plain = name.lower().replace("_", "-")
    return plain in CREDENTIALS or plain.startswith(PREFIXES)


def goes_to(url, token):
    """Whether a request for this URL goes to the token's origin, and to no look-alike."""
    try:
        return parse_origin(url) == parse_origin(token["origin"])
    except (Denied, ValueError):
        return False


def is_exempt(request):
    """Whether it is no request to the API as such: a tunnel, a preflight, an echo, another protocol."""
    named = [item.strip().lower() for name, value in request.fields if name.lower() == "connection" for item in value.split(",")]
    upgrades = "upgrade" in named and any(name.lower() == "upgrade" for name, _ in request.fields)
    return upgrades or request.method.upper() in RULES["exempt-methods"]


def carry(request, token):
    """What leaves: as it came where it goes elsewhere, and else with ours in place of every form of the caller's own credential."""
    parts = urlsplit(request.url)
    url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if not goes_to(url, token):
        return request
    stripped = request._replace(url=url, **{of: without_credentials(getattr(request, of)) for of in ("fields", "trailers")})
    if is_exempt(request):
        return stripped
    # `connection` might have the next hop drop ours, and a `host` that is not the URL's leads elsewhere.
    fields = [(name, value) for name, value in stripped.fields if name.lower() not in ("connection", "host")]
    return stripped._replace(fields=put_on(fields, token))


def without_credentials(fields):
    return [(name, value) for name, value in fields if not is_credential(name)]


def put_on(fields, token):
    """A caller's fields with ours in place of every form of its own credential. Where they go, the caller of this has checked."""
    out = without_credentials(fields) + [(header["name"], header["value"]) for header in token["set"]]
    for header in token["merge"]:
        theirs = [value for name, value in out if name.lower() == header["name"]]
        items = [item.strip() for value in [*theirs, header["value"]] for item in value.split(",")]
        out = [(name, value) for name, value in out if name.lower() != header["name"]]
        out.append((header["name"], ", ".join(dict.fromkeys(item for item in items if item))))
    return out


def rejects(status, fields):
    """Whether an answer from the token's origin, to a request that carried the token, rejects it."""
    rule = RULES["rejections"]
    return status == rule["status"] or any(name.lower() == "grpc-status" and value == rule["grpc-status"] for name, value in fields)
