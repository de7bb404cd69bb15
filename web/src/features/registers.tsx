import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { registerQuery, registersQuery } from "@/shared/api/queries";
import { money, plainNumber } from "@/shared/format/numbers";
import { span } from "@/shared/format/time";
import { Button } from "@/shared/ui/Button";
import { cx } from "@/shared/ui/cx";
import { Time } from "@/shared/ui/Figure";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";
import { edge, placeOf, type RecordSearch, type RegisterRow as Row, rowsOf, valueWords } from "./record";

const PAGE = 100;
const FIRST = "breaches";
const HIDDEN = new Set([
  "chain",
  "seq",
  "payload_hash",
  "before_config",
  "after_config",
  "rule",
  "override_id",
  "order",
]);
const TIMES = new Set(["at", "acknowledged", "started", "ended", "answered", "in_force_from", "ends", "expires"]);

/** What allocators and regulators ask for, from the record alone. */
export function Registers({ search }: { search: RecordSearch }) {
  const { firm } = useScope();
  const names = useQuery({ ...registersQuery(firm), enabled: firm !== "" });
  const name = search.register ?? FIRST;
  const said = names.data?.find((one) => one.name === name);
  return (
    <Panel title="Registers">
      <div className="grid gap-3">
        <Loaded query={names} height={40}>
          {(all) => (
            <nav aria-label="Registers" className="flex flex-wrap gap-1">
              {all.map((one) => (
                <Link
                  key={one.name}
                  to="/audit"
                  search={{ ...search, tab: "registers", register: one.name }}
                  aria-current={one.name === name ? "page" : undefined}
                  className={cx(
                    "inline-flex h-8 items-center rounded-control border px-3 max-desk:h-11",
                    one.name === name ? "border-accent" : "border-line text-muted hover:text-fg",
                  )}
                >
                  {one.name.replaceAll("-", " ")}
                </Link>
              ))}
            </nav>
          )}
        </Loaded>
        {said ? <p className="text-muted">{said.description}</p> : null}
        <OneRegister key={name} name={name} search={search} />
      </div>
    </Panel>
  );
}

function OneRegister({ name, search }: { name: string; search: RecordSearch }) {
  const { firm } = useScope();
  const [shown, setShown] = useState(PAGE);
  const [from, to] = [edge(search.from, false), edge(search.to, true)];
  const query = useQuery({
    ...registerQuery(firm, name, {
      ...(search.of && search.of !== "_firm" ? { account: `${firm}/${search.of}` } : {}),
      ...(from ? { from } : {}),
      ...(to ? { to } : {}),
    }),
    enabled: firm !== "",
  });
  return (
    <Loaded
      query={query}
      height={300}
      empty={{
        when: (d) => d.rows.length === 0,
        why: `No ${name.replaceAll("-", " ")} in this window. Clear the account or widen the days.`,
      }}
    >
      {(found) => {
        const rows = rowsOf(found).reverse();
        return (
          <div className="grid gap-2 whitespace-nowrap">
            <Table
              label={`Register of ${name.replaceAll("-", " ")}, the newest first`}
              dense
              rows={rows.slice(0, shown)}
              keyOf={(one) => JSON.stringify(one)}
              columns={[
                ...found.columns
                  .filter((column) => !HIDDEN.has(column))
                  .map((column) => ({
                    name: headOf(column),
                    cell: (one: Row) => cellOf(column, one),
                    right: isFigure(column),
                  })),
                {
                  name: "Record",
                  cell: (one: Row) => (
                    <Link
                      to="/audit/$"
                      params={{ _splat: placeOf({ chain_id: String(one.chain), seq: Number(one.seq) }) }}
                      className="text-accent hover:underline"
                    >
                      entry {String(one.seq)}
                    </Link>
                  ),
                },
              ]}
            />
            <p className="flex flex-wrap items-center gap-3 whitespace-normal text-muted">
              {money(Math.min(shown, rows.length))} of {money(found.total)}
              {found.truncated ? ": there are older ones that are not sent, narrow the days" : ""}
              {shown < rows.length ? <Button onClick={() => setShown(shown + PAGE)}>Show more</Button> : null}
            </p>
          </div>
        );
      }}
    </Loaded>
  );
}

const HEADS: Record<string, string> = {
  at: "When",
  rule_id: "Rule",
  duration_s: "Lasted",
  effective_s: "In force after",
  flat_s: "Flat after",
  qty: "Quantity",
};

function headOf(column: string): string {
  const said = HEADS[column] ?? column.replaceAll("_", " ");
  return `${said[0]?.toUpperCase() ?? ""}${said.slice(1)}`;
}

const FIGURES = new Set(["value", "limit", "qty", "price", "limit_price", "duration_s", "effective_s", "flat_s"]);

function isFigure(column: string): boolean {
  return FIGURES.has(column);
}

function cellOf(column: string, row: Row): ReactNode {
  const value = row[column];
  if (value === null || value === "") return <span className="text-muted">–</span>;
  const text = String(value);
  if (TIMES.has(column)) return <Time at={text} />;
  if (column.endsWith("_s")) return span(Number(text));
  if (column === "account") return text.split("/")[1] ?? text;
  if (column === "rule_id")
    return (
      <Link
        to="/constraints/$rule"
        params={{ rule: text }}
        className="text-accent hover:underline"
        title={String(row.rule ?? "")}
      >
        {text}
      </Link>
    );
  if (column === "run")
    return (
      <Link to="/runs/$id" params={{ id: text }} className="font-mono text-meta text-accent hover:underline">
        {text}
      </Link>
    );
  if (column === "request")
    return (
      <Link to="/approvals/$id" params={{ id: text }} className="font-mono text-meta text-accent hover:underline">
        {text}
      </Link>
    );
  if (column === "decision")
    return (
      <Link
        to="/actions"
        search={{ open: `${String(row.account).split("/")[1]}.${text}` }}
        className="font-mono text-meta text-accent hover:underline"
      >
        {text.slice(0, 8)}
      </Link>
    );
  if (isFigure(column)) return plainNumber(text, 8);
  return valueWords(value);
}
