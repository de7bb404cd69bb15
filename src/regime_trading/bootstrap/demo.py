"""``regime serve --demo``: bundled prices replayed at a pace, with people made for it, on this machine only."""

from __future__ import annotations

import datetime as dt
import logging
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.bootstrap import SETTINGS, TRADERS, config_folder
from regime_trading.bootstrap.paced import FOLDER, Pacing, keep_running, open_paced
from regime_trading.bootstrap.server import Server
from regime_trading.core.access import Grant, Role
from regime_trading.core.errors import RegimeError
from regime_trading.services.backtest_plan import BacktestRequest
from regime_trading.services.links import LinkService
from regime_trading.services.people import OPERATOR, People
from regime_trading.services.readiness import Check
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
    """Folders of the demo's own: what is changed in it changes nothing else. The configuration is copied once.

    Raises
    ------
    BadInput
        No configuration to copy.
    NotDurable
        A folder that cannot be written.
    """
    root = artifacts or FOLDER
    kept = LocalArtifacts(root)
    if not kept.exists(f"config/{SETTINGS}"):
        given = LocalArtifacts(config_folder(config))
        names = [PRESETS] if given.exists(PRESETS) else []
        for name, data in [(name, given.read_bytes(name)) for name in (*names, TRADERS, SETTINGS)]:
            kept.write_bytes(f"config/{name}", data)  # the settings last: where they are, the rest is
    return root, root / "config"


@contextmanager
def playing(server: Server, artifacts: Path, config: Path, speed: float | None) -> Iterator[None]:
    """Replay bundled prices in a thread, ``speed`` bars a second, going on where it stopped; until the block ends.
    Whether it plays is what readiness says of the demo."""
    pacing = Pacing(speed)

    def tell(detail: str, *, ok: bool = False) -> None:
        server.demo = Check("demo", ok=ok, detail=detail)
        LOG.info("the demo: %s", detail)

    def searching(stage: str, done: int, total: int) -> None:
        server.demo = Check("demo", ok=False, detail=f"finding the past first: {stage}, {done} of {total}")

    def play() -> None:
        def decided(bar_ns: int) -> None:
            server.replayed = bar_ns, server.clock.now_ns()
            said = told_of(app.paced.left)
            if not server.demo.ok or (app.paced.left and server.demo.detail != said):
                tell(said, ok=True)

        try:
            request = BacktestRequest(source="bundled", first_day=FIRST_DAY)
            tell("finding the past first, which takes minutes where nothing is cached")
            more = {
                "artifacts": artifacts, "config": config, "progress": searching, "alarm": LOG.error, "told": decided
            }  # fmt: skip
            with open_paced(request, **more) as app:
                tell(f"it goes on after {app.paced.start()} bars", ok=True)
                keep_running(app.paced, pacing, LOG.error)
                if not pacing.is_over:
                    tell(told_of(app.paced.left, is_over=True), ok=True)
        except RegimeError as error:
            tell(f"it does not play: {error}")
            LOG.critical("the demo does not play: %s", error)

    thread = threading.Thread(target=play, name="demo", daemon=True)
    thread.start()
    try:
        yield
    finally:
        pacing.stop()
        thread.join(timeout=60)


def told_of(left: Sequence[str], *, is_over: bool = False) -> str:
    """How a demo that plays says so, and which accounts it leaves alone."""
    plays = "every bar is decided" if is_over else "it goes on"
    return f"{plays} without {', '.join(left)}, decided by somebody else for a later time" if left else plays


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
