import { useQuery } from "@tanstack/react-query";
import { lazy, useMemo } from "react";
import type { Schemas } from "@/shared/api/client";
import { boardQuery, decisionsQuery } from "@/shared/api/queries";
import { numberOf } from "@/shared/format/numbers";
import { usePrefs } from "@/shared/prefs";
import { cx } from "@/shared/ui/cx";
import { Drawing, Nearby } from "@/shared/ui/Drawing";
import { Money, Percent, Time } from "@/shared/ui/Figure";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { type Account, useScope } from "@/shell/scope";
import type { Limit, Point } from "./EquityChart";
import { layerOf } from "./rules";
import { useTheme } from "./theme";

const EquityChart = lazy(() => import("./EquityChart"));

/** Rules whose limit is a level of the drawdown, and those that leave a floor under equity. */
const LEVELS = new Set(["LD-02"]);
const FLOORS = new Set(["LD-01", "LD-03", "LD-04", "LD-05"]);

export function EquityPanel({ className }: { className?: string }) {
  const { account, accounts, old } = useScope();
  const shown = accounts?.find((one) => one.account_id === account);
  return (
    <Panel
      title="Equity and drawdown"
      {...(className ? { className } : {})}
      aside={
        shown ? (
          <span
            className={cx("flex flex-wrap items-baseline gap-x-4 text-meta text-muted", old && "opacity-60 grayscale")}
          >
            <span className="text-section font-semibold text-fg">
              <Money value={shown.equity} currency={shown.currency} />
            </span>
            <span>
              day <Percent value={shown.day_return} sign />
            </span>
            <span>
              drawdown <Percent value={shown.drawdown} />
            </span>
          </span>
        ) : null
      }
    >
      <Nearby className="min-h-78">
        <Curve shown={shown} />
      </Nearby>
    </Panel>
  );
}

/** Its decisions are many: they are asked for where they are drawn. */
function Curve({ shown }: { shown: Account | undefined }) {
  const { firm, account } = useScope();
  const query = useQuery({ ...decisionsQuery(firm, account, 200), enabled: account !== undefined });
  const board = useQuery({ ...boardQuery(firm, account ?? ""), enabled: account !== undefined });
  const prefs = usePrefs();
  const theme = useTheme();
  const points = useMemo(() => pointsOf(query.data?.items ?? []), [query.data]);
  const limits = useMemo(() => limitsOf(shown?.equity, board.data?.rows ?? []), [shown?.equity, board.data]);
  return (
    <Loaded
      query={query}
      height={312}
      empty={{
        when: () => points.length < 2,
        why: shown?.redacted
          ? "Amounts are left out for your role."
          : "No decisions with an equity yet. The chart begins with the second one.",
      }}
    >
      {() => (
        <figure>
          <Drawing className="h-72">
            <EquityChart
              points={points}
              limits={limits}
              hidden={prefs.amounts === "hidden"}
              theme={theme}
              zone={prefs.zone}
            />
          </Drawing>
          <figcaption className="mt-1 text-meta text-muted">
            {points.length} decisions, <Time at={points[0]?.at} /> to <Time at={points.at(-1)?.at} />. Dashed = limits,
            with the layer that set them. Chart by TradingView Lightweight Charts.
          </figcaption>
        </figure>
      )}
    </Loaded>
  );
}

/** Oldest first, one for each instant. */
export function pointsOf(rows: readonly Schemas["DecisionRow"][]): Point[] {
  const found = new Map<string, Point>();
  for (const row of [...rows].reverse()) {
    const value = numberOf(row.equity);
    if (value !== null) found.set(row.as_of, { at: row.as_of, value, drawdown: row.drawdown });
  }
  return [...found.values()].sort((a, b) => (a.at < b.at ? -1 : 1));
}

/** Limits of loss as lines; a floor lies what is left of its limit below equity. */
export function limitsOf(equity: string | null | undefined, rows: readonly Schemas["ConstraintRow"][]): Limit[] {
  const whole = numberOf(equity);
  const found: Limit[] = [];
  for (const row of rows) {
    const [limit, left] = [numberOf(row.limit), numberOf(row.headroom)];
    const title = [row.rule_id, layerOf(row.set_by)].filter(Boolean).join(", ");
    if (LEVELS.has(row.rule_id) && limit !== null && Number.isFinite(limit))
      found.push({ pane: "drawdown", at: -limit, title });
    if (FLOORS.has(row.rule_id) && row.unit === "money" && whole !== null && left !== null && Number.isFinite(left))
      found.push({ pane: "equity", at: whole - left, title });
  }
  return found;
}
