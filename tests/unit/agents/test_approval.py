"""The approval stage: who is asked, and which answers it takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from regime_trading.agents import approval as stage
from regime_trading.agents.trader_config_loader import _asking
from regime_trading.core.errors import CheckFailed
from regime_trading.core.state import Approval, Question, World

ACCOUNTS = ("f/a", "f/b")


def state(asks: str, orders: str = "ab", action: str = "ok") -> Any:
    """A run over two accounts: of which people are asked, which would send orders, and what the judge said."""
    return SimpleNamespace(
        profiles=tuple(
            SimpleNamespace(account=name, approval="manual" if name[-1] in asks else "none")
            for name in ACCOUNTS
        ),
        decisions=tuple(
            SimpleNamespace(account=name, orders=(1,) if name[-1] in orders else ()) for name in ACCOUNTS
        ),
        verdict=SimpleNamespace(action=action),
    )


def world(_: Any, __: Any, profile: Any) -> World:
    return World(account=profile.account, settings="a" * 64, config="", halts="", book="a" * 64, prices="")


@pytest.fixture(autouse=True)
def _worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "world_of", world)


def answered(run: Any, *given: tuple[str, str]) -> tuple[list[Question], dict[str, str]]:
    asked = list[Question]()

    def ask(question: Question) -> tuple[Approval, ...]:
        asked.append(question)
        return tuple(Approval(account=name, status=status) for name, status in given)  # type: ignore[arg-type]

    found = stage.approval(run, SimpleNamespace(ask=ask))["approval"]  # type: ignore[arg-type]
    return asked, {one.account: one.status for one in found}


@pytest.mark.parametrize(
    "run", [state(""), state("ab", action="HOLD"), state("a", orders="b"), state("ab", orders="")]
)
def test_nobody_is_asked_where_nothing_that_asks_would_leave(run: Any) -> None:
    assert answered(run) == ([], dict.fromkeys(ACCOUNTS, "not_required"))


def test_the_question_names_who_waits_and_the_world_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    (question,), found = answered(state("b"), ("f/b", "refused"), ("f/a", "not_required"))
    assert (question.waiting, [one.account for one in question.worlds]) == (("f/b",), list(ACCOUNTS))
    assert list(found.items()) == [("f/a", "not_required"), ("f/b", "refused")]


@pytest.mark.parametrize(
    "given",
    [
        (("f/a", "granted"),),
        (("f/a", "granted"), ("f/b", "not_required")),
        (("f/a", "granted"), ("f/a", "granted"), ("f/b", "granted")),
        (("f/a", "granted"), ("f/b", "granted"), ("f/c", "granted")),
    ],
)
def test_answers_to_another_question_are_not_taken(given: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(CheckFailed):
        answered(state("ab"), *given)


@pytest.mark.parametrize(
    ("ad_hoc", "own", "names", "expected"),
    [
        ((), None, ("x",), {"x"}),
        (("KO",), None, ("ad-hoc",), {"x", "y"}),
        ((), SimpleNamespace(basket=None), (), {"x", "y"}),
        ((), SimpleNamespace(basket="z"), (), {"x", "y", "z"}),
        ((), SimpleNamespace(basket="unknown"), (), {"x", "y"}),
    ],
)
def test_own_weights_ask_where_any_basket_of_the_account_does(
    ad_hoc: tuple[str, ...], own: Any, names: tuple[str, ...], expected: set[str]
) -> None:
    run = SimpleNamespace(request=SimpleNamespace(ad_hoc=ad_hoc, proposal=own))
    settings = SimpleNamespace(baskets={"x": 1, "y": 1, "z": 1})
    profile = SimpleNamespace(baskets=(SimpleNamespace(name="x"), SimpleNamespace(name="y")))
    assert _asking(run, settings, profile, names) == expected  # type: ignore[arg-type]
