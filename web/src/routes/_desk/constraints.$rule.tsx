import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { lazy, useCallback, useMemo, useState } from "react";
import { Acknowledge, AcknowledgedBy } from "@/features/breaches";
import { Choice } from "@/features/Choice";
import { LastChange } from "@/features/LastChange";
import { LongTable } from "@/features/LongTable";
import { RuleBar } from "@/features/RuleBar";
import { kindWords, placeOf } from "@/features/record";
import { headroomOf, layerOf, staleness, stateOf } from "@/features/rules";
import { useLight } from "@/features/theme";
import type { Line } from "@/features/UseChart";
import { useTwin } from "@/features/useTwin";
import type { Schemas } from "@/shared/api/client";
import { constraintHistoryQuery, constraintQuery } from "@/shared/api/queries";
import { percent, plainNumber, ruleValue } from "@/shared/format/numbers";
import { usePrefs } from "@/shared/prefs";
import { Chip } from "@/shared/ui/Chip";
import { Drawing } from "@/shared/ui/Drawing";
import { TextField } from "@/shared/ui/Field";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

const UseChart = lazy(() => import("@/features/UseChart"));

type Rule = Schemas["Constraint"];
type Measurement = Schemas["Measurement"];

export const Route = createFileRoute("/_desk/constraints/$rule")({
  validateSearch: (said: Record<string, unknown>): { twin?: boolean } => (said.twin === true ? { twin: true } : {}),
  component: OneRule,
});

function OneRule() {
  const { rule } = Route.useParams();
  const { firm, account, accounts } = useScope();
  const query = useQuery({ ...constraintQuery(firm, account ?? "", rule), enabled: account !== undefined });
  const mode = accounts?.find((one) => one.account_id === account)?.mode;
  return (
    <Page
      title={rule}
      aside={
        <Link
          to="/constraints"
          className="text-muted hover:text-fg max-desk:flex max-desk:min-h-11 max-desk:items-center"
        >
          All rules
        </Link>
      }
    >
      <Loaded query={query} height={400}>
        {(row) => (
          <div className="grid gap-4">
            <State row={row} stale={row.as_of === null ? staleness(mode, null, null) : ""} />
            <History row={row} />
            <Layers row={row} />
            <Triggers row={row} />
          </div>
        )}
      </Loaded>
    </Page>
  );
}

function State({ row, stale }: { row: Rule; stale: string }) {
  const { word, tone } = stateOf(row);
  return (
    <Panel title={row.title} aside={<Chip tone={tone}>{word}</Chip>}>
      <div className="grid gap-3">
        {stale ? (
          <p role="alert" className="text-safety">
            {stale}
          </p>
        ) : null}
        {row.state === "unknown" ? (
          <p role="alert" className="text-safety">
            An input of this rule was missing, so it was at its most careful: what it guards may only be reduced.
          </p>
        ) : null}
        <RuleBar row={row} />
        <dl className="grid grid-cols-[104px_minmax(0,1fr)] gap-x-3 gap-y-1 desk:grid-cols-[104px_minmax(0,1fr)_104px_minmax(0,1fr)]">
          <Fact name="Value">{ruleValue(row.value, row.unit)}</Fact>
          <Fact name={row.at_least ? "At least" : "Limit"}>{ruleValue(row.limit, row.unit)}</Fact>
          <Fact name="Headroom">{headroomOf(row) || "unknown"}</Fact>
          <Fact name="Used">{percent(row.used, 1)}</Fact>
          <Fact name="Warns, acts at">
            {row.warn_at === null && row.acts_at === null
              ? "its limit"
              : `${percent(row.warn_at, 0)}, ${percent(row.acts_at ?? 1, 0)} of its limit`}
          </Fact>
          <Fact name="Holds while">{row.inequality}</Fact>
          <Fact name="Otherwise">{row.effect}</Fact>
          <Fact name="Lets go">{row.recovery}</Fact>
          <Fact name="Said">{row.reason_codes.join(", ").replaceAll("_", " ").toLowerCase() || "nothing"}</Fact>
          <Fact name="Set by">
            {row.set_by
              ? `${layerOf(row.set_by)}${row.set_by.file ? ` (${row.set_by.file}:${row.set_by.line})` : ""}`
              : "not shown to your role"}
          </Fact>
          <Fact name="Decided at">
            <Time at={row.as_of} />
          </Fact>
        </dl>
        <LastChange
          account={row.account.split("/")[1] ?? ""}
          concerns={(path) => row.parameters?.some((one) => one.path === path) ?? false}
        />
        <code className="text-meta break-words text-muted">
          /show constraints account:{row.account} rule:{row.rule_id}
        </code>
      </div>
    </Panel>
  );
}

function History({ row }: { row: Rule }) {
  const { zone } = usePrefs();
  const { firm, account } = useScope();
  const { twin = false } = Route.useSearch();
  const navigate = Route.useNavigate();
  const light = useLight();
  const query = useQuery({
    ...constraintHistoryQuery(firm, account ?? "", row.rule_id),
    enabled: account !== undefined,
  });
  const show = useCallback(
    (next: boolean) =>
      void navigate({ search: (before) => ({ ...before, twin: next }), replace: true, resetScroll: false }),
    [navigate],
  );
  useTwin(useCallback(() => show(!twin), [show, twin]));
  const points = useMemo(() => usesOf(query.data?.items ?? []), [query.data]);
  const lines = useMemo(() => linesOf(row), [row]);
  const unknown = points.filter((one) => one.used === null).length;
  return (
    <Panel
      title="How much of its limit it has used"
      aside={
        <Choice
          name="Look"
          options={[
            { value: "chart", text: "Chart" },
            { value: "table", text: "Table", hint: "t" },
          ]}
          value={twin ? "table" : "chart"}
          onChange={(value) => show(value === "table")}
        />
      }
    >
      <Loaded
        query={query}
        height={232}
        empty={{ when: (d) => d.items.length < 2, why: "No history yet: it begins with the second decision." }}
      >
        {(data) =>
          twin ? (
            <LongTable
              label={`${row.title}, decision by decision`}
              columns={measures(row.unit)}
              rows={data.items}
              keyOf={(one) => `${one.decision_id} ${one.as_of}`}
            />
          ) : unknown === points.length ? (
            <Empty>None of the last {points.length} decisions could measure it against a limit.</Empty>
          ) : (
            <figure aria-label={`Use of ${row.title}; the table has the same figures`}>
              <Drawing className="h-52">
                <UseChart points={points} lines={lines} light={light} zone={zone} />
              </Drawing>
              <figcaption className="mt-1 text-meta text-muted">
                {points.length} decisions, <Time at={points[0]?.at} /> to <Time at={points.at(-1)?.at} />
                {unknown > 0 ? `; ${unknown} of them without a measure` : ""}. Chart by TradingView Lightweight Charts.
              </figcaption>
            </figure>
          )
        }
      </Loaded>
    </Panel>
  );
}

/** Oldest first, one for each instant: of several runs the last that was recorded. */
function usesOf(items: readonly Measurement[]) {
  const found = new Map<string, number | null>();
  for (const one of [...items].reverse()) found.set(one.as_of, one.used);
  return [...found].map(([at, used]) => ({ at, used })).sort((a, b) => (a.at < b.at ? -1 : 1));
}

function linesOf(row: Rule): readonly Line[] {
  const lines: Line[] = [{ at: 1, title: ["limit", layerOf(row.set_by)].filter(Boolean).join(", "), tone: "safety" }];
  if (row.warn_at !== null) lines.push({ at: row.warn_at, title: "warns", tone: "warn" });
  if (row.acts_at !== null && row.acts_at < 1) lines.push({ at: row.acts_at, title: "acts", tone: "warn" });
  return lines;
}

function measures(unit: string): readonly Column<Measurement>[] {
  return [
    { name: "When", cell: (one) => <Time at={one.as_of} /> },
    { name: "State", cell: (one) => stateOf({ state: one.outcome, holds: false }).word },
    { name: "Value", cell: (one) => ruleValue(one.value, unit), right: true },
    { name: "Limit", cell: (one) => ruleValue(one.limit, unit), right: true, wide: true },
    { name: "Used", cell: (one) => percent(one.used, 0), right: true },
    { name: "Mode", cell: (one) => one.env.replaceAll("_", " "), wide: true },
  ];
}

type Parameter = Schemas["Parameter"];

const PARAMETERS: readonly Column<Parameter>[] = [
  { name: "Parameter", cell: (one) => <span className="font-mono text-meta">{one.path.replace("risk.", "")}</span> },
  { name: "In force", cell: (one) => <Value value={one.value} />, right: true },
  { name: "Unit", cell: (one) => <span className="text-muted">{one.unit}</span>, wide: true },
  {
    name: "Layers, the deciding one marked",
    cell: (one) => (
      <span className="flex flex-wrap gap-x-3 gap-y-0.5 py-1">
        {one.layers.map((step) => (
          <span
            key={`${step.layer} ${step.name} ${step.line}`}
            title={step.file ? `${step.file}:${step.line}` : step.merge}
            className={step.decides ? "text-fg" : "text-muted"}
          >
            {step.decides ? "▸ " : ""}
            {layerOf({ ...step, path: one.path })} <Value value={step.value} />
          </span>
        ))}
      </span>
    ),
  },
];

function Value({ value }: { value: unknown }) {
  if (value === null || value === undefined) return <>not shown</>;
  if (typeof value === "object") return <code className="text-meta break-all">{JSON.stringify(value)}</code>;
  return <>{typeof value === "number" ? plainNumber(value, 6) : String(value)}</>;
}

function Layers({ row }: { row: Rule }) {
  return (
    <Panel title="Which layer set it">
      {row.parameters === null ? (
        <Empty>Your role does not read configurations, so the layers are left out.</Empty>
      ) : (
        <Table
          label="Parameters and their layers"
          columns={PARAMETERS}
          rows={row.parameters}
          keyOf={(one) => one.path}
        />
      )}
    </Panel>
  );
}

function Triggers({ row }: { row: Rule }) {
  const newest = row.triggers.find((one) => one.event_type === "RULE_BREACH");
  return (
    <Panel title="Last triggers" aside={<span className="text-meta text-muted">at most 20, newest first</span>}>
      {row.triggers.length === 0 ? (
        <Empty>It has never triggered here: no breach, no lockout.</Empty>
      ) : (
        <ul className="grid gap-2">
          {row.triggers.map((one) => (
            <li key={one.place.event_id}>
              <span className="flex flex-wrap items-center gap-2 text-muted">
                <Chip tone={one.event_type === "UNLOCK" ? "plain" : "safety"}>{kindWords(one.event_type)}</Chip>
                <Time at={one.as_of} />
                <Link to="/audit/$" params={{ _splat: placeOf(one.place) }} className="text-accent underline">
                  entry {one.place.seq}
                </Link>
                <span>by {one.actor}</span>
              </span>
              <span className="block">{one.rationale}</span>
              {one.acknowledged ? <AcknowledgedBy made={one.acknowledged} /> : null}
              {one === newest && one.acknowledged === null ? (
                <Seeing key={one.place.event_id} row={row} event_id={one.place.event_id} />
              ) : null}
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

/** The newest breach waits for somebody to say that they have seen it. */
function Seeing({ row, event_id }: { row: Rule; event_id: string }) {
  const { whyNot } = useScope();
  const [reason, setReason] = useState("");
  const why = whyNot("halt.pause", row.account.split("/")[1] ?? "");
  return (
    <div className="mt-1 flex flex-wrap items-end gap-3">
      <TextField
        label="What is done about it, for the record (may stay empty)"
        className="flex-1 basis-64"
        value={reason}
        maxLength={500}
        disabled={Boolean(why)}
        onValue={setReason}
      />
      <Acknowledge breach={{ account: row.account, rule_id: row.rule_id, event_id }} reason={reason} />
      <p className="basis-full text-meta text-muted">
        {why || "Nobody has yet. To acknowledge it changes no limit and releases no lock."}
      </p>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  );
}
