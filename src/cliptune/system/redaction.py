"""Addresses without the passwords in them.

It knows how addresses are written, and nothing about what is behind them. Rather too much is hidden
than too little.
"""

from __future__ import annotations

import re

__all__ = ["hide_password", "hide_passwords"]

_HIDDEN = "***"
_KEYS = r"[\w.-]*(?:password|passwd|passphrase|pwd|secret|token)[\w.-]*"
_IN_ADDRESS = re.compile(r"^([^:/?#@]*://[^:@/?#]*|(?![^:]*://)[^:@/?#]*):.*@", re.DOTALL)
_IN_TEXT = re.compile(r"([A-Za-z][\w+.-]*://[^\s:@/?#]*):[^\s]*@")
_AS_VALUE = re.compile(rf"({_KEYS}\s*=\s*)('[^']*'|\"[^\"]*\"|[^&;#\s'\"]+)", re.IGNORECASE)


def hide_password(address: str) -> str:
    """Return an address as it may be shown.

    Args:
        address: ``postgresql://USER:PASSWORD@HOST/DATABASE``, one with ``?password=``, or what
            somebody took for an address. Whatever stands between the first colon behind the
            user's name and the last ``@`` is hidden, because passwords hold both.
    """
    return _AS_VALUE.sub(rf"\1{_HIDDEN}", _IN_ADDRESS.sub(rf"\1:{_HIDDEN}@", address))


def hide_passwords(text: str) -> str:
    """Return a message with the passwords of the addresses in it hidden."""
    return _AS_VALUE.sub(rf"\1{_HIDDEN}", _IN_TEXT.sub(rf"\1:{_HIDDEN}@", text))
