"""Commands: what there is, what may follow, what it would do, and having it done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field

from regime_trading.api.deps import BaseDep, PrincipalDep, limited, record_missing
from regime_trading.api.idempotency import KeyHeader, require_key
from regime_trading.api.shapes import DoneOut, InstantText, PreviewOut, Shape, preview_out
from regime_trading.core.access import Principal
from regime_trading.core.commands.catalogue import ALIASES
from regime_trading.core.commands.completion import Candidates, complete, named_elsewhere, offered
from regime_trading.core.commands.grammar import MAX_LENGTH
from regime_trading.core.commands.spec import CommandSpec, KeySpec
from regime_trading.core.errors import NotThere
from regime_trading.core.instants import instant_text
from regime_trading.services.commands import Asker, confirm, do, preview
from regime_trading.services.desk import Desk

CandidatesOf = Callable[[Principal, tuple[str, ...]], Candidates]


class KeyOut(Shape):
    """One key of a command."""

    name: str
    type: str
    required: bool
    many: bool
    choices: tuple[str, ...]
    source: str


class CommandOut(Shape):
    """One command that this person may use."""

    name: str = Field(examples=["/halt account"])
    help: str
    klass: str
    keys: tuple[KeyOut, ...]
    flags: tuple[str, ...]
    not_built: str


class CatalogueOut(Shape):
    """The commands this person may use, and other names of commands."""

    commands: tuple[CommandOut, ...]
    aliases: dict[str, str]


class CompletionOut(Shape):
    """``text`` goes in the place of characters ``start`` to ``end``; one that ``needs`` a role is never inserted."""

    what: str
    text: str
    help: str
    start: int
    end: int
    required: bool
    needs: str


class CommandIn(Shape):
    """A command as it was typed; ``firm`` where several could be meant."""

    command: str = Field(max_length=2 * MAX_LENGTH, examples=["/halt account account:north-pier/core"])
    firm: str = Field(default="", max_length=40)


class ConfirmIn(Shape):
    """The one thing a confirmation says: which preview, unchanged."""

    preview_id: str = Field(max_length=140)
    action_hash: str = Field(max_length=64)
    phrase: str = Field(default="", max_length=200)
    reason: str = Field(default="", max_length=500)


class GivenOut(Shape):
    """One command of one's own history."""

    at: InstantText
    command: str
    klass: str
    outcome: str


def commands_router(desk: Desk, candidates: CandidatesOf) -> APIRouter:
    """Routes over a desk; ``candidates`` says what there is to choose from, for a person and accounts on the screen."""
    router = APIRouter(tags=["commands"], dependencies=[limited])

    @router.get("/commands")
    def read_commands(principal: PrincipalDep) -> CatalogueOut:
        """The catalogue, as far as one's roles go."""
        commands = tuple(_command(spec) for spec in offered(principal))
        return CatalogueOut(
            commands=commands, aliases={" ".join(old): " ".join(new) for old, new in ALIASES.items()}
        )

    @router.get("/complete")
    def read_completions(
        request: Request,
        principal: PrincipalDep,
        text: Annotated[str, Query(max_length=2 * MAX_LENGTH, examples=["/ha"])],
        account: Annotated[list[str], Query(description="accounts on the screen")] = [],  # noqa: B006
    ) -> list[CompletionOut]:
        """What may follow the text up to the caret."""
        known = candidates(principal, tuple(account[:50]))
        named = (*account[:50], *named_elsewhere(text, principal))
        if missing := [name for name in named if "/" in name and name not in known.values["account"]]:
            record_missing(request, NotThere("account", missing[0], missing[0].split("/")[0]))
        rows = complete(text, principal, known)
        return [
            CompletionOut(
                what=row.what.value,
                text=row.text,
                help=row.help,
                start=row.start,
                end=row.end,
                required=row.required,
                needs=row.needs,
            )
            for row in rows
        ]

    @router.post("/commands/preview")
    def preview_command(body: CommandIn, principal: PrincipalDep) -> PreviewOut:
        """What a command would do; changes nothing."""
        return preview_out(preview(desk, Asker(principal, body.firm), body.command))

    @router.post("/commands/confirm")
    def confirm_command(body: ConfirmIn, principal: PrincipalDep, key: KeyHeader = None) -> DoneOut:
        """Have a preview carried out, once, or ask others for it."""
        done = confirm(
            desk,
            Asker(principal),
            body.preview_id,
            body.action_hash,
            body.phrase,
            body.reason,
            require_key(key),
        )
        return DoneOut(outcome=done.outcome, said=done.said, data=done.data, request_id=done.request_id)

    @router.post("/commands/do")
    def do_command(body: CommandIn, principal: PrincipalDep, key: KeyHeader = None) -> DoneOut:
        """Run a command that needs no confirmation; any other is answered with its preview (409). What starts a job
        takes a key, and under the same key it is the same job."""
        outcome = do(desk, Asker(principal, body.firm), body.command, require_key(key) if key else "")
        return DoneOut(outcome="executed", said=outcome.said, data=dict(outcome.data))

    @router.get("/commands/history")
    def read_history(principal: PrincipalDep, base: BaseDep) -> list[GivenOut]:
        """One's own commands, the newest first."""
        given = [
            one for firm_id in principal.firms for one in desk.previews(firm_id).history(principal.user_id)
        ]
        given.sort(key=lambda one: -one.ts_ns)
        return [
            GivenOut(at=instant_text(one.ts_ns), command=one.command, klass=one.klass, outcome=one.outcome)
            for one in given[:100]
        ]

    return router


def _command(spec: CommandSpec) -> CommandOut:
    return CommandOut(
        name=spec.name,
        help=spec.help,
        klass=spec.klass.value,
        keys=tuple(_key(key) for key in spec.keys),
        flags=spec.flags,
        not_built=spec.not_built,
    )


def _key(key: KeySpec) -> KeyOut:
    return KeyOut(
        name=key.name,
        type=key.type.value,
        required=key.required,
        many=key.many,
        choices=key.choices,
        source=key.source,
    )
