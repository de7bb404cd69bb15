"""Frames of the live channel: what a client may say, and the envelope of what it is told (``contracts.md`` 13)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import Field, TypeAdapter, create_model

from regime_trading.core.event_payloads import Account, NsText, Part
from regime_trading.core.messages import DATA, TOPICS, Data, HeartbeatData

VERSION = 1
FRAME_BYTES = 65_536  #: no frame is larger, in either direction
Firm = Annotated[str, Field(pattern=r"^(_platform|[a-z0-9-]{1,40})$")]
Seq = Annotated[int, Field(ge=0, le=2**53 - 1)]


class Wanted(Part):
    """What a client wants to hear: a type of message or ``*``, about one account or (empty) all it may read."""

    topic: Literal[("*", *TOPICS)]  # type: ignore[valid-type]
    account: Account = ""


class Subscribe(Part):
    """The only thing a client says; saying it again replaces what was said before.

    ``after`` is the ``seq`` of the last message the client has dealt with: everything later follows, or a ``resync``.
    Without it the channel begins with what is told next.
    """

    v: Literal[1]
    firm: Firm
    subscribe: Annotated[tuple[Wanted, ...], Field(min_length=1, max_length=64)]
    after: Seq | None = None


class Envelope(Part):
    """Around every message: ``n`` counts the frames of a connection without gaps; ``seq`` is the number to resume
    after, per firm, with holes where messages are not for this reader."""

    v: Literal[1]
    n: Annotated[int, Field(ge=1)]
    seq: Seq
    ts: NsText
    firm: Firm
    account: Account


def _frame(data: type[Data]) -> type[Envelope]:
    fields: dict[str, Any] = {"type": Literal[data.type], "data": data}
    name = data.__name__.removesuffix("Data") + "Frame"
    return create_model(name, __base__=Envelope, __doc__=data.__doc__, **fields)


_TOLD: tuple[type[Data], ...] = (*DATA, HeartbeatData)
FRAMES: tuple[type[Envelope], ...] = tuple(map(_frame, _TOLD))
_FRAME: Any = Annotated[Union[FRAMES], Field(discriminator="type")]  # noqa: UP007
ServerFrame: TypeAdapter[Any] = TypeAdapter(_FRAME)
ClientFrame: TypeAdapter[Subscribe] = TypeAdapter(Subscribe)
