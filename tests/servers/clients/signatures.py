"""Prints random requests and how botocore signs them, a line of JSON each. Its argument says how many."""

import json
import random
import string
import sys
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

chance = random.Random(20260921)
ODD = string.ascii_letters + string.digits + "-._~" + " !\"#$&'()*+,/:;=?@[]^`|%\\üß漢😀"


def text(alphabet, shortest, longest):
    return "".join(chance.choice(alphabet) for _ in range(chance.randint(shortest, longest)))


def name():
    return text(string.ascii_lowercase + string.digits, 1, 12)


for _ in range(int(sys.argv[1])):
    key = text(string.ascii_uppercase + string.digits, 16, 20)
    secret = text(string.ascii_letters + string.digits + "+/", 40, 40)
    session = text(string.ascii_letters + string.digits + "+/=", 20, 200) if chance.random() < 0.5 else None
    region, service = name(), name()
    moment = "20%02d%02d%02dT%02d%02d%02dZ" % (
        chance.randint(10, 90), chance.randint(1, 12), chance.randint(1, 28),
        chance.randint(0, 23), chance.randint(0, 59), chance.randint(0, 59),
    )
    path = "/".join(quote(text(ODD.replace("/", "").replace(".", ""), 1, 8), safe="") for _ in range(chance.randint(0, 3)))
    host = name() + ".example" + chance.choice(["", ":8443"])
    query = {name(): text(ODD, 0, 12) for _ in range(chance.randint(0, 4))}
    headers = {"x-" + name(): text(string.ascii_letters + " -;=,", 1, 20).strip() or "x" for _ in range(chance.randint(0, 3))}
    method = chance.choice(["GET", "POST", "PUT"])
    form = {name(): text(ODD, 0, 12) for _ in range(chance.randint(0, 4))} if method != "GET" else {}

    encoded = lambda pairs: "&".join(f"{quote(k, safe='-._~')}={quote(v, safe='-._~')}" for k, v in sorted(pairs.items()))
    url = f"https://{host}/{path}" + ("?" + encoded(query) if query else "")
    sent = dict(headers)
    if form:
        sent["content-type"] = "application/x-www-form-urlencoded"
    request = AWSRequest(method=method, url=url, headers=sent, data=encoded(form).encode() if form else b"")
    auth = SigV4Auth(Credentials(key, secret, session), service, region)
    request.context["timestamp"] = moment
    auth._modify_request_before_signing(request)
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    auth._inject_signature_to_request(request, signature)
    print(json.dumps({
        "key": key, "secret": secret, "session": session, "region": region, "service": service, "moment": moment,
        "method": method, "url": f"https://{host}/{path}", "query": query, "headers": headers, "form": form,
        "authorization": request.headers["Authorization"],
    }))
