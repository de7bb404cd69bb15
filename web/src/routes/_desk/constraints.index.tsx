import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { OfLimit } from "@/features/OfLimit";
import type { Schemas } from "@/shared/api/client";
import { boardQuery } from "@/shared/api/queries";
import { Chip, type Tone } from "@/shared/ui/Chip";
import { Age } from "@/shared/ui/Figure";
import { LimitBar } from "@/shared/ui/LimitBar";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

type Row = Schemas["ConstraintRow"];
type Only = "all" | "speaking" | "alarming";
const GUARDS = [
  "",
  "Data sanity",
  "Blackouts and permissions",
  "Loss and drawdown",
  "Volatility",
  "Concentration",
  "Liquidity and execution",
];
export const STATE_TONES: Record<string, Tone> = {
  pass: "plain",
  bound: "accent",
  breach: "safety",
  missing: "safety",
  not_evaluable: "unknown",
  off: "plain",
};

export const Route = createFileRoute("/_desk/constraints/")({
  validateSearch: (said: Record<string, unknown>): { only?: Only } =>
    said.only === "all" || said.only === "alarming" ? { only: said.only } : {},
  component: Constraints,
});

function Constraints() {
  const { firm, account } = useScope();
  const { only = "speaking" } = Route.useSearch();
  const query = useQuery({ ...boardQuery(firm, account ?? ""), enabled: account !== undefined });
  return (
    <Page
      title="Constraints"
      aside={
        <fieldset className="flex gap-1">
          <legend className="sr-only">Which rules</legend>
          {(["speaking", "alarming", "all"] as const).map((one) => (
            <Link
              key={one}
              to="/constraints"
              search={(before) => ({ ...before, only: one })}
              aria-current={one === only ? "true" : undefined}
              className={`inline-flex h-8 items-center rounded-control px-3 max-desk:h-11 ${one === only ? "bg-raised" : "text-muted hover:text-fg"}`}
            >
              {one === "speaking" ? "With a measure" : one === "alarming" ? "Alarming" : "All 82"}
            </Link>
          ))}
        </fieldset>
      }
    >
      <Loaded
        query={query}
        height={600}
        empty={{
          when: (data) => data.rows.length === 0,
          why: "No snapshot yet. Guards fail closed: new risk is blocked.",
        }}
      >
        {(board) => {
          const rows = board.rows.filter((row) => shows(row, only));
          return (
            <div className="grid gap-4">
              <p className="text-muted">
                {board.account} as decided <Age at={board.as_of} seconds={board.age_s} />.{" "}
                {board.in_force !== null && board.decided_under !== board.in_force
                  ? "The configuration has changed since: the next decision is made under the new one."
                  : ""}
              </p>
              {GUARDS.map((title, guard) => {
                const own = rows.filter((row) => row.guard === guard);
                if (own.length === 0) return null;
                return (
                  <Panel
                    key={title}
                    title={`${guard}  ${title}`}
                    aside={<Count rows={board.rows.filter((r) => r.guard === guard)} />}
                  >
                    <ul>
                      {own.map((row) => (
                        <Rule key={row.rule_id} row={row} />
                      ))}
                    </ul>
                  </Panel>
                );
              })}
              {rows.length === 0 ? <p className="text-muted">No rule is alarming.</p> : null}
            </div>
          );
        }}
      </Loaded>
    </Page>
  );
}

function shows(row: Row, only: Only): boolean {
  if (only === "all") return true;
  return only === "alarming" ? row.alarming : row.state !== "off" && row.state !== "not_evaluable";
}

function Count({ rows }: { rows: readonly Row[] }) {
  const count = (state: string) => rows.filter((row) => row.state === state).length;
  const silent = count("not_evaluable");
  return (
    <span className="text-meta text-muted">
      {rows.length} rules{silent > 0 ? `, ${silent} not evaluable here` : ""}
      {count("off") > 0 ? `, ${count("off")} off` : ""}
    </span>
  );
}

function Rule({ row }: { row: Row }) {
  return (
    <li className="border-b border-line/60 last:border-0">
      <Link
        to="/constraints/$rule"
        params={{ rule: row.rule_id }}
        title={row.inequality}
        className="grid grid-cols-[52px_minmax(0,1fr)_auto] items-center gap-x-3 py-1.5 hover:bg-raised/50 max-desk:py-2.5 tablet:grid-cols-[52px_minmax(0,1.4fr)_90px_minmax(80px,1fr)_170px] desk:grid-cols-[52px_minmax(0,1.4fr)_90px_minmax(80px,1fr)_190px_150px]"
      >
        <span className="text-muted">{row.rule_id}</span>
        <span className="truncate">{row.title}</span>
        <span>
          <Chip tone={STATE_TONES[row.state] ?? "unknown"}>{row.state.replace("_", " ")}</Chip>
        </span>
        <span className="max-tablet:col-span-3 max-tablet:pt-1">
          <LimitBar used={row.used} state={row.state} label={row.title} calm={row.guard < 3 || row.at_least} />
        </span>
        <span className="whitespace-nowrap max-tablet:col-span-3 max-tablet:pt-1 tablet:text-right">
          <OfLimit row={row} />
        </span>
        <span className="truncate text-right text-meta text-muted max-desk:hidden">
          {row.set_by ? `${row.set_by.layer} ${row.set_by.name}` : ""}
        </span>
      </Link>
    </li>
  );
}
