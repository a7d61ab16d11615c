"""Who is let in, and how much of a request: hosts, origins, the token, bytes and time; and what browsers are told.

A page of another site can make a browser send requests here, under any name that its owner lets point to this machine
(DNS rebinding). So the Host must be one that the studio was started for, and what changes anything must come from a
page of its own, or from no page.
"""

import asyncio
import hmac
import json
from collections.abc import Collection
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from s2id.studio.settings import MOST_BYTES, UPLOADS, Limits

COOKIE = "s2id-token"

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""What the pages may do: the player computes in WebAssembly, which no word for less than this allows."""

_TOLD = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

_DRAINING, _DRAINED = 5.0, 4
"""Seconds for which the body of a refused request is still taken, and how many times as many bytes as are allowed."""

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
        self._uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it in a sentence."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = _Body(receive, self._most(headers), self.limits.request_seconds)
        exchange, seconds = _Exchange(scope, send, body), 2 * self.limits.request_seconds
        if refusal := self._refused(scope, headers) or body.too_long(headers):
            await body.drain()
            await exchange.refuse(*refusal)
        elif not self._has_files(headers):
            await exchange.serve(self.app, seconds)
        elif self._uploads >= UPLOADS:
            await body.drain()
            await exchange.refuse(503, "as many files arrive as the studio takes at once; try again soon.")
        else:
            self._uploads += 1
            try:
                await exchange.serve(self.app, seconds)
            finally:
                self._uploads -= 1

    def _has_files(self, headers: Headers) -> bool:
        return headers.get("content-type", "").lower().startswith("multipart/form-data")

    def _most(self, headers: Headers) -> int:
        return self.limits.upload_megabytes * 2**20 if self._has_files(headers) else MOST_BYTES

    def _refused(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence of a request that is not let in."""
        host = headers.getlist("host")
        if len(host) != 1 or host[0].lower() not in self.hosts:
            return 403, "this studio is not known by that name; open the address that it printed."
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            origin = headers.get("origin")
            if origin is not None and origin.partition("://")[2].lower() != host[0].lower():
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


class _Body:
    """What a client sends, bounded in bytes and time."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self._receive, self.most = receive, most
        self._until = asyncio.get_running_loop().time() + seconds
        self._bytes, self._whole = 0, False
        self._parts: asyncio.Queue[Message] = asyncio.Queue(1)
        self.refusal: tuple[int, str] | None = None
        self.left = False
        """Whether the client has gone."""

    def too_long(self, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence of a body that says that it is too long."""
        said = headers.get("content-length", "0")
        return self._sentence() if not said.isdecimal() or int(said[:20]) > self.most else None

    async def receive(self) -> Message:
        """The next part, for the application."""
        return await self._parts.get()

    async def listen(self) -> None:
        """Take parts from the client until it has gone or sends what is refused."""
        while not (self.left or self.refusal):
            try:
                async with asyncio.timeout_at(None if self._whole else self._until):
                    message = await self._next()
            except TimeoutError:
                self.refusal = 408, "the request took too long to arrive; send it again."
                return
            if self._bytes > self.most:
                self.refusal = self._sentence()
            elif not self.left:
                await self._parts.put(message)

    async def drain(self) -> None:
        """Take what is refused, within bounds: a client that cannot send to the end may miss the answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAINING):
                while not (self.left or self._whole or self._bytes > _DRAINED * self.most):
                    await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self.left = message["type"] == "http.disconnect"
        self._bytes += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        return message

    def _sentence(self) -> tuple[int, str]:
        return 413, f"the request is larger than {self.most / 2**20:g} MiB; send less."


class _Exchange:
    """A request and its answer, which ends when the client goes or it takes too long."""

    def __init__(self, scope: Scope, send: Send, body: _Body) -> None:
        self._scope, self._send, self._body = scope, send, body
        self._begun = False
        self._late: asyncio.TimerHandle | None = None

    async def serve(self, app: ASGIApp, seconds: float) -> None:
        """Let an application answer, which has so many seconds to begin."""
        serving = asyncio.ensure_future(app(self._scope, self._body.receive, self._tell))
        listening = asyncio.ensure_future(self._body.listen())
        listening.add_done_callback(lambda _: serving.cancel())
        self._late = asyncio.get_running_loop().call_later(seconds, listening.cancel)
        try:
            await serving
        except asyncio.CancelledError:
            if not listening.done():  # the studio ends
                raise
            if not (self._begun or self._body.left):
                late = 503, "this took too long; ask for less, or try again later."
                await self.refuse(*(self._body.refusal or late))
        finally:
            self._late.cancel()
            listening.cancel()

    async def refuse(self, status: int, sentence: str) -> None:
        """Answer with a sentence."""
        content = json.dumps({"error": sentence}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        headers += [(b"connection", b"close")] if status in (408, 413) else []
        headers += [(b"retry-after", b"2")] if status == 503 else []
        await self._tell({"type": "http.response.start", "status": status, "headers": headers})
        await self._tell({"type": "http.response.body", "body": content})

    async def _tell(self, message: Message) -> None:
        """Send a part of the answer, with what browsers are told."""
        if message["type"] == "http.response.start":
            self._begun = True
            if self._late:
                self._late.cancel()
            headers = MutableHeaders(scope=message)
            for name, value in _TOLD.items():
                headers.setdefault(name, value)
            if self._scope["path"].startswith("/api/"):
                headers.setdefault("cache-control", "no-store")
        await self._send(message)
