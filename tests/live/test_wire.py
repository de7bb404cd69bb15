"""The schema of the channel, as the API shows it."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import ValidationError

from regime_trading.api.ws import wire_schema
from regime_trading.core.messages import DATA, TOPICS, URGENT
from regime_trading.core.wire import FRAMES, ClientFrame, ServerFrame


def test_every_type_of_message_is_in_the_schema_and_every_reference_leads_somewhere() -> None:
    found = wire_schema()
    text = json.dumps(found)
    refs = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert refs and refs <= set(found)
    assert "$defs" not in text
    mapping = found["LiveServerFrame"]["discriminator"]["mapping"]
    assert set(mapping) == {*TOPICS, "hb", "resync"} == {data.type for data in DATA} | {"hb"}
    assert set(mapping) >= URGENT
    assert {ref.rsplit("/", 1)[1] for ref in mapping.values()} == {frame.__name__ for frame in FRAMES}
    assert found["LiveClientFrame"] == {"$ref": "#/components/schemas/Subscribe"}


def test_a_frame_is_what_the_schema_says() -> None:
    frame = {"v": 1, "n": 1, "seq": 4, "ts": "7", "type": "hb", "firm": "alpha", "account": "", "data": {}}
    ServerFrame.validate_json(json.dumps(frame))
    for change in ({"n": 0}, {"type": "run.log"}, {"more": 1}, {"v": 2}):
        with pytest.raises(ValidationError):
            ServerFrame.validate_json(json.dumps(frame | change))
    asked = {"v": 1, "firm": "alpha", "subscribe": [{"topic": "*"}]}
    assert ClientFrame.validate_json(json.dumps(asked)).after is None
