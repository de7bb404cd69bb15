"""Own weights as values: what is taken for a weight, what names them, and which steps there are."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from tests.proposal_samples import ANN, MARY, T, content, proposal

from regime_trading.core import proposals as steps
from regime_trading.core.errors import BadInput, Conflict
from regime_trading.core.jobs import JobKind, checked_request
from regime_trading.core.proposals import MOST_SYMBOLS, OwnWeights, ProposalStatus


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"KO": "2.000000001"},
        {"KO": "-2.1"},
        {"KO": "NaN"},
        {"KO": "Infinity"},
        {"KO": "0.0000000001"},
        {"KO": "much"},
        {"": "0.1"},
        {f"S{n}": "0" for n in range(MOST_SYMBOLS + 1)},
    ],
)
def test_what_is_no_weight_is_refused(weights: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OwnWeights.model_validate({"weights": weights})


def test_the_hash_is_that_of_the_weights_however_they_are_written() -> None:
    ways: list[dict[str, Any]] = [
        {"KO": "0.3", "PEP": "0"},
        {"PEP": "-0.0", "KO": "0.300"},
        {"KO": 0.3, "PEP": 0},
        {"KO": Decimal("3e-1"), "PEP": "0"},
    ]
    assert len({OwnWeights.model_validate({"weights": one}).content_hash for one in ways}) == 1
    other = [{"weights": {"KO": "0.3"}}, {"weights": ways[0], "complete": False}]
    assert len({OwnWeights.model_validate(one).content_hash for one in [{"weights": ways[0]}, *other]}) == 3
    made = OwnWeights.model_validate({"weights": {"KO": "0.3"}, "complete": False})
    taken = made.proposal(T)
    assert (taken.as_of_ns, taken.complete, taken.weights) == (T, False, {"KO": Decimal("0.3")})
    assert taken.input_hash == made.content_hash and taken.proposal_id == made.content_hash[:32]


def test_what_can_become_of_one() -> None:
    """Every step from every status: it leads where it should, or it is refused."""
    draft = proposal()
    queued = steps.submitted(draft, "job-1", ANN, T)
    ways = {
        ProposalStatus.DRAFT: draft,
        ProposalStatus.SUBMITTED: queued,
        ProposalStatus.WITHDRAWN: steps.withdrawn(draft, MARY, T, "no"),
        ProposalStatus.RUN: steps.was_run(queued, "run-1", ANN, T),
    }
    leads = {
        "changed": ({ProposalStatus.DRAFT}, ProposalStatus.DRAFT),
        "withdrawn": ({ProposalStatus.DRAFT}, ProposalStatus.WITHDRAWN),
        "submitted": ({ProposalStatus.DRAFT}, ProposalStatus.SUBMITTED),
        "was_run": ({ProposalStatus.SUBMITTED}, ProposalStatus.RUN),
        "given_back": ({ProposalStatus.SUBMITTED}, ProposalStatus.DRAFT),
    }
    asked: dict[str, tuple[Any, ...]] = {
        "changed": (content(), MARY, T),
        "withdrawn": (MARY, T, ""),
        "submitted": ("job-2", MARY, T),
        "was_run": ("run-2", MARY, T),
        "given_back": ("it failed", MARY, T),
    }
    for name, (allowed, leads_to) in leads.items():
        for status, one in ways.items():
            if status in allowed:
                after = getattr(steps, name)(one, *asked[name])
                assert (after.status, after.version) == (leads_to, one.version + 1)
                assert (after.maker, after.created_ns) == (one.maker, one.created_ns)
            else:
                with pytest.raises(Conflict) as caught:
                    getattr(steps, name)(one, *asked[name])
                assert caught.value.what == "status"
    with pytest.raises(BadInput, match="whoever made it"):
        steps.changed(draft, content(), ANN, T)
    again = steps.submitted(steps.given_back(queued, "it failed", ANN, T), "job-2", ANN, T)
    assert (again.job_id, again.why) == ("job-2", "")


def test_a_run_takes_weights_that_are_what_their_hash_says() -> None:
    made = content()
    weights = {"weights": {"KO": "0.3", "PEP": "-0.1"}, "proposal_id": "pr-1", "hash": made.content_hash}
    text = checked_request(JobKind.RUN, {"accounts": ["alpha/main"], "proposal": weights}, "alpha")
    assert made.content_hash in text
    for wrong in (
        {"proposal": weights | {"hash": "0" * 64}},
        {"proposal": weights | {"weights": {"KO": "0.4"}}},
        {"proposal": weights, "basket": "us-core"},
        {"proposal": weights, "symbols": ["KO"]},
        {"proposal": "x.json"},
    ):
        with pytest.raises(BadInput):
            checked_request(JobKind.RUN, wrong, "alpha")
