"""The platforms' own clients, against the stand-ins: prints the identity token that each got.

Its first argument is the case; the second is `identity_token` of our own configuration, in JSON. Everything else they read
from the same variables as a recipe does.
"""

import json
import os
import sys

CASE, SOURCE = sys.argv[1], json.loads(sys.argv[2])
AUDIENCE = "https://api.anthropic.com"


def aws():
    from botocore.session import Session

    sts = Session().create_client(
        "sts", region_name=os.environ["AWS_REGION"], endpoint_url=os.environ["AWS_ENDPOINT_URL_STS"]
    )
    answer = sts.get_web_identity_token(Audience=[AUDIENCE], SigningAlgorithm="RS256", DurationSeconds=900)
    return answer["WebIdentityToken"]


def google():
    from google.auth.compute_engine import IDTokenCredentials
    from google.auth.transport.requests import Request

    request = Request()
    credentials = IDTokenCredentials(request, AUDIENCE, use_metadata_identity_endpoint=True)
    credentials.refresh(request)
    return credentials.token


def google_iam():
    from google.auth import compute_engine, iam, impersonated_credentials
    from google.auth.transport.requests import Request

    # There is no option for the address of this API.
    iam._IAM_IDTOKEN_ENDPOINT = (
        os.environ["GOOGLE_IAM_CREDENTIALS_ENDPOINT"] + "/v1/projects/-/serviceAccounts/{}:generateIdToken"
    )
    own = compute_engine.Credentials()
    target = impersonated_credentials.Credentials(own, SOURCE["service_account"], target_scopes=[])
    # The access token of the other account is not asked for: the machine's own may make identity tokens.
    credentials = impersonated_credentials.IDTokenCredentials(target, target_audience=AUDIENCE, include_email=True)
    credentials.refresh(Request())
    return credentials.token


def azure():
    from azure.identity import ManagedIdentityCredential

    return ManagedIdentityCredential().get_token(SOURCE["resource"] + "/.default").token


def vault():
    import hvac

    client = hvac.Client(os.environ["VAULT_ADDR"])
    with open(SOURCE["login_file"], encoding="utf-8") as file:
        client.auth.kubernetes.login(role=SOURCE["login_role"], jwt=file.read())
    return client.secrets.identity.generate_signed_id_token(SOURCE["role"])["data"]["token"]


def client_credentials():
    from urllib.parse import quote

    from keycardai.oauth import BasicAuth, Client, ClientConfig, Endpoints
    from keycardai.oauth.types.models import ClientCredentialsRequest

    url = SOURCE["token_url"]
    config = ClientConfig(enable_metadata_discovery=False, auto_register_client=False)
    client = Client(
        url.rsplit("/", 1)[0],
        # It leaves the form of RFC 6749 section 2.3.1 to its caller.
        auth=BasicAuth(quote(SOURCE["client_id"], safe=""), quote(os.environ["SECRET"], safe="")),
        endpoints=Endpoints(token=url),
        config=config,
    )
    request = ClientCredentialsRequest(scope=SOURCE["scope"])
    return client.client_credentials_grant(request).access_token


def executable():
    import shlex

    from google.auth import pluggable

    # It runs programs for Google's token service; here only the running is wanted.
    credentials = pluggable.Credentials(
        audience="//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        subject_token_type="urn:ietf:params:oauth:token-type:id_token",
        token_url="https://sts.googleapis.com/v1/token",
        credential_source={"executable": {"command": shlex.join(SOURCE["command"]), "timeout_millis": 5000}},
    )
    return credentials.retrieve_subject_token(None)


def workload_api():
    import grpc
    from spiffe import SpiffeId, WorkloadApiClient

    # gRPC calls a server by the path of its socket, which servers on hyper take for no name. Agents are written in Go, and take it.
    channel = grpc.insecure_channel
    grpc.insecure_channel = lambda target, options=(): channel(target, [*options, ("grpc.default_authority", "localhost")])
    wanted = SOURCE.get("spiffe_id")
    with WorkloadApiClient() as client:
        return client.fetch_jwt_svid(audience={AUDIENCE}, subject=SpiffeId(wanted) if wanted else None).token


CLIENTS = {
    "executable": executable,
    "spiffe (workload api)": workload_api,
    "google": google,
    "google-iam": google_iam,
    "vault": vault,
    "client-credentials": client_credentials,
}

kind = CASE.split(" ")[0]
print(CLIENTS.get(CASE, {"aws": aws, "azure": azure}.get(kind))())
