import { useQuery } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";
import type { Schemas } from "@/shared/api/client";
import { useNow } from "@/shared/clock";
import { copies, type Part } from "@/shared/copy";
import { percent } from "@/shared/format/numbers";
import { instant, span } from "@/shared/format/time";
import { usePrefs } from "@/shared/prefs";
import { Button } from "@/shared/ui/Button";
import { Chip, ModeChip, StateChip } from "@/shared/ui/Chip";
import { Money, Percent, Ticking, Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";

const AGAIN_MS = 10_000;

/** Nobody answers: what was shown here last, as the copy that it is. Nothing can be done from it. */
export default function OfflineCopy() {
  const router = useRouter();
  const { zone } = usePrefs();
  const { data: parts } = useQuery({ queryKey: ["copy"], queryFn: () => copies.read(), staleTime: 0, gcTime: 0 });
  const now = useNow(Date.now);
  useEffect(() => {
    const again = () => void router.invalidate();
    const timer = setInterval(again, AGAIN_MS);
    window.addEventListener("online", again);
    return () => {
      clearInterval(timer);
      window.removeEventListener("online", again);
    };
  }, [router]);
  if (parts === undefined) return null;
  const newest = Math.max(0, ...[...parts.values()].map((one) => one.at));
  const of = <T,>(about: string) =>
    [...parts].filter(([key]) => key.startsWith(`${about}/`)).map(([key, part]) => [key, part as Part<T>] as const);
  return (
    <main id="main" className="mx-auto h-full max-w-[1480px] overflow-y-auto p-6 max-tablet:p-4" data-copy={newest > 0}>
      <Page
        title={newest > 0 ? `Copy of ${instant(new Date(newest).toISOString(), zone, true)}` : "Offline"}
        aside={<Button onClick={() => void router.invalidate()}>Try again</Button>}
      >
        <div className="grid gap-4">
          <div role="status" className="hatch rounded-panel border-2 border-warn p-1">
            <div className="grid gap-1 rounded-control bg-surface px-3 py-2">
              <p className="font-semibold text-warn">
                The server cannot be reached.{" "}
                {newest > 0 ? (
                  <>
                    This is what was shown here <Ticking>{span((now - newest) / 1_000)}</Ticking> ago, not what is now.
                  </>
                ) : null}
              </p>
              <p>
                The engine and its guards go on without this screen. Nothing can be done from here, and nothing is kept
                to be sent later.
                {newest === 0 ? " There is no copy on this device of what was shown last." : ""}
              </p>
              <p>
                To halt, on the machine that trades: <code>regime halt account FIRM/ACCOUNT --level K1</code>. Or call
                whoever can.
              </p>
            </div>
          </div>
          <div className="grid gap-4 grayscale">
            {of<Schemas["AccountSummary"][]>("accounts").map(([key, part]) => (
              <Copied key={key} title={`Accounts of ${key.split("/")[1]}`} at={part.at} now={now}>
                <Table label="Accounts as they were" columns={ACCOUNTS} rows={part.data} keyOf={(one) => one.account} />
              </Copied>
            ))}
            {of<Schemas["Portfolio"]>("portfolio").map(([key, part]) => (
              <Copied key={key} title={`Positions of ${key.split("/").slice(1).join("/")}`} at={part.at} now={now}>
                <p className="pb-2 text-muted">
                  Equity <Money value={part.data.equity} currency={part.data.currency} />, cash{" "}
                  <Percent value={part.data.cash_weight} decimals={1} />, as decided <Time at={part.data.as_of} />.
                </p>
                <Table
                  label="Positions as they were"
                  columns={POSITIONS}
                  rows={part.data.positions}
                  keyOf={(one) => one.symbol}
                  dense
                />
              </Copied>
            ))}
            {of<Schemas["Regimes"]>("regimes").map(([key, part]) => {
              const market = part.data.regimes.find((one) => one.is_market) ?? part.data.regimes[0];
              return market ? (
                <Copied key={key} title="Regime" at={part.at} now={now}>
                  <p>
                    {market.symbol}: {market.label ?? "unknown"}, confidence {percent(market.confidence, 0)}
                  </p>
                </Copied>
              ) : null;
            })}
          </div>
        </div>
      </Page>
    </main>
  );
}

function Copied({ title, at, now, children }: { title: string; at: number; now: number; children: ReactNode }) {
  return (
    <Panel title={title} aside={<Chip tone="unknown">copy, {span((now - at) / 1_000)} old</Chip>}>
      {children}
    </Panel>
  );
}

const ACCOUNTS: readonly Column<Schemas["AccountSummary"]>[] = [
  { name: "Account", cell: (one) => one.account_id },
  { name: "Mode", cell: (one) => <ModeChip mode={one.mode} /> },
  { name: "State", cell: (one) => <StateChip state={one.trading_state} /> },
  { name: "Equity", cell: (one) => <Money value={one.equity} currency={one.currency} />, right: true },
  { name: "Day", cell: (one) => <Percent value={one.day_return} sign />, right: true },
  { name: "Drawdown", cell: (one) => <Percent value={one.drawdown} />, right: true },
  { name: "Decided", cell: (one) => <Time at={one.last_decision?.as_of} />, wide: true },
];

const POSITIONS: readonly Column<Schemas["PositionRow"]>[] = [
  { name: "Symbol", cell: (one) => one.symbol },
  { name: "Weight", cell: (one) => <Percent value={one.weight} />, right: true },
  { name: "Value", cell: (one) => <Money value={one.market_value} />, right: true },
  { name: "Return", cell: (one) => <Percent value={one.unrealised_return} decimals={1} sign />, right: true },
];
