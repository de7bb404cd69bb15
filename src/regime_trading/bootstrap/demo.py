"""``regime serve --demo``: bundled prices replayed at a pace, with people made for it, on this machine only."""

from __future__ import annotations

import datetime as dt
import logging
import secrets
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from regime_trading.bootstrap import SETTINGS, TRADERS, config_folder
from regime_trading.bootstrap.paced import FOLDER, Pacing, keep_running, open_paced
from regime_trading.core.access import Grant, Role
from regime_trading.core.errors import RegimeError
from regime_trading.services.backtest_plan import BacktestRequest
from regime_trading.services.links import LinkService
from regime_trading.services.people import OPERATOR, People
from regime_trading.services.users import MemberService

LOG = logging.getLogger("regime_trading")
FIRST_DAY = dt.date(2019, 1, 2)
PLAYERS = (
    *((role.value, role) for role in Role),
    ("pm2", Role.PM),
)  #: a second PM agrees to what the first asks for
PRESETS = "presets.yaml"


@dataclass(frozen=True, slots=True)
class Player:
    """Somebody of the demo; the password is made anew at every start."""

    login: str
    password: str
    firm_id: str
    role: Role


def demo_folders(artifacts: Path | None, config: Path | None) -> tuple[Path, Path]:
    """Folders of the demo's own: what is changed in it changes nothing else. The configuration is copied once."""
    root = artifacts or FOLDER
    own = root / "config"
    if not own.is_dir():
        own.mkdir(parents=True)
        for name in (SETTINGS, TRADERS, PRESETS):
            if (source := config_folder(config) / name).exists():
                shutil.copyfile(source, own / name)
    return root, own


@contextmanager
def playing(artifacts: Path, config: Path, speed: float | None) -> Iterator[None]:
    """Replay bundled prices in a thread, ``speed`` bars a second, going on where it stopped; until the block ends."""
    pacing = Pacing(speed)

    def play() -> None:
        try:
            request = BacktestRequest(source="bundled", first_day=FIRST_DAY)
            with open_paced(request, artifacts=artifacts, config=config, alarm=LOG.error) as app:
                done = app.paced.start()
                LOG.info("the demo goes on after %d bars", done)
                keep_running(app.paced, pacing, LOG.error)
        except RegimeError as error:
            LOG.critical("the demo does not play: %s", error)

    thread = threading.Thread(target=play, name="demo", daemon=True)
    thread.start()
    try:
        yield
    finally:
        pacing.stop()
        thread.join(timeout=60)


def players(people: People, firms: Sequence[str], now_ns: int) -> tuple[Player, ...]:
    """One person of each role in each firm, under a new password."""
    members = MemberService(people)
    return tuple(
        _player(people, members, Grant(firm, role), f"{name}@{firm}.demo", now_ns)
        for firm in firms
        for name, role in PLAYERS
    )


def _player(people: People, members: MemberService, grant: Grant, login: str, now_ns: int) -> Player:
    known = people.logins.by_login(login)
    if known is None:
        link = members.create(OPERATOR, login, login.split("@")[0], grant, now_ns).link
    else:
        link = members.reset_link(OPERATOR, None, known.user.user_id, now_ns)
    password = secrets.token_urlsafe(12)
    LinkService(people).set_password(link, password, now_ns)
    return Player(login, password, grant.firm_id, grant.role)
