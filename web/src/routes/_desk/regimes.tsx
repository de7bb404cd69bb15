import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { lazy, useCallback, useState } from "react";
import { Choice } from "@/features/Choice";
import { LongTable } from "@/features/LongTable";
import { Changes, Evidence, nameOf, RiskState, TapeHealth } from "@/features/RegimePanels";
import { FAMILIES, RegimeMark, regimeName } from "@/features/regime";
import { useLight } from "@/features/theme";
import { useTwin } from "@/features/useTwin";
import { ApiProblem, type Schemas } from "@/shared/api/client";
import { regimeQuery, regimesQuery } from "@/shared/api/queries";
import { percent, plainNumber } from "@/shared/format/numbers";
import { sentence } from "@/shared/format/words";
import { usePrefs } from "@/shared/prefs";
import { Drawing } from "@/shared/ui/Drawing";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import type { Column } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

const RegimeChart = lazy(() => import("@/features/RegimeChart"));

type Now = Schemas["RegimeNow"];
type Bar = Schemas["HistoryPoint"];
const WINDOWS = ["60", "120", "250", "500"] as const;
type Window = (typeof WINDOWS)[number];
const NONE = (
  <>
    No run has read a regime yet. <code>/run regime symbol:SPX</code> starts one.
  </>
);

export const Route = createFileRoute("/_desk/regimes")({
  validateSearch: (said: Record<string, unknown>): { symbol?: string; bars?: Window; twin?: boolean } => ({
    ...(typeof said.symbol === "string" && said.symbol.length <= 40 ? { symbol: said.symbol } : {}),
    ...(WINDOWS.includes(String(said.bars) as Window) ? { bars: String(said.bars) as Window } : {}),
    ...(said.twin === true ? { twin: true } : {}),
  }),
  component: Regimes,
});

function Regimes() {
  const { firm } = useScope();
  const { symbol } = Route.useSearch();
  const query = useQuery({ ...regimesQuery(firm), enabled: firm !== "" });
  const navigate = Route.useNavigate();
  const none = query.error instanceof ApiProblem && query.error.status === 404;
  const known = query.data?.regimes ?? [];
  const shown = known.find((one) => one.symbol === symbol) ?? known.find((one) => one.is_market) ?? known[0];
  return (
    <Page
      title="Regimes"
      aside={
        shown ? (
          <label className="flex items-center gap-2">
            <span className="text-muted">Symbol</span>
            <select
              value={shown.symbol}
              onChange={(event) =>
                void navigate({ search: (before) => ({ ...before, symbol: event.target.value }), replace: true })
              }
              className="h-8 rounded-control border border-line bg-raised px-2 max-desk:h-11"
            >
              {known.map((one) => (
                <option key={one.symbol} value={one.symbol}>
                  {one.symbol}
                  {one.is_market ? " (market)" : ""}
                </option>
              ))}
            </select>
          </label>
        ) : null
      }
    >
      {none && query.data === undefined ? (
        <Empty>{NONE}</Empty>
      ) : (
        <Loaded query={query} height={600} empty={{ when: (d) => d.regimes.length === 0, why: NONE }}>
          {(data) => (
            <div className="grid gap-4">
              {symbol !== undefined && shown?.symbol !== symbol ? (
                <p role="status" className="text-warn">
                  {symbol} has no regime in this run; {shown?.symbol} is shown.
                </p>
              ) : null}
              <Notes notes={data.notes} />
              {shown ? <OneSymbol key={shown.symbol} now={shown} /> : null}
              <Panel
                title="All symbols"
                aside={
                  <span className="text-meta text-muted">
                    source {data.source}, as of <Time at={data.as_of} />
                  </span>
                }
              >
                <LongTable
                  label="Regimes of all symbols"
                  columns={COLUMNS}
                  rows={data.regimes}
                  keyOf={(one) => one.symbol}
                />
              </Panel>
            </div>
          )}
        </Loaded>
      )}
    </Page>
  );
}

const COLUMNS: readonly Column<Now>[] = [
  {
    name: "Symbol",
    cell: (one) => (
      <Link
        to="/regimes"
        search={(before) => ({ ...before, symbol: one.symbol })}
        className="font-medium text-accent hover:underline"
      >
        {one.symbol}
      </Link>
    ),
  },
  { name: "Regime", cell: (one) => <RegimeMark label={one.label} confidence={one.confidence} /> },
  { name: "Confidence", cell: (one) => percent(one.confidence, 0), right: true },
  {
    name: "Risk state",
    cell: (one) => (one.risk.state === null ? "unknown" : nameOf(one.risk.state, one.risk.states)),
  },
  { name: "Since", cell: (one) => <Time at={one.since} />, wide: true },
  { name: "Bars", cell: (one) => one.bars_since ?? "unknown", right: true, wide: true },
  { name: "Structure", cell: (one) => one.structure.replaceAll("_", " "), wide: true },
  { name: "Strategy", cell: (one) => one.strategy?.replaceAll("_", " ") ?? "none", wide: true },
];

function OneSymbol({ now }: { now: Now }) {
  const { firm } = useScope();
  const { bars = "250", twin = false } = Route.useSearch();
  const navigate = Route.useNavigate();
  const history = useQuery({ ...regimeQuery(firm, now.symbol, Number(bars)), placeholderData: (before) => before });
  const show = useCallback(
    (more: { bars?: Window; twin?: boolean }) =>
      void navigate({ search: (before) => ({ ...before, ...more }), replace: true, resetScroll: false }),
    [navigate],
  );
  const turn = useCallback(() => show({ twin: !twin }), [twin, show]);
  useTwin(turn);
  return (
    <>
      <Panel
        title={`${now.symbol}: price and regime`}
        aside={
          <span className="flex flex-wrap gap-x-3">
            <Choice
              name="Bars shown"
              options={WINDOWS.map((value) => ({ value, text: value }))}
              value={bars}
              onChange={(value) => show({ bars: value })}
            />
            <Choice
              name="Look"
              options={[
                { value: "chart", text: "Chart" },
                { value: "table", text: "Table", hint: "t" },
              ]}
              value={twin ? "table" : "chart"}
              onChange={(value) => show({ twin: value === "table" })}
            />
          </span>
        }
      >
        <p className="flex flex-wrap items-center gap-x-3 pb-2">
          <RegimeMark label={now.label} confidence={now.confidence} />
          <span>confidence {percent(now.confidence, 0)}</span>
          <span className="text-muted">
            since <Time at={now.since} />
            {now.bars_since !== null ? ` (${now.bars_since} bars)` : ""}
          </span>
        </p>
        <Loaded
          query={history}
          height={340}
          empty={{
            when: (d) => d.points.length === 0 && d.notes.length === 0,
            why: "No history was kept by this run.",
          }}
        >
          {(data) => (
            <>
              <Notes notes={data.notes} />
              {data.points.length === 0 ? null : twin ? (
                <LongTable
                  label={`Price and regime of ${now.symbol}, the newest first`}
                  columns={BARS}
                  rows={[...data.points].reverse()}
                  keyOf={(one) => one.at}
                />
              ) : (
                <Chart now={now} points={data.points} />
              )}
            </>
          )}
        </Loaded>
      </Panel>
      <div className="grid items-start gap-4 desk:grid-cols-2">
        <div className="grid gap-4">
          <Evidence now={now} />
          <TapeHealth symbol={now.symbol} />
        </div>
        <div className="grid gap-4">
          <RiskState now={now} points={history.data?.points} />
          <Changes now={now} />
        </div>
      </div>
    </>
  );
}

/** Files of the run that cannot be read: what is unknown for it. */
function Notes({ notes }: { notes: readonly string[] }) {
  return notes.map((one) => (
    <p key={one} role="status" className="text-warn">
      {sentence(one)}
    </p>
  ));
}

const BARS: readonly Column<Bar>[] = [
  { name: "Bar", cell: (one) => <Time at={one.at} /> },
  { name: "Close", cell: (one) => plainNumber(one.close, 6), right: true },
  { name: "Regime", cell: (one) => regimeName(one.label) },
  { name: "Confidence", cell: (one) => percent(one.confidence, 0), right: true },
  { name: "Risk state", cell: (one) => one.risk_state ?? "unknown", right: true, wide: true },
  { name: "its probability", cell: (one) => percent(one.risk_probability, 0), right: true, wide: true },
];

function Chart({ now, points }: { now: Now; points: readonly Bar[] }) {
  const { zone } = usePrefs();
  const light = useLight();
  const [bar, setBar] = useState<number | null>(null);
  const at = points[bar ?? points.length - 1];
  const priced = points.some((one) => one.close !== null);
  return (
    <figure>
      <Drawing className={priced ? "min-h-[284px]" : "min-h-7"}>
        <RegimeChart symbol={now.symbol} points={points} light={light} zone={zone} onBar={setBar} />
      </Drawing>
      <figcaption className="mt-1 grid gap-1 text-meta text-muted">
        <span className="min-h-4 text-fg" data-readout>
          <Time at={at?.at} />
          {at?.close != null ? ` · ${plainNumber(at.close, 6)}` : ""} · {regimeName(at?.label)}{" "}
          {percent(at?.confidence, 0)}
          {at?.risk_state != null ? ` · risk state ${at.risk_state} (${percent(at.risk_probability, 0)})` : ""}
        </span>
        <span className="flex flex-wrap gap-x-4 gap-y-1">
          {FAMILIES.map((one) => (
            <RegimeMark key={one} label={one} confidence={0.8} />
          ))}
        </span>
        <span>
          The stronger the colour, the surer: 20, 40, 60, 80 %.{" "}
          {priced
            ? "Chart by TradingView Lightweight Charts."
            : "No prices of the series are known, so only its labels are shown."}
        </span>
      </figcaption>
    </figure>
  );
}
