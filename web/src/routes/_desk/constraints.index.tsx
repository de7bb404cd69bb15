import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { OfLimit } from "@/features/OfLimit";
import { RuleBar } from "@/features/RuleBar";
import { GUARDS, headroomOf, layerOf, staleness, stateOf } from "@/features/rules";
import type { Schemas } from "@/shared/api/client";
import { boardQuery } from "@/shared/api/queries";
import { Chip } from "@/shared/ui/Chip";
import { Age } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

type Row = Schemas["ConstraintRow"];
type Only = "all" | "speaking" | "alarming";
const VIEWS: readonly [Only, string][] = [
  ["speaking", "With a measure"],
  ["alarming", "Alarming"],
  ["all", "All rules"],
];

export const Route = createFileRoute("/_desk/constraints/")({
  validateSearch: (said: Record<string, unknown>): { only?: Only } =>
    said.only === "all" || said.only === "alarming" ? { only: said.only } : {},
  component: Constraints,
});

function Constraints() {
  const { firm, account, accounts } = useScope();
  const { only = "speaking" } = Route.useSearch();
  const query = useQuery({ ...boardQuery(firm, account ?? ""), enabled: account !== undefined });
  const mode = accounts?.find((one) => one.account_id === account)?.mode;
  if (account === undefined) {
    return (
      <Page title="Constraints">
        <Empty>No accounts assigned to you. An Admin can add you to a firm.</Empty>
      </Page>
    );
  }
  return (
    <Page
      title="Constraints"
      aside={
        <nav aria-label="Which rules" className="flex gap-1">
          {VIEWS.map(([one, name]) => (
            <Link
              key={one}
              to="/constraints"
              search={(before) => ({ ...before, only: one })}
              aria-current={one === only ? "true" : undefined}
              className={`inline-flex h-8 items-center rounded-control px-3 max-desk:h-11 ${one === only ? "bg-raised" : "text-muted hover:text-fg"}`}
            >
              {name}
            </Link>
          ))}
        </nav>
      }
    >
      <Loaded query={query} height={600}>
        {(board) => {
          const rows = board.rows.filter((row) => shows(row, only));
          const old = staleness(mode, board.as_of, board.age_s);
          return (
            <div className="grid gap-4">
              {old ? (
                <p role="alert" className="rounded-control border border-safety px-3 py-2 text-safety">
                  {old}
                </p>
              ) : null}
              <p className="text-muted">
                <span className="text-fg">{sumOf(board.rows)}</span> {board.account} as decided{" "}
                <Age at={board.as_of} seconds={board.age_s} />.{" "}
                {board.in_force !== null && board.decided_under !== null && board.decided_under !== board.in_force
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
              {rows.length === 0 ? (
                <Empty>
                  {only === "alarming"
                    ? "No rule is alarming: none binds, locks, or is unknown."
                    : "No rule has a measure yet: it comes with the first decision."}
                </Empty>
              ) : null}
            </div>
          );
        }}
      </Loaded>
    </Page>
  );
}

function shows(row: Row, only: Only): boolean {
  if (only === "all") return true;
  return only === "alarming"
    ? row.alarming
    : row.holds || !["off", "not_evaluable", "never_evaluated"].includes(row.state);
}

function sumOf(rows: readonly Row[]): string {
  const count = (test: (row: Row) => boolean) => rows.filter(test).length;
  const unknown = count((row) => row.state === "unknown");
  return `${count((row) => row.holds)} lock, ${unknown} unknown, ${count((row) => row.state === "bound")} bind, ${count((row) => row.state === "pass")} pass.`;
}

function Count({ rows }: { rows: readonly Row[] }) {
  const said = [`${rows.length} rules`];
  for (const [state, words] of [
    ["unknown", "unknown"],
    ["not_evaluable", "not evaluable here"],
    ["off", "off"],
  ] as const) {
    const count = rows.filter((row) => row.state === state).length;
    if (count > 0) said.push(`${count} ${words}`);
  }
  return <span className="text-meta text-muted">{said.join(", ")}</span>;
}

function Rule({ row }: { row: Row }) {
  const { word, tone } = stateOf(row);
  return (
    <li className="border-b border-line/60 last:border-0">
      <Link
        to="/constraints/$rule"
        params={{ rule: row.rule_id }}
        title={row.inequality}
        className="grid grid-cols-[52px_minmax(0,1fr)_auto] items-center gap-x-3 py-1.5 hover:bg-raised/50 max-desk:py-2.5 tablet:grid-cols-[52px_minmax(0,1.4fr)_96px_minmax(80px,1fr)_170px] desk:grid-cols-[52px_minmax(0,1.4fr)_96px_minmax(80px,1fr)_180px_120px_140px]"
      >
        <span className="text-muted">{row.rule_id}</span>
        <span className="truncate">{row.title}</span>
        <span className="flex max-tablet:justify-end">
          <Chip tone={tone}>{word}</Chip>
        </span>
        <span className="max-tablet:col-span-3 max-tablet:pt-1">
          <RuleBar row={row} />
        </span>
        <span className="whitespace-nowrap max-tablet:col-span-2 max-tablet:pt-1 tablet:text-right">
          <OfLimit row={row} />
        </span>
        <span className="truncate text-right text-meta text-muted max-tablet:pt-1 max-desk:[@media(min-width:720px)]:hidden">
          {headroomOf(row)}
        </span>
        <span className="truncate text-right text-meta text-muted max-desk:hidden">{layerOf(row.set_by)}</span>
      </Link>
    </li>
  );
}
