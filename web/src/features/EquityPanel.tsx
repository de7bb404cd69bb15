import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { decisionsQuery } from "@/shared/api/queries";
import { numberOf } from "@/shared/format/numbers";
import { usePrefs } from "@/shared/prefs";
import { Money, Percent, Time } from "@/shared/ui/Figure";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";
import type { Point } from "./EquityChart";

const EquityChart = lazy(() => import("./EquityChart"));

export function EquityPanel({ className }: { className?: string }) {
  const { firm, account, accounts } = useScope();
  const query = useQuery({ ...decisionsQuery(firm, account, 200), enabled: account !== undefined });
  const shown = accounts?.find((one) => one.account_id === account);
  const prefs = usePrefs();
  const points = useMemo(() => {
    const found: Point[] = [];
    for (const row of [...(query.data?.items ?? [])].reverse()) {
      const value = numberOf(row.equity);
      if (value !== null && row.as_of !== found.at(-1)?.at) found.push({ at: row.as_of, value });
    }
    return found;
  }, [query.data]);
  // the chart is the heaviest part of the page, and the last one
  const [ready, setReady] = useState(false);
  useEffect(() => {
    const idle = window.requestIdleCallback?.(() => setReady(true), { timeout: 1_500 });
    if (idle === undefined) setReady(true);
    return () => (idle === undefined ? undefined : window.cancelIdleCallback(idle));
  }, []);
  return (
    <Panel
      title="Equity"
      {...(className ? { className } : {})}
      aside={
        <span className="flex flex-wrap items-baseline gap-x-4 text-meta text-muted">
          <span className="text-section font-semibold text-fg">
            <Money value={shown?.equity} currency={shown?.currency ?? null} />
          </span>
          <span>
            day <Percent value={shown?.day_return} sign />
          </span>
          <span>
            drawdown <Percent value={shown?.drawdown} />
          </span>
        </span>
      }
    >
      <Loaded
        query={query}
        height={244}
        empty={{
          when: () => points.length < 2,
          why: shown?.redacted
            ? "Amounts are left out for your role."
            : "No decisions with an equity yet. The chart begins with the second one.",
        }}
      >
        {() => (
          <figure>
            <div className="h-56">
              {ready ? (
                <Suspense fallback={null}>
                  <EquityChart
                    points={points}
                    hidden={prefs.amounts === "hidden"}
                    theme={prefs.theme}
                    zone={prefs.zone}
                  />
                </Suspense>
              ) : null}
            </div>
            <figcaption className="mt-1 text-meta text-muted">
              {points.length} decisions, <Time at={points[0]?.at} /> to <Time at={points.at(-1)?.at} />. Chart by
              TradingView Lightweight Charts.
            </figcaption>
          </figure>
        )}
      </Loaded>
    </Panel>
  );
}
