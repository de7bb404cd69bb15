import { OutcomeChip, RuleLinks } from "@/features/decisions";
import type { Schemas } from "@/shared/api/client";
import { percent } from "@/shared/format/numbers";
import { StateChip } from "@/shared/ui/Chip";
import { Percent } from "@/shared/ui/Figure";
import { type Column, Table } from "@/shared/ui/Table";

type Risk = Schemas["RiskNumbers"];

const RISKS: readonly [string, (risk: Risk) => number | null][] = [
  ["Volatility a year", (risk) => risk.volatility],
  ["Gross", (risk) => risk.gross],
  ["Net", (risk) => risk.net],
  ["Largest name", (risk) => risk.largest],
];

const TARGETS: readonly Column<Schemas["TargetRow"]>[] = [
  { name: "Symbol", cell: (one) => one.symbol },
  { name: "Now", cell: (one) => <Percent value={one.current_weight} />, right: true, wide: true },
  { name: "Asked for", cell: (one) => <Percent value={one.proposed_weight} />, right: true },
  { name: "Left of it", cell: (one) => <Percent value={one.target_weight} />, right: true },
  { name: "Limited by", cell: (one) => <RuleLinks rules={one.limiting_rules} /> },
];

/** What the guards would leave of weights, account by account; nothing of it is recorded. */
export function PreChecks({ found }: { found: readonly Schemas["PreCheck"][] }) {
  return (
    <div className="grid gap-6">
      {found.map((one) => (
        <section key={one.account} aria-label={`Pre-check of ${one.account}`} className="grid gap-3">
          <h3 className="flex flex-wrap items-center gap-2 font-semibold">
            {one.account} <OutcomeChip outcome={one.outcome} /> <StateChip state={one.trading_state_after} />
          </h3>
          <p>{one.rationale}</p>
          <table className="w-full max-w-xl">
            <caption className="sr-only">Risk before, as asked for, and after the guards</caption>
            <thead>
              <tr className="text-label text-muted">
                <th scope="col" className="text-left font-medium">
                  Risk
                </th>
                {["Before", "Asked for", "After the guards"].map((name) => (
                  <th key={name} scope="col" className="text-right font-medium">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {RISKS.map(([name, of]) => (
                <tr key={name}>
                  <th scope="row" className="text-left font-normal text-muted">
                    {name}
                  </th>
                  {[one.before, one.proposed, one.after].map((risk, n) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: always these three
                    <td key={n} className="text-right">
                      <Percent value={of(risk)} decimals={1} />
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
          <p className="text-muted">
            Turnover {percent(one.turnover, 1)}
            {one.expected_cost_bps !== null ? `, expected cost ${one.expected_cost_bps} bp` : ""}.
          </p>
          <Table
            label={`Weights of ${one.account}`}
            columns={TARGETS}
            rows={one.targets}
            keyOf={(row) => row.symbol}
            dense
          />
        </section>
      ))}
    </div>
  );
}
