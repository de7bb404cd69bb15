"""The gate as a function: every rule in front of your own orders.

>>> from regime_trading import pm                                    # doctest: +SKIP
>>> decision = pm.decide(request, config="config")                   # doctest: +SKIP
>>> for cancel in decision.cancels: ...                              # doctest: +SKIP
>>> for order in decision.orders: ...                                # doctest: +SKIP

``docs/guides/gate.md`` has a whole request and what each answer means.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from regime_trading.bootstrap.gate import is_stored, open_gate
from regime_trading.core.errors import NotDurable as NotDurable
from regime_trading.core.request_reading import InvalidRequest as InvalidRequest
from regime_trading.core.request_reading import read_requests
from regime_trading.core.requests import PMRequest as PMRequest
from regime_trading.core.schemas import PMDecision as PMDecision
from regime_trading.services.pm import decide as _decide

Asked = str | bytes | Mapping[str, Any] | PMRequest | Iterable[Mapping[str, Any] | PMRequest]


def decide(
    request: Asked, config: str | Path = "config", artifacts: str | Path | None = None
) -> PMDecision | list[PMDecision]:
    """What is allowed of a proposal, and why; a list is answered with a list in its order.

    With ``state`` in a request nothing is stored: the answer carries the new state. Without it the state is kept in the
    artifacts folder: the decision, its audit entries, the state and its lockouts are on disk before this returns, and
    the same request again gives the same decision.

    Parameters
    ----------
    request : JSON text, mapping, PMRequest, or several of the latter two
    config : str or Path
        Folder with ``settings.yaml`` and ``traders.yaml``.
    artifacts : str or Path, optional
        Folder of the store; ``REGIME_ARTIFACTS``, then ``./artifacts`` where None. Session overrides that are stored
        there tighten every account, also one that brings its own state.

    Returns
    -------
    PMDecision, or a list of them
        A block is a decision too.

    Raises
    ------
    InvalidRequest
        Everything that is wrong with the request, each with its path (``problems``).
    BadInput
        A configuration that cannot be read at all.
    NotDurable
        The record could not be written, not even in the second place; nothing may be sent. (Where only the store is
        down, the answer is a decision that only reduces, ``AUDIT_DEGRADED`` in its rationale.)
    """
    with Gate(config, artifacts) as gate:
        return gate.decide(request)


class Gate:
    """The same, kept open, for any number of threads: the configuration is read once, and decisions that are made at
    the same time share a COMMIT.

    Parameters as :func:`decide`. ``stateless`` reads and writes nothing but the configuration: a request without
    ``state`` is then that of an account without a past.
    """

    def __init__(
        self,
        config: str | Path | None = "config",
        artifacts: str | Path | None = None,
        *,
        stateless: bool = False,
    ) -> None:
        self._config = None if config is None else Path(config)
        self._artifacts = None if artifacts is None else Path(artifacts)
        self._stateless = stateless
        self._stack = ExitStack()
        self._opened: dict[bool, Any] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._opened.clear()

    def decide(self, request: Asked) -> PMDecision | list[PMDecision]:
        """As :func:`decide`."""
        whole = request if isinstance(request, str | bytes | Mapping | PMRequest) else list(request)
        requests, many = read_requests(whole)
        stored = not self._stateless and (
            any(one.state is None for one in requests) or is_stored(self._artifacts)
        )
        with self._lock:
            if stored not in self._opened:
                opened = open_gate(self._config, self._artifacts, stored=stored)
                self._opened[stored] = self._stack.enter_context(opened)
            config, store = self._opened[stored]
        answers = _decide(requests, config=config, store=store)
        return answers if many else answers[0]
