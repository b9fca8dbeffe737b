"""Access: who may ask. This machine alone, with the token, and no page of another site.

It knows requests, and nothing about what they ask for. The page gets the token in its address, as
Jupyter does it, and keeps it as a cookie that other sites cannot send.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

__all__ = ["HEADERS", "Access", "new_token"]

_BYTES = 24
_OPEN = ("/ready",)
_OPEN_BELOW = ("/static/",)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(_BYTES)


@dataclass(frozen=True)
class Access:
    """What a request must bring.

    Attributes:
        token: The secret.
        port: Where the page is served, on this machine.
    """

    token: str
    port: int

    @property
    def cookie(self) -> str:
        """The name of the cookie; pages on other ports of this machine share their cookies."""
        return f"cliptune-{self.port}"

    def refusal(
        self, method: str, path: str, query: str, headers: dict[str, str]
    ) -> tuple[int, str] | None:
        """Say why a request is refused, with its status; None where it is not.

        Args:
            method: Of HTTP.
            path: Decoded.
            query: What stands behind the question mark.
            headers: By their names in small letters.
        """
        if headers.get("host", "") not in self._hosts():
            return 403, "this page is served to this machine alone; open the address as printed"
        if not self._same_site(headers):
            return 403, "a page of another site asked; open the address as printed"
        if path in _OPEN or path.startswith(_OPEN_BELOW):
            return None
        if self.has_token(query, headers):
            return None
        return 401, "the token is missing or wrong; open the address that 'cliptune app' printed"

    def has_token(self, query: str, headers: dict[str, str]) -> bool:
        """Say whether the token came: in the address, a header or the cookie."""
        words = headers.get("authorization", "").split()
        given = [
            *parse_qs(query).get("token", []),
            *(words[1:2] if words[:1] and words[0].casefold() in ("token", "bearer") else []),
            self._from_cookie(headers.get("cookie", "")),
        ]
        mine = self.token.encode()
        return any(hmac.compare_digest(one.encode("utf-8", "replace"), mine) for one in given)

    def _from_cookie(self, text: str) -> str:
        try:
            found = SimpleCookie(text).get(self.cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value

    def _hosts(self) -> tuple[str, ...]:
        return tuple(f"{host}:{self.port}" for host in ("127.0.0.1", "localhost", "[::1]"))

    def _same_site(self, headers: dict[str, str]) -> bool:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None and origin != f"http://{headers['host']}":
            return False
        return site in ("same-origin", "none")
