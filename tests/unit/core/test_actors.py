"""Pseudonyms, shortened addresses, and text that may stay for ever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regime_trading.core.actors import (
    MASK,
    MAX_TEXT,
    ip_prefix,
    masked_text,
    plain_text,
    pseudonym_from,
    require_pseudonym,
)
from regime_trading.core.errors import BadInput


@given(st.binary(min_size=10, max_size=10))
def test_a_pseudonym_is_a_legal_id_and_gives_back_its_bytes(entropy: bytes) -> None:
    made = pseudonym_from(entropy)
    assert re.fullmatch(r"[a-z0-9-]{18}", made) and require_pseudonym(made) == made
    assert (pseudonym_from(bytes(10)) == made) == (entropy == bytes(10))


@pytest.mark.parametrize(
    "bad", ["", "u-", "mary", "u-ABCDEFGH23456777", "u-abcdefgh2345677", "u-abcdefgh1345677a"]
)
def test_anything_else_is_no_pseudonym(bad: str) -> None:
    with pytest.raises(BadInput):
        require_pseudonym(bad)


def test_ten_bytes_make_a_pseudonym() -> None:
    with pytest.raises(BadInput, match="10 random bytes"):
        pseudonym_from(b"short")


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
    ],
)
def test_only_the_network_of_an_address_is_kept(address: str, prefix: str) -> None:
    assert ip_prefix(address) == prefix


def test_text_is_no_address() -> None:
    with pytest.raises(BadInput, match="IP address"):
        ip_prefix("localhost")


FINE = [
    "a bad day",
    "  CPI at 14:30; limits 0.05 → 0.03  ",
    "see decision 5e337b68e9b81ce3",
    "entry 3fa85f64-5717-4562-b3fc-2c963f66afa6 explains it",
    "hold @ 14:30",
    "secretary asked; token gesture",
    "risk.sigma_target of north-pier/core-momentum-long-only",
]
BAD = [
    "ask mary@example.org",
    "mail <a.b+c@d.example>",
    "Bearer abcdef",
    "key eyJhbGciOiJIUzI1NiJ9.e30.x",
    "-----BEGIN PRIVATE KEY-----",
    "password: hunter2",
    "api_key=abc",
    "x" * 20 + "9" * 20,
    "0a" * 32,
    "two\nlines",
    "bell \x07",
    "y" * (MAX_TEXT + 1),
]


@pytest.mark.parametrize("text", FINE)
def test_ordinary_reasons_pass(text: str) -> None:
    assert plain_text(text, "--reason") == text.strip()
    assert masked_text(text)[1] is False


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_taken_back_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(BadInput) as error:
        plain_text(text, "--reason")
    assert error.value.where == "--reason"
    assert text not in str(error.value)


@given(st.text(max_size=700), st.sampled_from(BAD), st.text(max_size=700))
def test_masked_text_always_passes_the_scan(before: str, bad: str, after: str) -> None:
    shown, _ = masked_text(f"{before} {bad} {after}")
    assert plain_text(shown, "anywhere") == shown.strip()


def test_masking_says_so() -> None:
    assert masked_text("found 'mary@example.org' there") == (f"found '{MASK}' there", True)
