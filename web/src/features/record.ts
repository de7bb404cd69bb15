import type { Schemas } from "@/shared/api/client";
import type { Tone } from "@/shared/ui/Chip";

export const SEVERITY_TONES: Record<string, Tone> = {
  info: "plain",
  notice: "accent",
  warning: "warn",
  critical: "safety",
};

/** Kinds of entries, in the order in which somebody would look for them. */
export const KIND_WORDS: Record<string, string> = {
  DECISION: "decision",
  RULE_BREACH: "breach",
  BREACH_ACKNOWLEDGED: "breach acknowledged",
  LATCH: "latch",
  UNLOCK: "unlock",
  MODE_CHANGE: "change of state",
  KILL: "halt",
  FILL: "fills",
  ORDER_SENT: "order sent",
  ORDER_ACKNOWLEDGED: "order acknowledged",
  ORDER_CANCELLED: "order cancelled",
  ORDER_REJECTED: "order rejected",
  CASH_FLOW: "cash flow",
  ATTEMPT: "attempt",
  RECON: "reconciliation",
  CONFIG_ACCEPTED: "configuration accepted",
  CONFIG_CHANGED: "configuration changed",
  CONFIG_REFUSED: "configuration refused",
  OVERRIDE: "override",
  APPROVAL_REQUESTED: "request",
  APPROVAL_GIVEN: "agreement",
  APPROVAL_REFUSED: "refusal",
  APPROVAL_VOID: "void request",
  APPROVAL_COMMENTED: "comment",
  COMMAND: "command",
  PROPOSAL: "proposal",
  RUN: "run",
  LOGIN: "login",
  ACCESS: "access",
  DENIED: "denied",
  EXPORT: "export",
  KEY: "key",
  PURGE: "purge",
  HEARTBEAT: "heartbeat",
  DEGRADED: "degraded",
};

export function kindWords(kind: string): string {
  return KIND_WORDS[kind] ?? kind.replaceAll("_", " ").toLowerCase();
}

/** What of the record is looked at; everything of it is in the address. */
export type RecordSearch = {
  tab?: "registers" | "proof" | "exports";
  register?: string;
  kind?: string;
  /** An account, or `_firm` for what the firm itself did; without it everything. */
  of?: string;
  actor?: string;
  rule?: string;
  id?: string;
  run?: string;
  chain?: string;
  from?: string;
  to?: string;
};

const SHAPES: Record<keyof RecordSearch, RegExp> = {
  tab: /^(registers|proof|exports)$/,
  register: /^[a-z][a-z-]{0,40}$/,
  kind: /^[A-Z_]{2,40}$/,
  of: /^[a-z0-9_][a-z0-9_-]{0,63}$/,
  actor: /^[\w:.@-]{1,140}$/,
  rule: /^[A-Z]{1,4}-?\d{1,3}$/,
  id: /^[\w:.-]{1,140}$/,
  run: /^[\w.-]{1,140}$/,
  chain: /^[\w./-]{1,140}$/,
  from: /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?Z)?$/,
  to: /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?Z)?$/,
};

/** What of an address is a question that can be asked. */
export function recordSearch(said: Record<string, unknown>): RecordSearch {
  const kept = Object.entries(SHAPES).filter(([name, shape]) => {
    const value = said[name];
    return (typeof value === "string" || typeof value === "number") && shape.test(String(value));
  });
  return Object.fromEntries(kept.map(([name]) => [name, String(said[name])]));
}

/** The beginning of a day, or its end; an instant as it is. Days are UTC. */
export function edge(text: string | undefined, end: boolean): string | undefined {
  if (text === undefined) return undefined;
  return text.length > 10 ? text : `${text}T${end ? "23:59:59.999999999" : "00:00:00"}Z`;
}

/** The filters as the API takes them. */
export function entriesAsked(firm: string, search: RecordSearch): Record<string, string | string[]> {
  const asked: Record<string, string | string[] | undefined> = {
    kind: search.kind ? [search.kind] : undefined,
    account: search.of ? `${firm}/${search.of}` : undefined,
    actor_id: search.actor,
    rule_id: search.rule,
    named: search.id,
    run_id: search.run,
    chain_id: search.chain,
    from: edge(search.from, false),
    to: edge(search.to, true),
  };
  return Object.fromEntries(Object.entries(asked).filter((pair): pair is [string, string] => pair[1] !== undefined));
}

/** Where an entry is in the address: its chain and its number. */
export function placeOf(at: { chain_id: string; seq: number }): string {
  return `${at.chain_id}/${at.seq}`;
}

/** The chain and the number that an address names; null where it names none. */
export function placeIn(address: string): { chain_id: string; seq: number } | null {
  const found = /^([\w./-]{1,140})\/([1-9]\d{0,15})$/.exec(address);
  return found?.[1] && found[2] ? { chain_id: found[1], seq: Number(found[2]) } : null;
}

export type Change = { key: string; before: unknown; after: unknown };

/** What changed hands, key by key; a lone value under the name it is given. */
export function changesOf(entry: Pick<Schemas["Entry"], "before" | "after">, name: string): Change[] {
  const { before, after } = entry as { before: unknown; after: unknown };
  if (isRecord(before) || isRecord(after)) {
    const [from, to] = [isRecord(before) ? before : {}, isRecord(after) ? after : {}];
    return [...new Set([...Object.keys(from), ...Object.keys(to)])].map((key) => ({
      key,
      before: from[key] ?? null,
      after: to[key] ?? null,
    }));
  }
  return before === null && after === null ? [] : [{ key: name, before, after }];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as text; nothing where there is none. */
export function valueWords(value: unknown): string {
  if (value === null || value === undefined || value === "") return "nothing";
  if (typeof value === "string" && /^[0-9a-f]{64}$/.test(value)) return `${value.slice(0, 12)}…`;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const OF_CHANGE: Record<string, string> = {
  DECISION: "State",
  DEGRADED: "State",
  MODE_CHANGE: "State",
  CONFIG_ACCEPTED: "Configuration",
  CONFIG_CHANGED: "Configuration",
};

export function changeName(kind: string): string {
  return OF_CHANGE[kind] ?? "Value";
}

/** Whose decision an entry belongs to, where it says so; its id is 64 hexadecimal digits. */
export function decisionOf(entry: {
  account: string;
  event_type: string;
  correlation_id: string;
  payload?: Record<string, unknown>;
}): { account: string; decision_id: string } | null {
  const account = entry.account.split("/")[1] ?? "";
  const said = entry.payload?.decision_id;
  const decision_id = typeof said === "string" && said ? said : entry.correlation_id;
  return account !== "_firm" && /^[0-9a-f]{64}$/.test(decision_id) ? { account, decision_id } : null;
}

/** A run that has a page: an act of the firm belongs to a day, not to one. */
export function runOf(entry: { env: string; run_id: string }): string | null {
  return entry.env !== "admin" && entry.run_id !== "" && !/^d-\d{4}-/.test(entry.run_id) ? entry.run_id : null;
}

export type RegisterRow = Record<string, unknown>;

/** Rows of a register by the names of their columns. */
export function rowsOf(table: Pick<Schemas["RegisterTable"], "columns" | "rows">): RegisterRow[] {
  return table.rows.map((row) => Object.fromEntries(table.columns.map((column, n) => [column, row[n] ?? null])));
}

/** The last change of every key, the newest first; a key that never changed has none. */
export function lastOfEach(changes: readonly RegisterRow[]): RegisterRow[] {
  const last = new Map<string, RegisterRow>();
  for (const one of changes) {
    if (one.path === "") continue;
    const key = String(one.path);
    last.delete(key); // so that it stands where its last change does
    last.set(key, one);
  }
  return [...last.values()].reverse();
}

/** The last change of what is looked at; where it never changed, the first sight of the account; null where none is. */
export function lastOf(changes: readonly RegisterRow[], concerns: (path: string) => boolean): RegisterRow | null {
  const own = changes.filter((one) => one.path !== "" && concerns(String(one.path)));
  return own.at(-1) ?? changes.filter((one) => one.path === "").at(-1) ?? null;
}
