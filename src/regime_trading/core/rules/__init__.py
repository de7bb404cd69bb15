"""Rule ids with their parameters, units, direction and merge operator. No logic: ``guards`` holds that.

A parameter's merge operator says how a lower configuration layer may change it. From the firm layer down
every risk parameter is tighten-only (``risk.md`` 3.1); the operator names which direction is tighter. One module per
guard; this one is their registry.
"""

from __future__ import annotations

from regime_trading.core.rules import (
    blackout,
    concentration,
    data_sanity,
    drawdown,
    liquidity,
    vol_target,
)
from regime_trading.core.rules.base import UNLIMITED as UNLIMITED
from regime_trading.core.rules.base import Authority as Authority
from regime_trading.core.rules.base import AuthorityName as AuthorityName
from regime_trading.core.rules.base import Fraction as Fraction
from regime_trading.core.rules.base import Frozen as Frozen
from regime_trading.core.rules.base import Guard as Guard
from regime_trading.core.rules.base import Limit as Limit
from regime_trading.core.rules.base import Measure as Measure
from regime_trading.core.rules.base import Merge as Merge
from regime_trading.core.rules.base import Number as Number
from regime_trading.core.rules.base import Release as Release
from regime_trading.core.rules.base import ReleaseName as ReleaseName
from regime_trading.core.rules.base import RuleParams as RuleParams
from regime_trading.core.rules.base import RuleSpec as RuleSpec
from regime_trading.core.rules.base import ShareLimit as ShareLimit
from regime_trading.core.rules.base import TradingState as TradingState
from regime_trading.core.rules.base import TradingStateName as TradingStateName
from regime_trading.core.rules.base import Unit as Unit
from regime_trading.core.rules.base import decimal_text as decimal_text
from regime_trading.core.rules.base import merge_of as merge_of
from regime_trading.core.rules.base import param as param
from regime_trading.core.rules.base import unit_of as unit_of
from regime_trading.core.rules.blackout import AccountLifecycle as AccountLifecycle
from regime_trading.core.rules.blackout import AllowList as AllowList
from regime_trading.core.rules.blackout import Cooldown as Cooldown
from regime_trading.core.rules.blackout import DenyList as DenyList
from regime_trading.core.rules.blackout import DenyMode as DenyMode
from regime_trading.core.rules.blackout import Direction as Direction
from regime_trading.core.rules.blackout import Earnings as Earnings
from regime_trading.core.rules.blackout import EarningsEffect as EarningsEffect
from regime_trading.core.rules.blackout import Expiry as Expiry
from regime_trading.core.rules.blackout import FlatBy as FlatBy
from regime_trading.core.rules.blackout import FlatScope as FlatScope
from regime_trading.core.rules.blackout import FreezeWindow as FreezeWindow
from regime_trading.core.rules.blackout import FreezeWindows as FreezeWindows
from regime_trading.core.rules.blackout import NewsBlackout as NewsBlackout
from regime_trading.core.rules.blackout import NewsMode as NewsMode
from regime_trading.core.rules.blackout import OrphanPolicy as OrphanPolicy
from regime_trading.core.rules.blackout import Permissions as Permissions
from regime_trading.core.rules.blackout import SessionBuffers as SessionBuffers
from regime_trading.core.rules.blackout import SessionHours as SessionHours
from regime_trading.core.rules.blackout import ShortSale as ShortSale
from regime_trading.core.rules.circuits import FLOOR_RULES as FLOOR_RULES
from regime_trading.core.rules.circuits import Consistency as Consistency
from regime_trading.core.rules.circuits import ExternalBreach as ExternalBreach
from regime_trading.core.rules.circuits import GiveBack as GiveBack
from regime_trading.core.rules.circuits import LossStreak as LossStreak
from regime_trading.core.rules.circuits import LossVelocity as LossVelocity
from regime_trading.core.rules.circuits import ManualKill as ManualKill
from regime_trading.core.rules.circuits import MinEquity as MinEquity
from regime_trading.core.rules.circuits import OnCap as OnCap
from regime_trading.core.rules.circuits import PositionLoss as PositionLoss
from regime_trading.core.rules.circuits import StressBudget as StressBudget
from regime_trading.core.rules.circuits import StressWhen as StressWhen
from regime_trading.core.rules.concentration import MAX_STEPS as MAX_STEPS
from regime_trading.core.rules.concentration import Cluster as Cluster
from regime_trading.core.rules.concentration import CorrelationBreak as CorrelationBreak
from regime_trading.core.rules.concentration import FirmIssuer as FirmIssuer
from regime_trading.core.rules.concentration import Gross as Gross
from regime_trading.core.rules.concentration import Group as Group
from regime_trading.core.rules.concentration import Leverage as Leverage
from regime_trading.core.rules.concentration import MarketBeta as MarketBeta
from regime_trading.core.rules.concentration import MaxContracts as MaxContracts
from regime_trading.core.rules.concentration import MaxPositions as MaxPositions
from regime_trading.core.rules.concentration import Net as Net
from regime_trading.core.rules.concentration import Pair as Pair
from regime_trading.core.rules.concentration import RiskContribution as RiskContribution
from regime_trading.core.rules.concentration import ScalingStep as ScalingStep
from regime_trading.core.rules.concentration import SingleName as SingleName
from regime_trading.core.rules.data_sanity import BarIntegrity as BarIntegrity
from regime_trading.core.rules.data_sanity import BookSanity as BookSanity
from regime_trading.core.rules.data_sanity import Clock as Clock
from regime_trading.core.rules.data_sanity import CorporateAction as CorporateAction
from regime_trading.core.rules.data_sanity import CovarianceHealth as CovarianceHealth
from regime_trading.core.rules.data_sanity import Divergence as Divergence
from regime_trading.core.rules.data_sanity import EquityFreshness as EquityFreshness
from regime_trading.core.rules.data_sanity import FxRates as FxRates
from regime_trading.core.rules.data_sanity import InstrumentMetadata as InstrumentMetadata
from regime_trading.core.rules.data_sanity import MarketStatus as MarketStatus
from regime_trading.core.rules.data_sanity import MissingPrice as MissingPrice
from regime_trading.core.rules.data_sanity import PriceJump as PriceJump
from regime_trading.core.rules.data_sanity import ProposalSanity as ProposalSanity
from regime_trading.core.rules.data_sanity import Reconciliation as Reconciliation
from regime_trading.core.rules.data_sanity import StalePrice as StalePrice
from regime_trading.core.rules.drawdown import DailyLoss as DailyLoss
from regime_trading.core.rules.drawdown import DayAnchor as DayAnchor
from regime_trading.core.rules.drawdown import EodTrailingLoss as EodTrailingLoss
from regime_trading.core.rules.drawdown import FirmDailyLoss as FirmDailyLoss
from regime_trading.core.rules.drawdown import FlowPolicy as FlowPolicy
from regime_trading.core.rules.drawdown import IntradayTrailingLoss as IntradayTrailingLoss
from regime_trading.core.rules.drawdown import LockAt as LockAt
from regime_trading.core.rules.drawdown import LossBase as LossBase
from regime_trading.core.rules.drawdown import PeriodLoss as PeriodLoss
from regime_trading.core.rules.drawdown import RestartPolicy as RestartPolicy
from regime_trading.core.rules.drawdown import Rung as Rung
from regime_trading.core.rules.drawdown import StaticLoss as StaticLoss
from regime_trading.core.rules.drawdown import TrailingDrawdown as TrailingDrawdown
from regime_trading.core.rules.drawdown import rung_strictness as rung_strictness
from regime_trading.core.rules.liquidity import CostGate as CostGate
from regime_trading.core.rules.liquidity import DaysToLiquidate as DaysToLiquidate
from regime_trading.core.rules.liquidity import Participation as Participation
from regime_trading.core.rules.liquidity import SmallOrders as SmallOrders
from regime_trading.core.rules.liquidity import Turnover as Turnover
from regime_trading.core.rules.vol_target import AssetVolatility as AssetVolatility
from regime_trading.core.rules.vol_target import BookVolatility as BookVolatility
from regime_trading.core.rules.vol_target import RegimeBudget as RegimeBudget
from regime_trading.core.rules.vol_target import TailRisk as TailRisk
from regime_trading.core.rules.vol_target import UnknownVolatility as UnknownVolatility
from regime_trading.core.rules.vol_target import VolatilityShock as VolatilityShock

RULES: tuple[RuleSpec, ...] = (
    *data_sanity.SPECS,
    *blackout.SPECS,
    *drawdown.SPECS,
    *vol_target.SPECS,
    *concentration.SPECS,
    *liquidity.SPECS,
)
RULE_BY_ID: dict[str, RuleSpec] = {spec.rule_id: spec for spec in RULES}
RULE_BY_KEY: dict[str, RuleSpec] = {spec.key: spec for spec in RULES} | {
    alias: spec for spec in RULES for alias in spec.aliases
}
RULE_IDS: tuple[str, ...] = tuple(spec.rule_id for spec in RULES)
LATCHING_RULES: tuple[str, ...] = tuple(spec.rule_id for spec in RULES if spec.latch)
TIMER_RULES: tuple[str, ...] = tuple(spec.rule_id for spec in RULES if spec.timer)
RECOVERING_RULES: tuple[str, ...] = tuple(spec.rule_id for spec in RULES if spec.recovers)
NANO_RULES: frozenset[str] = frozenset(spec.rule_id for spec in RULES if spec.measure.unit == "equity")
assert len(RULE_IDS) == len(set(RULE_IDS)) == len({spec.key for spec in RULES})
