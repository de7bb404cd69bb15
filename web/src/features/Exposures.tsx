import type { Schemas } from "@/shared/api/client";
import { numberOf, percent, plainNumber } from "@/shared/format/numbers";
import { Percent } from "@/shared/ui/Figure";
import { Panel } from "@/shared/ui/Panel";
import { nameOf } from "./book";

export function Groups({ groups }: { groups: readonly Schemas["GroupExposure"][] }) {
  const most = Math.max(0.01, ...groups.map((one) => numberOf(one.gross) ?? 0));
  return (
    <Panel title="Exposure by sector" aside={<span className="text-meta text-muted">gross, share of risk</span>}>
      <ul className="grid gap-1.5">
        {[...groups]
          .sort((a, b) => (numberOf(b.gross) ?? 0) - (numberOf(a.gross) ?? 0))
          .map((one) => (
            <li
              key={one.group ?? ""}
              title={`${one.symbols.join(" ")}; net ${percent(one.net, 1)}`}
              className="grid grid-cols-[minmax(0,1.4fr)_minmax(40px,1fr)_56px_56px] items-center gap-3"
            >
              <span className="truncate">{nameOf(one.group)}</span>
              <span className="h-2 rounded-mark bg-raised">
                <span
                  className="block h-2 rounded-mark bg-accent"
                  style={{ width: `${((numberOf(one.gross) ?? 0) / most) * 100}%` }}
                />
              </span>
              <span className="text-right">
                <Percent value={one.gross} decimals={1} />
              </span>
              <span className="text-right text-muted">
                <Percent value={one.risk_share} decimals={1} />
              </span>
            </li>
          ))}
      </ul>
    </Panel>
  );
}

const FACTORS: Record<string, [string, string, (value: number | null) => string]> = {
  market_beta: ["Market", "Σ weight · beta to the market proxy", (value) => `${plainNumber(value, 3)} β`],
  volatility: ["Volatility", "Σ weight · a position's own volatility a year", (value) => percent(value, 1)],
};

export function Factors({ factors }: { factors: Schemas["Portfolio"]["factors"] }) {
  return (
    <Panel title="Exposure by factor">
      <dl className="grid gap-2">
        {factors.map((one) => {
          const [name, means, text] = FACTORS[one.factor] ?? [one.factor, "", (value) => plainNumber(value, 3)];
          return (
            <div key={one.factor} className="grid grid-cols-[minmax(0,1fr)_auto] gap-x-3">
              <dt>
                {name} <span className="block text-meta text-muted">{means}</span>
              </dt>
              <dd className="text-right">
                {one.net === null ? "unknown" : text(one.net)}
                <span className="block text-meta text-muted">
                  {one.net === null ? `not known of ${one.missing.join(" ")}` : `gross ${text(one.gross)}`}
                </span>
              </dd>
            </div>
          );
        })}
      </dl>
      <p className="mt-3 text-meta text-muted">
        As the guards saw them at the last decision. Momentum and other styles are not in the record, so nothing is said
        of them.
      </p>
    </Panel>
  );
}
