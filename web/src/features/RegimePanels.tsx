import { useQuery } from "@tanstack/react-query";
import { ApiProblem, type Schemas } from "@/shared/api/client";
import { tapeQuery } from "@/shared/api/queries";
import { percent, plainNumber } from "@/shared/format/numbers";
import { Chip, type Tone } from "@/shared/ui/Chip";
import { Time } from "@/shared/ui/Figure";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";
import { mixed } from "./colour";
import { regimeName } from "./regime";
import { expectedDwell, movesOf, type Point } from "./ribbon";
import { useLight } from "./theme";

type Now = Schemas["RegimeNow"];

/** What speaks for the label, and what holds its confidence down. */
export function Evidence({ now }: { now: Now }) {
  return (
    <Panel title="Confidence" aside={<span className="text-section font-semibold">{percent(now.confidence, 0)}</span>}>
      {now.evidence.length === 0 ? (
        <Empty>This run kept no evidence for the label.</Empty>
      ) : (
        <ul className="grid gap-2">
          {now.evidence.map((one) => (
            <li key={one.source} className="grid grid-cols-[minmax(0,1fr)_auto] gap-x-3">
              <span className="min-w-0">
                {one.source.replaceAll("_", " ")} <span className="text-muted">({one.grade})</span>: {one.finding}
              </span>
              <span className="text-right whitespace-nowrap">
                {one.binds ? <Chip tone="accent">binds</Chip> : null} <span className="text-muted">at most</span>{" "}
                {percent(one.confidence_cap, 0)}
              </span>
              <span className="col-span-2 mt-0.5 h-1.5 rounded-mark bg-raised">
                <span
                  className="block h-1.5 rounded-mark bg-accent"
                  style={{ width: `${Math.min(1, one.confidence_cap) * 100}%` }}
                />
              </span>
            </li>
          ))}
        </ul>
      )}
      {now.evidence.length > 0 && !now.evidence.some((one) => one.binds) ? (
        <p className="mt-2 text-muted">
          Below what each allows: a change of the label waits for its confirmation, and what speaks against the label
          that is still held cannot speak for it.
        </p>
      ) : null}
      {now.tiers.length > 0 ? (
        <ul aria-label="Other timescales" className="mt-3 grid gap-1 border-t border-line pt-2">
          {now.tiers.map((one) => (
            <li key={one.tier} className="flex flex-wrap gap-x-3">
              <span className="font-medium">{TIERS[one.tier] ?? one.tier}</span>
              <span className="mr-auto">
                {one.label === null ? one.reason || "not available" : regimeName(one.label)}
              </span>
              {one.label === null ? null : <span>{percent(one.confidence, 0)}</span>}
            </li>
          ))}
        </ul>
      ) : null}
    </Panel>
  );
}

const TIERS: Record<string, string> = { LT: "Long term", MT: "Middle term", ST: "Short term" };

/** The risk state: where it is, where it goes from there, and how long it stays, fitted and as counted. */
export function RiskState({ now, points }: { now: Now; points: readonly Point[] | undefined }) {
  const { risk } = now;
  const matrix = risk.transition_matrix as readonly (readonly (number | null)[])[] | null;
  const moves = points && movesOf(points, risk.states);
  const light = useLight();
  const base = light ? "#ffffff" : "#11151a";
  return (
    <Panel
      title="Risk state"
      aside={
        <span className="text-meta text-muted">
          {risk.model}
          {risk.fitted_at ? (
            <>
              , fitted <Time at={risk.fitted_at} />
            </>
          ) : null}
        </span>
      }
    >
      <p>
        {risk.state === null ? (
          <>
            <Chip tone="unknown">unknown</Chip> {risk.reason}
          </>
        ) : (
          <>
            <span className="font-semibold">{nameOf(risk.state, risk.states)}</span>, probability{" "}
            {percent(risk.probability, 1)}
          </>
        )}
      </p>
      {matrix === null ? (
        <Empty>No transitions are known: the model is not fitted on this symbol.</Empty>
      ) : (
        // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form
        <div className="mt-2 overflow-x-auto" tabIndex={0} role="group" aria-label="Transitions">
          <table className="w-full border-separate border-spacing-0.5">
            <caption className="sr-only">
              Probability to go from a state (row) to another (column) in one bar, with how often it happened
            </caption>
            <thead>
              <tr className="text-label text-muted">
                <th scope="col" className="text-left font-medium">
                  From, to
                </th>
                {matrix.map((_, j) => (
                  <th key={`to-${String(j)}`} scope="col" className="text-right font-medium">
                    {nameOf(j, matrix.length)}
                  </th>
                ))}
                <th scope="col" className="pl-3 text-right font-medium">
                  Lasts, bars
                </th>
              </tr>
            </thead>
            <tbody>
              {matrix.map((row, i) => (
                <tr key={`from-${String(i)}`}>
                  <th scope="row" className="pr-2 text-left font-normal whitespace-nowrap">
                    {nameOf(i, matrix.length)}
                    {i === risk.state ? <span className="text-accent"> now</span> : null}
                  </th>
                  {row.map((value, j) => (
                    <td
                      key={`to-${String(j)}`}
                      className="rounded-mark px-2 py-0.5 text-right whitespace-nowrap"
                      style={{ backgroundColor: mixed("#6ea8fe", base, 0.3 * (value ?? 0)) }}
                    >
                      {value === null ? <span className="text-muted">not seen</span> : percent(value, 1)}
                      {moves ? <span className="block text-label">{moves.counts[i]?.[j] ?? 0} times</span> : null}
                    </td>
                  ))}
                  <td className="pl-3 text-right whitespace-nowrap">
                    {plainNumber(expectedDwell(row[i]), 3)}
                    {moves ? (
                      <span className="block text-label text-muted">
                        {moves.dwell[i] === null ? "not seen" : `${plainNumber(moves.dwell[i], 3)} counted`}
                      </span>
                    ) : null}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <p className="mt-2 text-meta text-muted">
        Fitted on the past of the symbol{points ? `; counted over the ${points.length} bars shown` : ""}
        {risk.flips_per_bar !== null ? `; ${plainNumber(risk.flips_per_bar, 2)} changes a bar in the fit` : ""}.
      </p>
    </Panel>
  );
}

export function nameOf(state: number, states: number): string {
  if (state === 0) return "0 calm";
  return state === states - 1 ? `${state} turbulent` : `${state}`;
}

const GRADES: Record<string, Tone> = { healthy: "accent", thin: "warn", stressed: "warn", broken: "safety" };

/** What the tape says of a symbol; what bars alone say where it has none. */
export function TapeHealth({ symbol }: { symbol: string }) {
  const { firm } = useScope();
  const query = useQuery(tapeQuery(firm));
  const gone = query.error instanceof ApiProblem && query.error.status === 404;
  return (
    <Panel title="Tape health">
      {gone ? (
        <Empty>No run has read a tape yet.</Empty>
      ) : (
        <Loaded query={query} height={140}>
          {(data) => {
            const tape = data.symbols.find((one) => one.symbol === symbol);
            const bars = data.bars_only.find((one) => one.symbol === symbol);
            return tape ? <Tape tape={tape} /> : <Bars bars={bars} notes={data.notes} />;
          }}
        </Loaded>
      )}
    </Panel>
  );
}

function Bars({ bars, notes }: { bars: Schemas["BarSpread"] | undefined; notes: readonly string[] }) {
  return (
    <>
      <p>No microstructure feed for this symbol; the regime uses bars only.</p>
      {bars ? (
        <p className="mt-1 text-muted">
          {bars.identified
            ? `Spread as bars let one estimate it: ${plainNumber(bars.edge_bps, 3)} bp (EDGE), ${plainNumber(bars.roll_bps, 3)} bp (Roll).`
            : `Bars do not identify a spread: ${bars.reason || "no reason was kept"}.`}
        </p>
      ) : null}
      {notes.map((one) => (
        <p key={one} className="mt-1 text-muted">
          {one}
        </p>
      ))}
    </>
  );
}

function Tape({ tape }: { tape: Schemas["TapeNow"] }) {
  const figures: readonly [string, number | null, string, string][] = [
    ["Order-flow imbalance", tape.order_flow_imbalance, "units", "ofi.sum"],
    ["its effect on the mid", tape.order_flow_beta, "a unit", "ofi.beta"],
    ["Spread, time-weighted", tape.spread_bps, "bp", "spread.time_weighted_bps"],
    ["Spread, last", tape.last_spread_bps, "bp", "spread.last_bps"],
    ["Spread, effective", tape.effective_spread_bps, "bp", "spread.effective_bps"],
    ["Microprice", tape.microprice, "", "microprice.last"],
    ["Mid", tape.mid, "", "microprice.mid_last"],
    ["Microprice less mid", tape.microprice_gap_bps, "bp", "microprice.gap_bps"],
    ["VPIN", tape.vpin, "", "trades.vpin"],
  ];
  const unknown = tape.unknown as Record<string, string>;
  return (
    <>
      <p className="flex flex-wrap items-center gap-2">
        <Chip tone={GRADES[tape.health] ?? "unknown"}>{tape.health}</Chip> {plainNumber(tape.health_score, 3)} of 100,{" "}
        {tape.evidence}, book {tape.book?.replaceAll("_", " ") ?? "unknown"}
      </p>
      {tape.health_reasons.length > 0 ? <p className="text-muted">{tape.health_reasons.join("; ")}</p> : null}
      <dl className="mt-2 grid grid-cols-[minmax(0,1fr)_auto] gap-x-3 gap-y-1">
        {figures.map(([name, value, unit, path]) => (
          <div key={name} className="contents">
            <dt className="text-muted">{name}</dt>
            <dd className="text-right" title={unknown[path]}>
              {value === null
                ? `unknown${unknown[path] ? `: ${unknown[path]}` : ""}`
                : `${plainNumber(value, 5)}${unit ? ` ${unit}` : ""}`}
            </dd>
          </div>
        ))}
      </dl>
      <p className="mt-2 text-meta text-muted">
        <Time at={tape.start} /> to <Time at={tape.end} />
      </p>
    </>
  );
}

/** The last changes of the label, newest first. */
export function Changes({ now }: { now: Now }) {
  return (
    <Panel title="Last changes of the label">
      {now.transitions.length === 0 ? (
        <Empty>The label did not change in the past that is kept.</Empty>
      ) : (
        <ol className="max-h-64 overflow-y-auto" tabIndex={0} aria-label="Last changes">
          {now.transitions.map((one) => (
            <li key={one.at} className="flex flex-wrap gap-x-3 py-0.5">
              <span className="text-muted">
                <Time at={one.at} />
              </span>
              {regimeName(one.before)} → {regimeName(one.after)}
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}
