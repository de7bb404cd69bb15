import { describe, expect, it } from "vitest";
import {
  changesOf,
  decisionOf,
  edge,
  entriesAsked,
  lastOf,
  lastOfEach,
  placeIn,
  placeOf,
  recordSearch,
  rowsOf,
  runOf,
} from "./record";

describe("the record in the address", () => {
  it("keeps what can be asked for, and drops the rest", () => {
    expect(recordSearch({ kind: "DECISION", rule: "VT-01", from: "2026-01-02", id: "rq-1", of: "_firm" })).toEqual({
      kind: "DECISION",
      rule: "VT-01",
      from: "2026-01-02",
      id: "rq-1",
      of: "_firm",
    });
    expect(
      recordSearch({ kind: "decision", rule: "x", from: "yesterday", id: 'a"b', tab: "other", more: "1" }),
    ).toEqual({});
    expect(recordSearch({ id: 42 })).toEqual({ id: "42" }); // what looks like a number is still an id
  });

  it("asks with whole days, the last one to its end", () => {
    expect(entriesAsked("north", { of: "core", from: "2026-01-02", to: "2026-01-02", kind: "FILL" })).toEqual({
      account: "north/core",
      kind: ["FILL"],
      from: "2026-01-02T00:00:00Z",
      to: "2026-01-02T23:59:59.999999999Z",
    });
    expect(edge("2026-01-02T10:00Z", true)).toBe("2026-01-02T10:00Z");
  });

  it("names an entry by its chain and its number, both ways", () => {
    const at = { chain_id: "dry_run/bt-1/north-pier/core", seq: 48 };
    expect(placeIn(placeOf(at))).toEqual(at);
    expect(["", "12", "admin/x/_firm", "admin/x/_firm/0", "admin/x/_firm/-1"].map(placeIn)).toEqual(
      Array(5).fill(null),
    );
  });
});

describe("an entry", () => {
  it("tells what changed hands key by key, or as one value", () => {
    expect(changesOf({ before: { mode: "dry_run" }, after: { mode: "shadow", x: 1 } } as never, "State")).toEqual([
      { key: "mode", before: "dry_run", after: "shadow" },
      { key: "x", before: null, after: 1 },
    ]);
    expect(changesOf({ before: "NORMAL", after: "LOCKED" } as never, "State")).toEqual([
      { key: "State", before: "NORMAL", after: "LOCKED" },
    ]);
    expect(changesOf({ before: null, after: null } as never, "State")).toEqual([]);
  });

  it("belongs to a decision only where its id is one, and to a run only where it has a page", () => {
    const id = "a".repeat(64);
    const entry = { account: "north/core", event_type: "FILL", correlation_id: id };
    expect(decisionOf(entry)).toEqual({ account: "core", decision_id: id });
    expect(decisionOf({ ...entry, correlation_id: "rq-1" })).toBeNull();
    expect(decisionOf({ ...entry, account: "north/_firm" })).toBeNull();
    expect(runOf({ env: "dry_run", run_id: "paced-1" })).toBe("paced-1");
    expect(runOf({ env: "admin", run_id: "d-2026-11-27" })).toBeNull();
    expect(runOf({ env: "shadow", run_id: "d-2026-11-27" })).toBeNull();
  });
});

describe("the last change", () => {
  const rows = rowsOf({
    columns: ["path", "at"],
    rows: [
      ["", "first"],
      ["risk.a", "1"],
      ["risk.b", "2"],
      ["risk.a", "3"],
    ],
  });
  it("is the newest of what is looked at, else the first sight, else nothing", () => {
    expect(lastOf(rows, (path) => path === "risk.a")?.at).toBe("3");
    expect(lastOf(rows, (path) => path === "mode")?.at).toBe("first");
    expect(lastOf([], () => true)).toBeNull();
  });
  it("is known for every key, the newest first", () => {
    const found = lastOfEach(["", "risk.a", "risk.c", "risk.b", "risk.a"].map((path, n) => ({ path, at: String(n) })));
    expect(found.map((row) => row.at)).toEqual(["4", "3", "2"]);
  });
});
