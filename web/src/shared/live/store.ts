import type { QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { serverNow } from "../clock";
import { type Frame, type LinkState, LiveSocket } from "./socket";

export type Row = { key: string; frame: Frame } | { key: string; gap: string; ts: number };
export type Live = {
  state: LinkState;
  reason: string;
  heardAt: number;
  rows: readonly Row[];
  count: number;
  alarms: readonly Frame[];
};

const KEPT = 500;
const BATCH_MS = 100;
const URGENT = new Set(["constraint.breach", "mode.update", "resync"]);
/** What to ask for again when a message of a type says that it has changed; by the first part of the query's key. */
const ABOUT: Record<string, readonly string[]> = {
  "pm.action": ["accounts", "portfolio", "constraints", "decisions", "live", "regimes", "equity"],
  "constraint.breach": ["constraints", "accounts", "live", "breaches"],
  "constraint.acknowledged": ["breaches", "constraints", "audit"],
  "mode.update": ["accounts", "live", "controls", "constraints", "breaches"],
  "proposal.update": ["approvals", "proposals"],
  "proposal.comment": ["approvals"],
  "config.loaded": ["configs", "accounts", "constraints"],
  "run.status": ["runs", "jobs", "job"],
  "run.log": ["job"],
  "audit.append": ["audit", "controls", "live", "verification"],
  resync: [],
};
const AGAIN_MS = 1_000;

const NOTHING: Live = { state: "connecting", reason: "", heardAt: 0, rows: [], count: 0, alarms: [] };

/** What a firm's channel has told, newest first; ordinary rows come at most ten times a second, urgent ones at once. */
export class LiveStore {
  private now: Live = NOTHING;
  private waiting: Row[] = [];
  private come = 0;
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly due = new Map<string, ReturnType<typeof setTimeout>>();
  private socket: LiveSocket | null = null;
  private gaps = 0;
  private flushed = Number.NEGATIVE_INFINITY;

  constructor(private readonly queries: QueryClient) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): Live => this.now;

  follow(firm: string): () => void {
    this.now = NOTHING;
    this.waiting = [];
    this.come = 0;
    const socket = new LiveSocket(firm, {
      onFrame: (frame) => this.take(frame),
      onState: (state, reason) => this.became(state, reason),
      onGap: () => this.gap("A message got lost on the way; everything shown is read again."),
    });
    this.socket = socket;
    socket.open();
    const back = () => this.now.state === "offline" && socket.hurry();
    window.addEventListener("online", back);
    document.addEventListener("visibilitychange", back);
    return () => {
      window.removeEventListener("online", back);
      document.removeEventListener("visibilitychange", back);
      socket.close();
      this.socket = null;
    };
  }

  hurry(): void {
    this.socket?.hurry();
  }

  /** Taken in as from the socket; also what tests feed. */
  take(frame: Frame): void {
    this.now = { ...this.now, heardAt: serverNow() };
    if (frame.type === "hb") return;
    if (frame.type === "resync") this.gap("Messages are missing here; everything shown is read again.");
    else this.wait({ key: `${frame.firm}-${frame.seq}`, frame });
    for (const about of ABOUT[frame.type] ?? []) this.again(about);
    if (frame.type === "constraint.breach") this.alarm(frame);
    if (URGENT.has(frame.type)) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), Math.max(0, this.flushed + BATCH_MS - performance.now()));
  }

  /** No more wait than are shown: the clock of a page in the background may stand still for a minute. */
  private wait(row: Row): void {
    this.come += 1;
    this.waiting.push(row);
    if (this.waiting.length >= 2 * KEPT) this.waiting = this.waiting.slice(-KEPT);
  }

  private alarm(frame: Frame): void {
    const id = (one: Frame) => (one.data as { breach_id?: string }).breach_id;
    if (this.now.alarms.some((one) => id(one) === id(frame))) return;
    this.now = { ...this.now, alarms: [frame, ...this.now.alarms].slice(0, 50) };
  }

  private gap(text: string): void {
    this.gaps += 1;
    this.wait({ key: `gap-${this.gaps}`, gap: text, ts: Date.now() });
    void this.queries.invalidateQueries();
    this.flush();
  }

  private became(state: LinkState, reason: string): void {
    if (state === this.now.state && reason === this.now.reason) return;
    this.now = { ...this.now, state, reason };
    // rights may be others, or the session may have ended
    if (state === "offline" || state === "refused") void this.queries.invalidateQueries({ queryKey: ["me"] });
    this.tell();
  }

  private again(about: string): void {
    if (this.due.has(about)) return;
    const look = () => {
      // an answer that is on its way may be older than the message, and is not cut off: a slow one would never come
      if (this.queries.isFetching({ queryKey: [about] }) > 0) return wait();
      this.due.delete(about);
      void this.queries.invalidateQueries({ queryKey: [about] });
    };
    const wait = () => void this.due.set(about, setTimeout(look, AGAIN_MS));
    wait();
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.flushed = performance.now();
    if (this.waiting.length > 0) {
      const rows = [...this.waiting.reverse(), ...this.now.rows].slice(0, KEPT);
      this.now = { ...this.now, rows, count: this.come };
      this.waiting = [];
    }
    this.tell();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

const whole = (live: Live): Live => live;

/** What the channel tells; `pick` names the part that is shown, so that nothing else paints it again. */
export function useLive(store: LiveStore): Live;
export function useLive<T>(store: LiveStore, pick: (live: Live) => T): T;
export function useLive(store: LiveStore, pick: (live: Live) => unknown = whole): unknown {
  return useSyncExternalStore(store.subscribe, () => pick(store.snapshot()));
}
