"""Find the user's Kaggle token, and keep it out of sight."""

from __future__ import annotations

import base64
import errno
import json
import os
from pathlib import Path

from requests import PreparedRequest
from requests.auth import AuthBase

from ..base.errors import CarvanaError

_HOW = "make one at https://www.kaggle.com/settings (Create New Token)"


class KaggleToken(AuthBase):
    """Puts the token into requests; nothing prints it.

    Args:
        header: value of the Authorization header.
        source: where the token was found, for messages.
    """

    def __init__(self, header: str, source: str) -> None:
        self._header, self.source = header, source

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = self._header
        return request

    def __repr__(self) -> str:
        return f"KaggleToken({self.source})"


def kaggle_token() -> KaggleToken:
    """The user's token, looked for where Kaggle's own programs look.

    In this order: `$KAGGLE_API_TOKEN` (the token, or a file that holds it), `access_token` in the
    folder for settings, `$KAGGLE_USERNAME` with `$KAGGLE_KEY`, `kaggle.json` in that folder, which is
    `$KAGGLE_CONFIG_DIR` or `~/.kaggle`.

    Raises:
        CarvanaError: there is none, or it is not written as a token is.
    """
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR") or Path("~/.kaggle"))
    folder = Path(os.path.expanduser(folder))
    given = os.environ.get("KAGGLE_API_TOKEN", "").strip()
    if given:
        # No token has a slash or a tilde: that is a path, and what cannot be read there must not be sent.
        file = Path(os.path.expanduser(given))
        if not (text := _text(file)) and any(sign in given for sign in "/\\~"):
            # It may be a token all the same, so it is not shown.
            raise CarvanaError(f"$KAGGLE_API_TOKEN looks like a path, and no token is there: {_HOW} and put it there")
        return _bearer(text or given, "in $KAGGLE_API_TOKEN")
    for file in (folder / "access_token", folder / "access_token.txt"):
        if text := _text(file):
            return _bearer(text, f"in {file}")
    name, key = os.environ.get("KAGGLE_USERNAME", "").strip(), os.environ.get("KAGGLE_KEY", "").strip()
    if name and key:
        return _basic(name, key, "in $KAGGLE_USERNAME and $KAGGLE_KEY")
    file = folder / "kaggle.json"
    if text := _text(file):
        try:
            values = json.loads(text)
            return _basic(values["username"].strip(), values["key"].strip(), f"in {file}")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise CarvanaError(f"{file} does not hold a Kaggle token: {_HOW} and put it there") from None
    raise CarvanaError(f"no Kaggle token found: {_HOW} and save it as {file}, or set $KAGGLE_API_TOKEN")


def _text(file: Path) -> str:
    """A small file's text; "" when there is none. Raises CarvanaError if it cannot be read."""
    try:
        # Windows' editors put a mark before UTF-8 (or write UTF-16, which the message is for).
        return file.read_text(encoding="utf-8-sig").strip() if file.is_file() else ""
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            return ""  # no name of a file, but a token
        reason = (error.strerror or error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CarvanaError(
            f"{file} holds the Kaggle token and cannot be read ({reason}): {_HOW} and save it anew"
        ) from None


def _bearer(token: str, source: str) -> KaggleToken:
    return KaggleToken(f"Bearer {_plain(token, source)}", source)


def _basic(name: str, key: str, source: str) -> KaggleToken:
    pair = f"{_plain(name, source)}:{_plain(key, source)}"
    return KaggleToken("Basic " + base64.b64encode(pair.encode()).decode(), source)


def _plain(token: str, source: str) -> str:
    # requests would quote a token that it cannot send in its error.
    if not token.isascii() or not token.isprintable() or " " in token:
        raise CarvanaError(f"the Kaggle token {source} has spaces or signs that no token has: {_HOW}")
    return token
