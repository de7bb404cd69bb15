"""JSON Schemas of the public models."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel

from regime_trading.core import event_schema, requests, rl, schemas, settings, state, trader_profile, traders
from regime_trading.core.errors import BadInput

_MODELS: tuple[type[BaseModel], ...] = (
    event_schema.PMAuditEvent,
    requests.MarketSnapshot,
    requests.PMRequest,
    rl.PMAction,
    rl.PMState,
    rl.PMTransition,
    schemas.AccountState,
    schemas.ConstraintSnapshot,
    schemas.DataHealth,
    schemas.InstrumentSpec,
    schemas.MicrostructureFeatures,
    schemas.Order,
    schemas.PMDecision,
    schemas.PortfolioSnapshot,
    schemas.Proposal,
    schemas.Regime,
    schemas.TapeSummary,
    settings.Settings,
    state.PipelineState,
    state.RunRequest,
    trader_profile.TraderProfile,
    traders.TradersConfig,
)
PUBLIC = {model.__name__: model for model in _MODELS}


def model_names() -> tuple[str, ...]:
    """Names of the public models, sorted."""
    return tuple(sorted(PUBLIC))


def model_schema(name: str) -> dict[str, Any]:
    """JSON Schema of one public model, as it is written.

    Raises
    ------
    BadInput
        No such model, with the nearest one.
    """
    if name not in PUBLIC:
        near = difflib.get_close_matches(name, PUBLIC, n=1) or model_names()
        raise BadInput(expected=f"a public model such as {near[0]}", found=name, where="schema")
    return PUBLIC[name].model_json_schema(mode="serialization")
