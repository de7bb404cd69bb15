"""The guide to the RL dataset says what the table of features says."""

from __future__ import annotations

import re
from pathlib import Path

from regime_trading.core.rl_features import FEATURES
from regime_trading.tools.rl_guide import features_guide, with_features

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "rl.md"


def test_the_guide_on_disk_is_the_generated_one() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert text == with_features(text), "run `make docs`"


def test_every_feature_is_in_it_once() -> None:
    named = re.findall(r"^\| `(\w+)` \|", features_guide(), re.M)
    assert sorted(named) == sorted(f.name for f in FEATURES)
