import type { Schemas } from "@/shared/api/client";
import { plainNumber } from "@/shared/format/numbers";
import { Panel } from "@/shared/ui/Panel";
import { diverging, inkOn, middle } from "./colour";
import { useLight } from "./theme";

export function CorrelationMatrix({ found }: { found: Schemas["Correlations"] }) {
  const n = found.symbols.length;
  const light = useLight();
  const rows = found.symbols.map((symbol, i) => ({ symbol, values: found.matrix[i] ?? [] }));
  return (
    <Panel title="Correlations">
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form */}
      <div className="max-h-[30rem] overflow-auto" tabIndex={0} role="group" aria-label="Correlations">
        <table className="w-full table-fixed border-separate border-spacing-px text-label">
          <caption className="sr-only">Correlation of the returns of what is held</caption>
          <thead>
            <tr>
              <th scope="col" className="sticky top-0 left-0 w-12 bg-surface">
                <span className="sr-only">Symbol</span>
              </th>
              {found.symbols.map((symbol) => (
                <th
                  key={symbol}
                  scope="col"
                  className={`sticky top-0 bg-surface font-normal text-muted ${n > 12 ? "h-12 w-7" : "w-12"}`}
                >
                  <span className={n > 12 ? "inline-block -rotate-90 whitespace-nowrap" : ""}>{symbol}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ symbol, values }) => (
              <tr key={symbol}>
                <th scope="row" className="sticky left-0 bg-surface text-left font-normal text-muted">
                  {symbol}
                </th>
                {values.map((value, j) => {
                  const fill = value === null ? middle(light) : diverging(value, light);
                  return (
                    <td
                      key={found.symbols[j]}
                      title={`${symbol} and ${found.symbols[j]}: ${value === null ? "unknown" : value.toFixed(2)}`}
                      className={`h-6 text-center ${value === null ? "hatch" : ""}`}
                      style={{ backgroundColor: fill, color: inkOn(fill) }}
                    >
                      {short(value)}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="mt-2 text-meta text-muted">In hundredths. Blue = together, orange = against each other.</p>
    </Panel>
  );
}

/** A correlation in hundredths: 45 for 0.45. */
function short(value: number | null): string {
  return value === null ? "?" : plainNumber(Math.round(value * 100), 3);
}
