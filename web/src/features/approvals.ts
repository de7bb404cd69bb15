import type { Schemas } from "@/shared/api/client";
import type { Tone } from "@/shared/ui/Chip";

export type Approval = Schemas["ApprovalOut"];

export const STATUS_TONES: Record<string, Tone> = {
  requested: "warn",
  given: "accent",
  executing: "accent",
  executed: "plain",
  failed: "safety",
  refused: "plain",
  void: "plain",
  expired: "plain",
};

/** What a status means, for whoever waits. */
export const STATUS_WORDS: Record<string, string> = {
  requested: "waiting",
  given: "agreed, not carried out yet",
  executing: "being carried out",
  executed: "carried out",
  failed: "tried, and refused: nothing was done",
  refused: "refused",
  void: "void: something changed",
  expired: "expired",
};

const SEVERE = ["money", "live", "loosen"];
export const CLASS_WORDS: Record<string, string> = {
  money: "moves money",
  live: "towards live",
  loosen: "loosens",
  tighten: "tightens",
  run: "a run",
};

export function isSevere(one: Approval): boolean {
  return SEVERE.includes(one.klass);
}

export type Order = "severity" | "age";

/** Those that wait: the gravest first or the oldest first, the other one deciding among equals. */
export function queueOf(all: readonly Approval[], order: Order): Approval[] {
  const rank = (one: Approval) => (isSevere(one) ? SEVERE.indexOf(one.klass) : SEVERE.length);
  const age = (a: Approval, b: Approval) => a.created_at.localeCompare(b.created_at);
  return all
    .filter((one) => one.status === "requested")
    .sort((a, b) => (order === "age" ? age(a, b) || rank(a) - rank(b) : rank(a) - rank(b) || age(a, b)));
}

/** Those that have ended or are on their way, the last one first. */
export function decidedOf(all: readonly Approval[]): Approval[] {
  const at = (one: Approval) => one.votes.at(-1)?.at ?? one.created_at;
  return all.filter((one) => one.status !== "requested").sort((a, b) => at(b).localeCompare(at(a)));
}

/** Seconds until a request becomes void, never less than none. */
export function secondsLeft(one: Approval, now: number): number {
  return Math.max(0, (new Date(one.expires_at).getTime() - now) / 1_000);
}
