import type { Schemas } from "@/shared/api/client";
import type { Frame } from "@/shared/live/socket";
import type { Row } from "@/shared/live/store";
import type { Tone } from "@/shared/ui/Chip";

export const KINDS: Record<string, [string, Tone]> = {
  "pm.action": ["decision", "accent"],
  "constraint.update": ["limits", "plain"],
  "constraint.breach": ["breach", "safety"],
  "constraint.acknowledged": ["seen", "plain"],
  "mode.update": ["state", "warn"],
  "proposal.update": ["request", "warn"],
  "proposal.comment": ["comment", "plain"],
  "run.status": ["run", "plain"],
  "run.log": ["log", "plain"],
  "config.loaded": ["config", "plain"],
  "audit.append": ["record", "plain"],
};
/** What comes through a pause. */
export const URGENT = new Set(["constraint.breach", "mode.update"]);
export const OUTCOMES = ["approve", "resize", "hold", "block", "reduce_only", "flatten", "lock"] as const;

export type StreamSearch = { kind?: string; rule?: string; outcome?: string; open?: string };

/** What of an address is a question that the stream can be asked. */
export function streamSearch(said: Record<string, unknown>): StreamSearch {
  const fits: [keyof StreamSearch, (value: string) => boolean][] = [
    ["kind", (value) => value in KINDS],
    ["rule", (value) => /^[A-Z]{1,4}-?\d{1,3}$/.test(value)],
    ["outcome", (value) => (OUTCOMES as readonly string[]).includes(value)],
    ["open", (value) => /^[a-z0-9_-]{1,64}\.[0-9a-f]{64}$/.test(value)],
  ];
  return Object.fromEntries(
    fits.flatMap(([name, holds]) => (typeof said[name] === "string" && holds(said[name]) ? [[name, said[name]]] : [])),
  );
}

/** Whether a message is asked for: one that tells of no rule or no decision is not, where these are asked for. */
export function passes(frame: Frame, { kind, rule, outcome }: StreamSearch, account: string): boolean {
  if (kind && frame.type !== kind) return false;
  if (account !== "" && frame.account && frame.account !== account) return false;
  if (outcome && !(frame.type === "pm.action" && frame.data.outcome === outcome)) return false;
  return !rule || rulesOf(frame).includes(rule);
}

function rulesOf(frame: Frame): readonly string[] {
  if (frame.type === "pm.action") return frame.data.binding_rules;
  if (frame.type === "constraint.breach" || frame.type === "constraint.acknowledged") return [frame.data.rule_id];
  return frame.type === "constraint.update" ? frame.data.closest.map((one) => one.rule_id) : [];
}

export type Told =
  | { kind: "frame"; key: string; frame: Frame }
  | { kind: "gap"; key: string; text: string }
  | { kind: "past"; key: string; row: Schemas["DecisionRow"] };

/** What is told now over what was decided before, each decision once; gaps stay where they were. */
export function streamOf(
  live: readonly Row[],
  past: readonly Schemas["DecisionRow"][],
  search: StreamSearch,
  account: string,
): Told[] {
  const told = live.flatMap((row): Told[] => {
    if (!("frame" in row)) return [{ kind: "gap", key: row.key, text: row.gap }];
    return passes(row.frame, search, account) ? [{ kind: "frame", key: row.key, frame: row.frame }] : [];
  });
  const known = new Set(
    live.flatMap((row) =>
      "frame" in row && row.frame.type === "pm.action" ? [`${row.frame.data.chain_id}/${row.frame.data.seq}`] : [],
    ),
  );
  const wants = search.kind === undefined || search.kind === "pm.action";
  const before = wants ? past.filter((row) => !known.has(`${row.place.chain_id}/${row.place.seq}`)) : [];
  return [...told, ...before.map((row): Told => ({ kind: "past", key: row.place.event_id, row }))];
}

/** What a message tells, in one line. */
export function wordsOf(frame: Frame): string {
  const data = frame.data as Record<string, unknown>;
  for (const name of ["rationale", "reason", "detail", "line"]) {
    if (typeof data[name] === "string" && data[name]) return data[name];
  }
  if (frame.type === "constraint.update") {
    return frame.data.closest.map((one) => `${one.rule_id} ${one.outcome.replaceAll("_", " ")}`).join(" · ");
  }
  if (frame.type === "constraint.acknowledged") return `${frame.data.rule_id} acknowledged by ${frame.data.by}`;
  if (frame.type === "proposal.comment") return `${frame.data.by} commented on request ${frame.data.request_id}`;
  if (frame.type === "config.loaded") return frame.data.loaded ? "the engine has loaded it" : "put in force";
  return [data.kind, data.status, data.stage].filter((one) => typeof one === "string" && one).join(" · ");
}

/** How the address names a decision: its account and its id. */
export function openOf(account: string, decision_id: string | null): string | undefined {
  return decision_id ? `${account.split("/")[1] ?? account}.${decision_id}` : undefined;
}
