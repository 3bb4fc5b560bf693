"""Who may use the page: whoever opened it, and no other site's script.

Browsers let any page send requests to local addresses. Two headers, which scripts cannot set, tell such a request:
``Origin`` is the site whose script sends it, and ``Host`` what the browser was asked for, which after DNS rebinding (a
name of the attacker's that suddenly means this machine) is that name.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware: refuses foreign requests with 403, and tells browsers what the page may load: itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            await send(message)

        objection = refusal(Headers(scope=scope))
        app = JSONResponse({"error": objection}, 403) if objection else self.app
        return await app(scope, receive, guarded)


def refusal(headers: Headers) -> str | None:
    """Why a request must not be answered, None if it may."""
    host = headers.get("host", "")
    if not _is_ours(host):
        return "This page is reached by an address or the name of this machine only."
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return "Scripts of other sites may not use this page."
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
        return "Other sites may not use this page."
    return None


def _is_ours(host: str) -> bool:
    """Addresses, which no one can rebind, and the names of this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name in ("localhost", socket.gethostname().lower()):
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
