"""Research over all of history, cached by content: the same prices, knobs and code are computed once."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

import numpy as np
import numpy.typing as npt

from regime_trading.core.canonical import array_hash, content_hash
from regime_trading.core.ports import ArtifactStore
from regime_trading.core.schemas import PriceWindow
from regime_trading.core.settings import Settings
from regime_trading.engine.backtest import BasketPath
from regime_trading.engine.desk import exposure_params, research_params
from regime_trading.engine.histories import FeatureHistory, ProposalHistory, RegimeHistory, ResearchParams
from regime_trading.engine.market import Correlations
from regime_trading.engine.proposals import correlation_rows, correlations, proposals
from regime_trading.engine.research import features, regimes
from regime_trading.engine.universe import BasketChoice, Universe
from regime_trading.tools.structure import StructurePath

Arrays = dict[str, npt.NDArray[np.generic]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Study:
    """Features, regimes and correlations of a universe over one window."""

    features: FeatureHistory
    regimes: RegimeHistory
    correlations: Correlations


class StudyCache:
    """Arrays under ``cache/`` by the hash of everything they depend on. A file that cannot be read is made anew."""

    def __init__(self, store: ArtifactStore, code_version: str) -> None:
        self._store, self._code_version = store, code_version

    def arrays(self, kind: str, inputs: dict[str, object], make: Callable[[], Arrays]) -> Arrays:
        """The arrays of ``make()`` for these inputs, from the cache where it has them."""
        key = content_hash({"kind": kind, "code": self._code_version, "inputs": repr(sorted(inputs.items()))})
        path = f"cache/{kind}-{key[:32]}.npz"
        if self._store.exists(path):
            try:
                with np.load(io.BytesIO(self._store.read_bytes(path)), allow_pickle=False) as saved:
                    return {name: saved[name] for name in saved.files}
            except (ValueError, OSError, EOFError, KeyError):
                pass
        made = make()
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **made)  # type: ignore[arg-type]
        self._store.write_bytes(path, buffer.getvalue())
        return made


def study(
    window: PriceWindow,
    universe: Universe,
    settings: Settings,
    cache: StudyCache,
    progress: Progress | None = None,
) -> Study:
    """Features, regimes and correlations of ``universe.symbols`` over ``window``."""
    params = research_params(settings)
    found = features(window, universe.proxy, params, stand_in_symbols=universe.symbols)
    inputs: dict[str, object] = {
        "window": window.content_hash(),
        "params": asdict(params),
        "proxy": universe.proxy or "",
    }
    history = regime_history(window, found, params, cache, progress)
    rows = correlation_rows(len(window.ts_ns), params)
    linked = cache.arrays(
        "correlations",
        inputs | {"symbols": universe.symbols},
        lambda: _pack(correlations(found, params, rows, symbols=universe.symbols, progress=progress)),
    )
    return Study(
        found, history, Correlations(**{name: linked[name] for name in ("rows", "matrix", "condition")})
    )


def regime_history(
    window: PriceWindow,
    found: FeatureHistory,
    params: ResearchParams,
    cache: StudyCache,
    progress: Progress | None = None,
) -> RegimeHistory:
    """Regimes of every symbol of ``window`` and of the market series; a single run finds them in the same place."""
    inputs: dict[str, object] = {
        "window": window.content_hash(),
        "params": asdict(params),
        "market": array_hash({found.market: found.market_returns}),
    }
    saved = cache.arrays("regimes", inputs, lambda: _pack_regimes(regimes(found, params, progress=progress)))
    return _unpack_regimes(saved, found, params)


def basket_path(
    window: PriceWindow,
    found: Study,
    choice: BasketChoice,
    universe: Universe,
    settings: Settings,
    cache: StudyCache,
    progress: Progress | None = None,
) -> BasketPath:
    """Proposals of one basket over the window, aligned to the universe's symbols."""
    params = research_params(settings, choice.basket.cadence_sessions)
    exposure = exposure_params(choice.basket, settings)
    inputs: dict[str, object] = {
        "window": window.content_hash(),
        "params": asdict(params),
        "proxy": universe.proxy or "",
        "symbols": choice.basket.symbols,
        "stand_in": universe.symbols,
        "allocator": choice.basket.allocator.value,
        "budget": str(choice.basket.budget),
        "exposure": asdict(exposure),
    }

    def make() -> Arrays:
        made: ProposalHistory = proposals(
            found.features,
            found.regimes,
            choice.basket.symbols,
            choice.basket.allocator.value,
            exposure,
            float(choice.basket.budget),
            params,
            progress=progress,
        )
        return {"rows": made.rows, "weights": made.weights}

    saved = cache.arrays("proposals", inputs, make)
    return BasketPath(choice.name, saved["rows"], _aligned(saved["weights"], choice, universe), choice.share)


def _aligned(
    weights: npt.NDArray[np.generic], choice: BasketChoice, universe: Universe
) -> npt.NDArray[np.float64]:
    wide = np.zeros((len(weights), len(universe.symbols)))
    own = sorted(set(choice.basket.symbols))
    wide[:, [universe.symbols.index(symbol) for symbol in own]] = weights
    return wide


def _pack(item: object) -> Arrays:
    packed: Arrays = {}
    for field in fields(item):  # type: ignore[arg-type]
        value = getattr(item, field.name)
        if isinstance(value, np.ndarray):
            packed[field.name] = value
    return packed


def _pack_regimes(history: RegimeHistory) -> Arrays:
    structure = {f"structure.{name}": value for name, value in _pack(history.structure).items()}
    return _pack(history) | structure | {"symbols": np.array(history.symbols)}


def _unpack_regimes(saved: Arrays, found: FeatureHistory, params: ResearchParams) -> RegimeHistory:
    prefix = "structure."
    structure = {name[len(prefix) :]: value for name, value in saved.items() if name.startswith(prefix)}
    own = {name: value for name, value in saved.items() if not name.startswith(prefix) and name != "symbols"}
    return RegimeHistory(
        symbols=tuple(str(symbol) for symbol in saved["symbols"]),
        market=found.market,
        n_states=params.n_states,
        model=params.model,
        structure=StructurePath(**structure),  # type: ignore[arg-type]
        **own,  # type: ignore[arg-type]
    )
