import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { DecisionDetail } from "@/features/DecisionDetail";
import {
  changeName,
  changesOf,
  decisionOf,
  kindWords,
  placeIn,
  placeOf,
  runOf,
  SEVERITY_TONES,
  valueWords,
} from "@/features/record";
import type { Schemas } from "@/shared/api/client";
import { entryQuery } from "@/shared/api/queries";
import { ruleValue } from "@/shared/format/numbers";
import { Chip, type Tone } from "@/shared/ui/Chip";
import { Facts } from "@/shared/ui/Facts";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

type Entry = Schemas["Entry"];
const PROOFS: Record<string, [string, Tone]> = {
  witnessed: ["signed and witnessed", "accent"],
  signed: ["signed, not witnessed yet", "accent"],
  not_signed: ["not signed yet", "unknown"],
};

export const Route = createFileRoute("/_desk/audit/$")({ component: OneEntry });

function OneEntry() {
  const { _splat = "" } = Route.useParams();
  const { firm, whyNot } = useScope();
  const at = placeIn(_splat);
  const why = whyNot("audit.read");
  const query = useQuery({
    ...entryQuery(firm, at?.chain_id ?? "", at?.seq ?? 1),
    enabled: at !== null && why === "",
  });
  return (
    <Page
      title={query.data ? kindWords(query.data.event_type).replace(/^./, (one) => one.toUpperCase()) : "Entry"}
      aside={
        <Link to="/audit" className="text-muted hover:text-fg">
          The record
        </Link>
      }
    >
      {why ? (
        <Empty>{why} The record is read by an analyst, a PM or an administrator.</Empty>
      ) : at === null ? (
        <Empty>An entry is named by its chain and its number, as in /audit/admin/{firm}/_firm/1.</Empty>
      ) : (
        <Loaded query={query} height={400}>
          {(entry) => <Whole entry={entry} />}
        </Loaded>
      )}
    </Page>
  );
}

function Whole({ entry }: { entry: Entry }) {
  const decision = decisionOf(entry);
  const changes = changesOf(entry, changeName(entry.event_type));
  const [proof, tone] = PROOFS[entry.proof] ?? [entry.proof, "unknown" as Tone];
  return (
    <div className="grid gap-4">
      <div className="grid gap-4 desk:grid-cols-[minmax(0,2fr)_minmax(0,1fr)]">
        <Panel
          title={entry.about ?? (entry.account.endsWith("/_firm") ? "The firm" : entry.account)}
          aside={<Chip tone={SEVERITY_TONES[entry.severity] ?? "plain"}>{entry.severity}</Chip>}
        >
          <div className="grid gap-3">
            <p>{entry.rationale}</p>
            {entry.redacted ? <p className="text-muted">Amounts are left out for your role.</p> : null}
            <Facts
              of={
                [
                  ["Happened", <Time key="as_of" at={entry.as_of} seconds />],
                  ["Recorded", <Time key="at" at={entry.recorded_at} seconds />],
                  [
                    "By",
                    <Link
                      key="by"
                      to="/audit"
                      search={{ actor: entry.actor.id }}
                      className="text-accent hover:underline"
                    >
                      {entry.actor.type} {entry.actor.id}
                    </Link>,
                  ],
                  [
                    "Rule",
                    entry.rule_id ? (
                      <Link
                        key="rule"
                        to="/constraints/$rule"
                        params={{ rule: entry.rule_id }}
                        className="text-accent hover:underline"
                      >
                        {entry.rule_id}
                      </Link>
                    ) : null,
                  ],
                  ["Value", <Measured key="value" entry={entry} />],
                  [
                    "Because",
                    entry.reason_codes.length > 0
                      ? entry.reason_codes.map((code) => code.replaceAll("_", " ").toLowerCase()).join(", ")
                      : null,
                  ],
                  ["Environment", entry.env.replaceAll("_", " ")],
                ].filter(([name]) => name !== "Value" || isMeasured(entry)) as never
              }
            />
            <Links entry={entry} />
          </div>
        </Panel>
        <Panel title="Where it stands" aside={<Chip tone={tone}>{proof}</Chip>}>
          <div className="grid gap-3">
            <Facts
              of={[
                [
                  "Chain",
                  <Link
                    key="chain"
                    to="/audit"
                    search={{ chain: entry.place.chain_id }}
                    className="break-all text-accent hover:underline"
                  >
                    {entry.place.chain_id}
                  </Link>,
                ],
                ["Number", entry.place.seq],
                [
                  "Follows",
                  entry.previous === null ? (
                    "nothing: it is the first"
                  ) : (
                    <Link
                      key="previous"
                      to="/audit/$"
                      params={{ _splat: placeOf({ chain_id: entry.place.chain_id, seq: entry.previous }) }}
                      className="text-accent hover:underline"
                    >
                      number {entry.previous}
                    </Link>
                  ),
                ],
                ["Stored", entry.place.stored === "sealed" ? "in a sealed file" : "not sealed yet"],
                [
                  "Hash",
                  <code key="hash" className="break-all">
                    {entry.place.entry_hash}
                  </code>,
                ],
                [
                  "Bound to",
                  <code key="prev" className="break-all">
                    {entry.place.prev_hash}
                  </code>,
                ],
                [
                  "Id",
                  <code key="id" className="break-all">
                    {entry.event_id}
                  </code>,
                ],
                [
                  "Configuration",
                  entry.config_hash ? (
                    <code key="config" className="break-all">
                      {entry.config_hash}
                    </code>
                  ) : null,
                ],
                ["Program", entry.code_version],
              ]}
            />
            {entry.follows ? null : (
              <p role="alert" className="text-safety">
                It is not bound to the entry before it: verify the record.
              </p>
            )}
          </div>
        </Panel>
      </div>
      {changes.length > 0 ? (
        <Panel title="Before and after">
          <Table label="Before and after" rows={changes} keyOf={(one) => one.key} columns={CHANGES} dense />
        </Panel>
      ) : null}
      {decision ? (
        <Panel title={entry.event_type === "DECISION" ? "The decision" : "The decision it belongs to"}>
          <DecisionDetail account={decision.account} id={decision.decision_id} />
        </Panel>
      ) : null}
      <Panel title="As recorded">
        <details>
          <summary className="cursor-pointer text-muted">Everything it says</summary>
          <pre
            tabIndex={0}
            className="mt-2 max-h-[60dvh] overflow-auto rounded-control border border-line bg-bg p-2 font-mono text-meta"
          >
            {JSON.stringify(entry.payload, null, 2)}
          </pre>
        </details>
      </Panel>
    </div>
  );
}

const CHANGES: readonly Column<ReturnType<typeof changesOf>[number]>[] = [
  { name: "What", cell: (one) => <code className="text-meta break-all">{one.key}</code> },
  { name: "Before", cell: (one) => <span title={String(one.before)}>{valueWords(one.before)}</span> },
  { name: "After", cell: (one) => <span title={String(one.after)}>{valueWords(one.after)}</span> },
];

function isMeasured(entry: Entry): boolean {
  return "value" in entry.payload && "limit" in entry.payload;
}

/** What a rule measured against its limit, where the entry says so. */
function Measured({ entry }: { entry: Entry }) {
  const { value, limit } = entry.payload as { value?: string | null; limit?: string | null };
  return (
    <>
      {ruleValue(value ?? null, "")} <span className="text-muted">against {ruleValue(limit ?? null, "")}</span>
    </>
  );
}

function Links({ entry }: { entry: Entry }) {
  const said = entry.payload as Record<string, unknown>;
  const text = (name: string) => (typeof said[name] === "string" && said[name] ? said[name] : null);
  const [request, proposal] = [text("request_id"), text("proposal_id")];
  const run = text("produced_run") ?? runOf(entry);
  const look = "text-accent underline";
  const related = entry.correlation_id || request;
  return (
    <p className="flex flex-wrap gap-x-4 gap-y-1">
      {request ? (
        <Link to="/approvals/$id" params={{ id: request }} className={look}>
          The request
        </Link>
      ) : null}
      {proposal ? (
        <Link to="/basket/$id" params={{ id: proposal }} className={look}>
          The proposal
        </Link>
      ) : null}
      {run ? (
        <Link to="/runs/$id" params={{ id: run }} className={look}>
          The run
        </Link>
      ) : null}
      {entry.event_type.startsWith("CONFIG_") ? (
        <Link to="/configs" className={look}>
          Versions of the configuration
        </Link>
      ) : null}
      {related ? (
        <Link to="/audit" search={{ id: related }} className={look}>
          Everything that belongs to it
        </Link>
      ) : null}
    </p>
  );
}
