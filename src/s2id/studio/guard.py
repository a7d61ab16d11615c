"""Who is let in, and how much of a request: hosts, origins, the token, bytes and time; and what browsers are told.

A page of another site can make a browser send requests here, under any name that its owner lets point to this machine
(DNS rebinding). So the Host must be one that the studio was started for, and what changes anything must come from a
page of its own, or from no page.
"""

import asyncio
import hmac
import json
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from s2id.studio.settings import MOST_BYTES, Limits

COOKIE = "s2id-token"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""What the pages may do."""

_TOLD = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

_OPEN = ("/studio/", "/iiif/")
"""Paths that need no token: the page's own files, and pictures under random names that only their maker was told."""

_OPEN_EXACTLY = ("/", "/health", "/api/login")


class Guard:
    """An application, with a guard before it."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], token: str | None, limits: Limits) -> None:
        """Guard an application.

        Args:
            app: The application.
            hosts: Values of the header Host that are served, in lower case.
            token: Secret that clients must know; `None` asks for none.
            limits: Bounds of requests.
        """
        self.app, self.hosts, self.token, self.limits = app, frozenset(hosts), token, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it in a sentence."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            if body.refusal and not begun:
                return  # whatever the application makes of half a request
            if message["type"] == "http.response.start":
                begun = True
                answer = MutableHeaders(scope=message)
                for name, value in _TOLD.items():
                    answer.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    answer.setdefault("cache-control", "no-store")
            await send(message)

        body = _Body(receive, self._most(scope, headers), self.limits.request_seconds)
        if refusal := self._refused(scope, headers) or body.too_long(headers):
            await _refuse(told, *refusal)
            return
        try:
            await self.app(scope, body.receive, told)
        except _RefusedError:
            pass
        if (refusal := body.refusal) and not begun:
            body.refusal = None
            await _refuse(told, *refusal)

    def _most(self, scope: Scope, headers: Headers) -> int:
        files = headers.get("content-type", "").startswith("multipart/form-data")
        return self.limits.upload_megabytes * 2**20 if files else MOST_BYTES

    def _refused(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence of a request that is not let in."""
        host = headers.getlist("host")
        if len(host) != 1 or host[0].lower() not in self.hosts:
            return 403, "this studio is not known by that name; open the address that it printed."
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc.lower() != host[0].lower():
                return 403, "a page of another site may change nothing here; use the studio's own page."
            if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
                return 403, "a page of another site may change nothing here; use the studio's own page."
        path = scope["path"]
        if self.token and path not in _OPEN_EXACTLY and not path.startswith(_OPEN) and not self._knows(headers):
            return 401, "this studio asks for its token; open the address that it printed."
        return None

    def _knows(self, headers: Headers) -> bool:
        """Whether a request has the token, in a header or in the cookie that `/api/login` sets."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        tried = [given] if kind.lower() == "bearer" else []
        tried += [cookie.value] if cookie else []
        return any(same(one, self.token or "") for one in tried)


def same(given: str, token: str) -> bool:
    """Whether two secrets are the same, in a time that does not say where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


class _RefusedError(Exception):
    """The rest of a request is not read."""


class _Body:
    """What a client sends, bounded in bytes and time."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self._receive, self.most = receive, most
        self.until = asyncio.get_running_loop().time() + seconds
        self.bytes, self.whole = 0, False
        self.refusal: tuple[int, str] | None = None

    def too_long(self, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence of a body that says that it is too long."""
        said = headers.get("content-length", "0")
        return self._sentence() if not said.isdecimal() or int(said[:20]) > self.most else None

    async def receive(self) -> Message:
        """The next part, or the news that the client has left."""
        if self.whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self.until):
                message = await self._receive()
        except TimeoutError:
            self.refusal = 408, "the request took too long to arrive; send it again."
            raise _RefusedError from None
        self.bytes += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        if self.bytes > self.most:
            self.refusal = self._sentence()
            raise _RefusedError
        return message

    def _sentence(self) -> tuple[int, str]:
        return 413, f"the request is larger than {self.most / 2**20:g} MiB; send less."


async def _refuse(send: Send, status: int, sentence: str) -> None:
    """Answer with a sentence."""
    body = json.dumps({"error": sentence}).encode()
    headers: list[Any] = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
