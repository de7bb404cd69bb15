import { describe, expect, it } from "vitest";
import type { Frame } from "@/shared/live/socket";
import { decidedOf, queueOf } from "./approvals";
import { movedOf, stepsOf } from "./decision";
import { openOf, passes, streamOf, streamSearch } from "./stream";

const action = (seq: number, more = {}): Frame =>
  ({
    type: "pm.action",
    account: "north/core",
    data: { chain_id: "dry_run/r/north/core", seq, outcome: "resize", binding_rules: ["VT-01"], ...more },
  }) as never;
const past = (seq: number) => ({ place: { chain_id: "dry_run/r/north/core", seq, event_id: `e${seq}` } }) as never;

describe("the stream", () => {
  it("asks for what it can be asked, and opens a decision by its account and its id", () => {
    const open = openOf("north/core", "a".repeat(64));
    expect(streamSearch({ kind: "pm.action", rule: "VT-01", outcome: "hold", open })).toEqual({
      kind: "pm.action",
      rule: "VT-01",
      outcome: "hold",
      open,
    });
    expect(streamSearch({ kind: "hb", rule: "all", outcome: "no", open: "core" })).toEqual({});
    expect(openOf("north/core", "")).toBeUndefined();
  });

  it("leaves out what does not tell of the rule, the decision or the account", () => {
    expect(passes(action(1), { rule: "VT-01", outcome: "resize" }, "north/core")).toBe(true);
    expect(passes(action(1), { rule: "CC-01" }, "")).toBe(false);
    expect(passes(action(1), { outcome: "hold" }, "")).toBe(false);
    expect(passes(action(1), {}, "north/other")).toBe(false);
    const log = { type: "run.log", account: null, data: { line: "x" } } as never;
    expect(passes(log, {}, "north/core")).toBe(true);
    expect(passes(log, { outcome: "hold" }, "")).toBe(false);
  });

  it("tells each decision once, gaps stay where they were, and what is past comes with decisions alone", () => {
    const live = [
      { key: "2", frame: action(9) },
      { key: "gap", gap: "lost", ts: 0 },
    ];
    const told = streamOf(live, [past(9), past(8)], {}, "");
    expect(told.map((one) => one.key)).toEqual(["2", "gap", "e8"]);
    expect(streamOf(live, [past(8)], { kind: "run.log" }, "").map((one) => one.key)).toEqual(["gap"]);
  });
});

describe("a decision", () => {
  const rule = (rule_id: string, guard: number, outcome: string) => ({ rule_id, guard, outcome }) as never;
  const target = (symbol: string, held: number, proposed: number, allowed: number, rules: string[] = []) =>
    ({
      symbol,
      current_weight: held,
      proposed_weight: proposed,
      target_weight: allowed,
      limiting_rules: rules,
    }) as never;

  it("goes guard by guard: what spoke, how many passed, what was kept back", () => {
    const steps = stepsOf({
      rules: [
        rule("VT-01", 4, "bound"),
        rule("DS-01", 1, "pass"),
        rule("CC-01", 5, "unknown"),
        rule("CC-02", 5, "off"),
      ],
      targets: [target("KO", 0, 0.2, 0.1, ["VT-01"]), target("PG", 0, 0.1, 0.1)],
    });
    expect(steps.map((one) => [one.guard, one.rules.length, one.passed, one.symbols])).toEqual([
      [1, 0, 1, []],
      [4, 1, 0, ["KO"]],
      [5, 1, 0, []],
    ]);
  });

  it("shows what moves, the largest step first", () => {
    const rows = [target("A", 0.1, 0.1, 0.1), target("B", 0.1, 0.2, 0.15), target("C", 0.3, 0, 0)];
    expect(movedOf(rows).map((one) => one.symbol)).toEqual(["C", "B"]);
  });
});

describe("requests", () => {
  const asked = (request_id: string, klass: string, created_at: string, status = "requested") =>
    ({ request_id, klass, created_at, status, votes: [] }) as never;
  const all = [
    asked("old", "run", "2026-01-01"),
    asked("money", "money", "2026-01-03"),
    asked("looser", "loosen", "2026-01-02"),
    asked("done", "money", "2026-01-04", "executed"),
    asked("before", "money", "2026-01-01", "void"),
  ];
  const ids = (found: readonly { request_id: string }[]) => found.map((one) => one.request_id);
  it("wait by severity or by age, and are decided newest first", () => {
    expect(ids(queueOf(all, "severity"))).toEqual(["money", "looser", "old"]);
    expect(ids(queueOf(all, "age"))).toEqual(["old", "looser", "money"]);
    expect(ids(decidedOf(all))).toEqual(["done", "before"]);
  });
});
