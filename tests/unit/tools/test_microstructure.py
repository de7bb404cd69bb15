from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import Provides
from regime_trading.core.settings import ConfidenceCaps
from regime_trading.tools.microstructure import evidence_grade, grade, unavailable_tiers

ORDER = ("bars", "trades", "L1", "L2")


@pytest.mark.parametrize(
    ("provides", "expected"),
    [
        ({Provides.CLOSE}, "bars"),
        ({Provides.OHLC, Provides.VOLUME}, "bars"),
        ({Provides.TRADES}, "trades"),
        ({Provides.CLOSE, Provides.TRADES}, "trades"),
        ({Provides.QUOTES}, "L1"),
        (set(Provides), "L1"),
    ],
)
def test_grade_of_what_a_source_provides(provides: set[Provides], expected: str) -> None:
    assert evidence_grade(frozenset(provides)) == expected


@pytest.mark.parametrize("provides", [set(), {Provides.VOLUME}, {Provides.STATUS, Provides.FX}])
def test_a_source_without_prices_has_no_grade(provides: set[Provides]) -> None:
    with pytest.raises(BadInput, match="close"):
        evidence_grade(frozenset(provides))


@given(st.sets(st.sampled_from(list(Provides))), st.sets(st.sampled_from(list(Provides))))
def test_more_evidence_never_lowers_the_grade_or_the_cap(a: set[Provides], b: set[Provides]) -> None:
    base = frozenset(a | {Provides.CLOSE})
    less, more = grade(base, ConfidenceCaps()), grade(base | b, ConfidenceCaps())
    assert ORDER.index(more[0]) >= ORDER.index(less[0]) and more[1] >= less[1]


def test_finer_tiers_than_the_source_are_unavailable_never_made_up() -> None:
    tiers = {"LT": 86400, "MT": 14400, "ST": 900}
    assert unavailable_tiers(tiers, 86400) == ("MT", "ST")
    assert unavailable_tiers(tiers, 900) == ()
    assert unavailable_tiers(tiers, 3600) == ("ST",)
