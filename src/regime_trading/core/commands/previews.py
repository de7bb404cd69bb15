"""Previews: what a command would do, as the server says it, bound to whoever asked and to the world it was asked in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from regime_trading.core.approvals import ApprovalKind
from regime_trading.core.canonical import content_hash
from regime_trading.core.commands.execution import Effects
from regime_trading.core.commands.spec import Klass
from regime_trading.core.event_payloads import Account, Hash, MaybeHash, Name
from regime_trading.core.schemas import Mode

TTL_NS = 5 * 60_000_000_000


class Preview(BaseModel):
    """What a command would do, for one person in one session, once, within five minutes.

    ``confirm_phrase`` is empty where nothing must be typed; ``requires_reason``, ``requires_step_up`` and ``others``
    (how many other people must agree) are what its confirmation takes. ``resolved_from`` is what was typed in the
    place of ``command``, where that was an alias.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    preview_id: Name
    firm_id: Name
    account: Account
    mode: Mode | None
    user_id: Name
    session_id: Name
    command: Annotated[str, Field(max_length=4_000)]
    resolved_from: str
    klass: Klass
    kind: ApprovalKind
    summary_md: str
    effects: tuple[str, ...]
    unchanged: tuple[str, ...]
    undo: str
    diff: str
    blocking: tuple[str, ...]
    warnings: tuple[str, ...]
    confirm_phrase: str
    requires_reason: bool
    requires_step_up: bool
    others: Annotated[int, Field(ge=0, le=9)]
    base_version: str
    config_hash: MaybeHash
    effects_hash: Hash
    code_version: str
    created_ns: int
    expires_ns: int

    @property
    def requires_second(self) -> bool:
        """Whether another person must agree."""
        return self.others > 0

    @property
    def action_hash(self) -> str:
        """SHA-256 of everything above; a confirmation names it."""
        times = {"created_ns": str(self.created_ns), "expires_ns": str(self.expires_ns)}
        return content_hash(self.model_dump(mode="json") | times)


class Done(BaseModel):
    """How a confirmation ended: executed, requested of others (``request_id``), or refused by what it was to change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    outcome: Literal["executed", "requested", "refused"]
    said: str
    data: dict[str, JsonValue] = {}
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class StoredPreview:
    """A preview and its use: ``used_key`` is None before, and empty where it was voided; ``done`` is None until it
    ended."""

    preview: Preview
    used_key: str | None = None
    done: Done | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """The one use of a preview, under the key of the attempt; the same key again is the same use."""

    preview_id: str
    key: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Given:
    """One line of somebody's own history; ``command`` holds no secrets."""

    user_id: str
    ts_ns: int
    command: str
    klass: str
    outcome: str


def summary_md(effects: Effects, who: Sequence[str]) -> str:
    """What changes, what does not, who is affected, how to undo it: Markdown, every sentence of a list escaped."""
    parts = (
        ("What changes", effects.effects or ("Nothing.",)),
        ("What does not change", effects.unchanged),
        ("Who is affected", tuple(who)),
        ("How to undo it", (effects.undo,) if effects.undo else ()),
    )
    lists = (
        "\n".join([f"**{head}**", "", *(f"- {_escaped(line)}" for line in lines)])
        for head, lines in parts
        if lines
    )
    return "\n\n".join(lists)


def _escaped(text: str) -> str:
    """Text that Markdown and HTML take as text."""
    line = " ".join(text.split())
    for mark in "\\`*_[]#|~!":
        line = line.replace(mark, f"\\{mark}")
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
