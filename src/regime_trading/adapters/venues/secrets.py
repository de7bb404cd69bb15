"""Keys of a venue, which no text may show."""

from __future__ import annotations

_SHORTEST = 4  #: shorter texts occur by chance and hide nothing
_EXCERPT = 160


class Credentials:
    """An API key and its secret. Equal by identity; neither ``repr`` nor ``str`` nor pickling shows them.

    Parameters
    ----------
    key, secret : str
        Empty where the caller has none.
    """

    __slots__ = ("key", "secret")

    def __init__(self, key: str, secret: str) -> None:
        self.key, self.secret = key, secret

    def __repr__(self) -> str:
        return "Credentials(key=***, secret=***)"

    def __reduce__(self) -> str:
        raise TypeError("credentials are not written anywhere")


class Redactor:
    """Texts of others, made fit for an error message: short, one line, without our secrets.

    Parameters
    ----------
    credentials : Credentials or None
    """

    __slots__ = ("_hidden",)

    def __init__(self, credentials: Credentials | None) -> None:
        texts = (credentials.key, credentials.secret) if credentials else ()
        self._hidden = sorted((t for t in texts if len(t) >= _SHORTEST), key=len, reverse=True)

    def __repr__(self) -> str:
        return "Redactor()"

    def __call__(self, text: str) -> str:
        for hidden in self._hidden:
            text = text.replace(hidden, "***")
        line = "".join(c if c.isprintable() else " " for c in text)
        short = " ".join(line.split())
        return short if len(short) <= _EXCERPT else short[:_EXCERPT] + "…"
