"""The public schema of the record: header and payload of every kind of entry, at one level as the bytes have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import Field, RootModel, ValidationError, create_model

from regime_trading.core import event_payloads as p
from regime_trading.core.event_payloads import PAYLOADS, Part, Payload
from regime_trading.core.events import refusal
from regime_trading.core.schemas import EventType


class Actor(Part):
    """Who acted: a person by pseudonym, a service, a rule, or a simulated person of a dry run."""

    type: Literal["user", "service", "rule", "simulated"]
    id: Annotated[str, Field(min_length=1, max_length=120)]


class Header(Part):
    """Fields that every entry has (``risk.md`` 4.1)."""

    schema_name: Literal["PMAuditEvent"] = "PMAuditEvent"
    schema_version: Literal[1] = 1
    event_id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    firm_id: Annotated[str, Field(pattern=r"^(_platform|[a-z0-9-]{1,40})$")]
    account_id: Annotated[str, Field(pattern=r"^(_platform|_firm|[a-z0-9-]{1,40})$")]
    run_id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
    env: Literal["dry_run", "shadow", "live", "admin"]
    feature_set_version: str
    seq: Annotated[int, Field(ge=1)]
    ts_event_ns: p.NsText
    ts_recorded_ns: p.NsText
    rule_id: str
    actor: Actor
    correlation_id: str
    causation_id: str
    config_hash: str
    code_version: str
    rationale: str
    reason_codes: p.Strings


def _event_model(payload: type[Payload]) -> type[Part]:
    """Header and payload at one level, as the bytes have them."""
    kind: Any = (Literal[payload.kind.value], payload.kind.value)
    return create_model(
        f"{payload.__name__}Event", __base__=(Header, payload), __doc__=payload.__doc__, event_type=kind
    )


EVENT_MODELS: Mapping[type[Payload], type[Part]] = {payload: _event_model(payload) for payload in PAYLOADS}
_INNER = {EventType.DECISION: "outcome", EventType.ATTEMPT: "status", EventType.UNLOCK: "release"}


def _union(models: list[Any], discriminator: str) -> Any:
    return Annotated[Union[tuple(models)], Field(discriminator=discriminator)]  # noqa: UP007


def _by_kind() -> Any:
    """One member per kind; kinds of which there are two forms are told apart by a field of theirs."""
    members = []
    for kind in EventType:
        forms = [EVENT_MODELS[payload] for payload in PAYLOADS if payload.kind is kind]
        members.append(forms[0] if len(forms) == 1 else _union(forms, _INNER[kind]))
    return _union(members, "event_type")


class PMAuditEvent(RootModel[_by_kind()]):  # type: ignore[misc]
    """One entry of the record without its hashes: header and payload at one level, told apart by ``event_type``."""


def read_event(body: bytes) -> Part:
    """The typed entry of a stored body.

    Raises
    ------
    BadInput
        A body that does not fit the schema of its kind.
    """
    try:
        found: Part = PMAuditEvent.model_validate_json(body).root
        return found
    except ValidationError as error:
        raise refusal(error, "body") from error
