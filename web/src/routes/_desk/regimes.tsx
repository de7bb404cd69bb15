import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { RegimeMark, regimeLook, step } from "@/features/regime";
import type { Schemas } from "@/shared/api/client";
import { regimeQuery, regimesQuery } from "@/shared/api/queries";
import { percent, plainNumber } from "@/shared/format/numbers";
import { Chip } from "@/shared/ui/Chip";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

type Now = Schemas["RegimeNow"];

export const Route = createFileRoute("/_desk/regimes")({
  validateSearch: (said: Record<string, unknown>): { symbol?: string } =>
    typeof said.symbol === "string" && said.symbol.length <= 40 ? { symbol: said.symbol } : {},
  component: Regimes,
});

function Regimes() {
  const { firm } = useScope();
  const { symbol } = Route.useSearch();
  const query = useQuery({ ...regimesQuery(firm), enabled: firm !== "" });
  return (
    <Page title="Regimes">
      <Loaded
        query={query}
        height={600}
        empty={{ when: (d) => d.regimes.length === 0, why: "No run has read a regime yet." }}
      >
        {(data) => {
          const shown =
            data.regimes.find((one) => one.symbol === symbol) ??
            data.regimes.find((one) => one.is_market) ??
            data.regimes[0];
          return (
            <div className="grid gap-4">
              {shown ? <OneSymbol now={shown} /> : null}
              <Panel
                title="All symbols"
                aside={
                  <span className="text-meta text-muted">
                    source {data.source}, run {data.run_id}, as of <Time at={data.as_of} />
                  </span>
                }
              >
                <Table
                  label="Regimes of all symbols"
                  columns={COLUMNS}
                  rows={data.regimes}
                  keyOf={(one) => one.symbol}
                  dense
                />
              </Panel>
            </div>
          );
        }}
      </Loaded>
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
  { name: "Since", cell: (one) => <Time at={one.since} />, wide: true },
  { name: "Bars", cell: (one) => one.bars_since ?? "unknown", right: true },
  { name: "Structure", cell: (one) => one.structure.replaceAll("_", " "), wide: true },
  { name: "Strategy", cell: (one) => one.strategy?.replaceAll("_", " ") ?? "none", wide: true },
];

function OneSymbol({ now }: { now: Now }) {
  const { firm } = useScope();
  const history = useQuery(regimeQuery(firm, now.symbol));
  const risk = now.risk;
  return (
    <Panel title={now.symbol} aside={<RegimeMark label={now.label} confidence={now.confidence} />}>
      <div className="grid gap-4">
        <Loaded
          query={history}
          height={72}
          empty={{ when: (d) => d.points.length === 0, why: "No history was kept by this run." }}
        >
          {(data) => <Ribbon points={data.points} />}
        </Loaded>
        <div className="grid gap-4 desk:grid-cols-3">
          <div>
            <h3 className="text-meta text-muted">What was weighed</h3>
            <ul>
              {now.evidence.map((one) => (
                <li key={one.source} className="flex items-center gap-2 py-0.5">
                  <span className="mr-auto min-w-0">
                    {one.source}: {one.finding}
                  </span>
                  {one.binds ? <Chip tone="accent">binds</Chip> : null}
                  <span className="text-muted">≤ {percent(one.confidence_cap, 0)}</span>
                </li>
              ))}
            </ul>
          </div>
          <div>
            <h3 className="text-meta text-muted">Risk state</h3>
            <p>
              {risk.state === null
                ? risk.reason || "unknown"
                : `State ${risk.state} of ${risk.states}, probability ${percent(risk.probability, 1)}`}
            </p>
            {risk.expected_duration_bars !== null ? (
              <p className="text-muted">lasts {plainNumber(risk.expected_duration_bars, 3)} bars on average</p>
            ) : null}
            {risk.transition_matrix ? <Transitions matrix={risk.transition_matrix as number[][]} /> : null}
          </div>
          <div>
            <h3 className="text-meta text-muted">Last changes</h3>
            <ol className="max-h-48 overflow-y-auto" tabIndex={0} aria-label="Last changes">
              {now.transitions.slice(0, 30).map((one) => (
                <li key={one.at} className="flex gap-3 py-0.5">
                  <span className="text-muted">
                    <Time at={one.at} />
                  </span>
                  {one.before?.replaceAll("_", " ") ?? "unknown"} → {one.after?.replaceAll("_", " ") ?? "unknown"}
                </li>
              ))}
            </ol>
          </div>
        </div>
      </div>
    </Panel>
  );
}

function Transitions({ matrix }: { matrix: readonly (readonly number[])[] }) {
  return (
    <table className="mt-1">
      <caption className="sr-only">Probability to go from a state (row) to another (column)</caption>
      <tbody>
        {matrix.map((row, i) => (
          <tr key={`from-${String(i)}`}>
            <th scope="row" className="pr-3 text-left font-normal text-muted">
              {i} →
            </th>
            {row.map((value, j) => (
              <td key={`to-${String(j)}`} className="pr-3 text-right">
                {percent(value, 1)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Labels over time as bands, each with its letter where it fits. */
function Ribbon({ points }: { points: readonly Schemas["HistoryPoint"][] }) {
  const bands: { label: string; from: number; to: number; at: string; confidence: number }[] = [];
  points.forEach((one, n) => {
    const label = one.label ?? "unknown";
    const last = bands.at(-1);
    if (last?.label === label) last.to = n + 1;
    else bands.push({ label, from: n, to: n + 1, at: one.at, confidence: one.confidence ?? 0 });
  });
  return (
    <figure>
      <svg
        viewBox={`0 0 ${points.length} 40`}
        preserveAspectRatio="none"
        className="h-10 w-full rounded-control"
        role="img"
        aria-label={`${bands.length} regimes over ${points.length} bars`}
      >
        {bands.map((one) => (
          <rect
            key={one.from}
            x={one.from}
            width={one.to - one.from}
            y={0}
            height={40}
            fill={`color-mix(in srgb, ${regimeLook(one.label)[1]} ${Math.round(step(one.confidence) * 100)}%, var(--surface))`}
          >
            <title>{`${one.label} from ${one.at}, ${one.to - one.from} bars`}</title>
          </rect>
        ))}
      </svg>
      <figcaption className="mt-1 flex flex-wrap gap-x-4 text-meta text-muted">
        <span>
          <Time at={points[0]?.at} /> to <Time at={points.at(-1)?.at} />
        </span>
        {["trending", "volatile_trending", "mean_reverting", "random", "uncertain"].map((one) => (
          <RegimeMark key={one} label={one} confidence={0.8} />
        ))}
      </figcaption>
    </figure>
  );
}
