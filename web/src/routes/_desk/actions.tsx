import { useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { DecisionsTable } from "@/features/decisions";
import { decisionsQuery } from "@/shared/api/queries";
import { nsToIso } from "@/shared/format/time";
import type { Frame } from "@/shared/live/socket";
import { type Row, useLive } from "@/shared/live/store";
import { Button } from "@/shared/ui/Button";
import { Chip, type Tone } from "@/shared/ui/Chip";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/actions")({ component: Actions });

const KINDS: Record<string, [string, Tone]> = {
  "pm.action": ["decision", "accent"],
  "constraint.update": ["limits", "plain"],
  "constraint.breach": ["breach", "safety"],
  "mode.update": ["state", "warn"],
  "proposal.update": ["request", "warn"],
  "run.status": ["run", "plain"],
  "run.log": ["log", "plain"],
  "config.loaded": ["config", "plain"],
  "audit.append": ["record", "plain"],
};
const URGENT = new Set(["constraint.breach", "mode.update"]);
const SHOWN = 60;

function Actions() {
  const { firm, account, chosen, live } = useScope();
  const told = useLive(live);
  const [paused, setPaused] = useState(false);
  const [kind, setKind] = useState("");
  const held = useRef<{ rows: readonly Row[]; count: number } | null>(null);
  if (!paused) held.current = null;
  else held.current ??= { rows: told.rows, count: told.count };
  const since = held.current ? told.count - held.current.count : 0;
  const urgent = held.current
    ? told.rows.slice(0, since).filter((row) => "frame" in row && URGENT.has(row.frame.type))
    : [];
  const rows = [...urgent, ...(held.current?.rows ?? told.rows)]
    .filter((row) => !("frame" in row) || passes(row.frame, kind, chosen ? `${firm}/${chosen}` : ""))
    .slice(0, SHOWN);
  const query = useQuery({ ...decisionsQuery(firm, chosen ? account : undefined, 50), enabled: firm !== "" });
  return (
    <Page
      title="Actions"
      aside={
        <span className="flex items-center gap-2">
          <select
            aria-label="Kind"
            value={kind}
            onChange={(event) => setKind(event.target.value)}
            className="h-8 rounded-control border border-line bg-surface px-2 max-desk:h-11"
          >
            <option value="">Everything</option>
            {Object.entries(KINDS).map(([type, [name]]) => (
              <option key={type} value={type}>
                {name}
              </option>
            ))}
          </select>
          <Button onClick={() => setPaused(!paused)} aria-pressed={paused}>
            {paused ? `Go on (${since} new)` : "Pause"}
          </Button>
        </span>
      }
    >
      <div className="grid gap-4">
        <Panel
          title="As it happens"
          aside={<span className="text-meta text-muted">{told.count} since this page was opened</span>}
        >
          {rows.length === 0 ? (
            <p className="py-2 text-muted">
              Nothing has happened since this page was opened. What was decided before is below.
            </p>
          ) : (
            <ol aria-live="off" className="min-h-40">
              {rows.map((row) => (
                <li key={row.key} className="grid min-h-8 items-center border-b border-line/60 py-1 last:border-0">
                  {"frame" in row ? <Told frame={row.frame} /> : <span className="text-warn">{row.gap}</span>}
                </li>
              ))}
            </ol>
          )}
        </Panel>
        <Panel title={chosen ? `Decisions of ${chosen}` : "Decisions"}>
          <Loaded
            query={query}
            height={400}
            empty={{ when: (d) => d.items.length === 0, why: "No decisions in this window." }}
          >
            {(data) => <DecisionsTable rows={data.items} label="Decisions, the newest first" />}
          </Loaded>
        </Panel>
      </div>
    </Page>
  );
}

function passes(frame: Frame, kind: string, account: string): boolean {
  if (kind && frame.type !== kind) return false;
  return account === "" || !frame.account || frame.account === account;
}

function Told({ frame }: { frame: Frame }) {
  const [name, tone] = KINDS[frame.type] ?? [frame.type, "plain" as Tone];
  return (
    <div className="grid grid-cols-[auto_72px_minmax(0,1fr)] items-center gap-x-3 tablet:grid-cols-[150px_80px_150px_minmax(0,1fr)]">
      <span className="text-muted">
        <Time at={nsToIso(frame.ts)} />
      </span>
      <span>
        <Chip tone={tone}>{name}</Chip>
      </span>
      <span className="truncate max-tablet:hidden">{frame.account?.split("/")[1] ?? ""}</span>
      <span className="truncate max-tablet:col-span-3" title={wordsOf(frame)}>
        {wordsOf(frame)}
      </span>
    </div>
  );
}

function wordsOf(frame: Frame): string {
  const data = frame.data as Record<string, unknown>;
  for (const name of ["rationale", "reason", "detail", "line"]) {
    if (typeof data[name] === "string" && data[name]) return data[name];
  }
  if (frame.type === "constraint.update") {
    const closest = data.closest as { rule_id: string; outcome: string }[];
    return closest.map((one) => `${one.rule_id} ${one.outcome}`).join(" · ");
  }
  return [data.kind, data.status, data.stage].filter((one) => typeof one === "string" && one).join(" · ");
}
