"""A program that the strict checkers read and nobody runs: what users write has the types that they would expect."""

import asyncio
import logging
from pathlib import Path

import anthropic
import httpx
import httpx2
import requests

import wif
import wif.httpx
import wif.httpx2
import wif.requests


def identity_token(audience: str) -> str:
    return audience


async def access_token(rejected: str | None) -> wif.SuppliedToken:
    return wif.SuppliedToken(rejected or "x", expires_at=1.0)


def sign(algorithm: str, signed: bytes) -> bytes:
    return algorithm.encode() + signed


async def send(request: wif.Request) -> wif.Response:
    if request.ca_file is not None:
        raise wif.NotSentError
    return wif.Response(200, [("content-type", "application/json")], request.body)


def use() -> str:
    with wif.Credential(
        {"base_url": "https://api.anthropic.com"},
        allow_directories=[Path("/var/run/secrets")],
        identity_tokens={"one": identity_token},
        access_tokens={"two": access_token},
        signers={"three": sign},
        send_request=send,
        logger=logging.getLogger(),
    ) as credential:
        token: wif.Token = credential.token(timeout=10)
        maybe: wif.Token | None = credential.current()
        headers: dict[str, str] = {}
        token.apply(headers)
        client = anthropic.Anthropic(credentials=credential.anthropic())
        httpx.Client(auth=wif.httpx.Auth(credential))
        httpx2.Client(auth=wif.httpx2.Auth(credential))
        requests.Session().auth = wif.requests.Auth(credential)
        client.close()
        return token.id if maybe is None else maybe.id


async def use_async() -> str:
    async with wif.Credential.discover(allow_loopback=True) as credential:
        anthropic.AsyncAnthropic(credentials=credential.anthropic_async())
        try:
            return (await credential.token_async(1.0)).value
        except wif.NoTokenError as error:
            wait: float = error.retry_in or 1.0
            await asyncio.sleep(wait)
            return error.code
