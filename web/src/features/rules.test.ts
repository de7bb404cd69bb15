import { describe, expect, it } from "vitest";
import { headroomOf, staleness, stateOf } from "./rules";

describe("how a rule is told", () => {
  it("puts an open lockout and what is not known before everything else", () => {
    expect(stateOf({ state: "pass", holds: true })).toEqual({ word: "locks", tone: "safety" });
    expect(stateOf({ state: "unknown", holds: false }).tone).toBe("safety");
    expect(stateOf({ state: "bound", holds: false })).toEqual({ word: "binds", tone: "warn" });
    expect(stateOf({ state: "never_evaluated", holds: false })).toEqual({ word: "never evaluated", tone: "unknown" });
  });

  it("says what is left, or how far it is beyond", () => {
    expect(headroomOf({ headroom: "0.0229", unit: "share" })).toBe("2.29 % left");
    expect(headroomOf({ headroom: "-0.097", unit: "annual" })).toBe("9.70 % beyond");
    expect(headroomOf({ headroom: "unlimited", unit: "money" })).toBe("no limit");
    expect(headroomOf({ headroom: null, unit: "money" })).toBe("");
  });

  it("alarms of an old snapshot only where there should be a newer one", () => {
    const at = "2026-01-02T00:00:00Z";
    expect(staleness("shadow", at, 185)).toBe("No snapshot for 3 m. Guards fail closed: new risk is blocked.");
    expect(staleness("gated_live", at, 3 * 3_600)).toContain("3 h");
    expect(staleness("shadow", at, 60)).toBe("");
    expect([staleness("dry_run", at, 9_999), staleness(undefined, at, 9_999)]).toEqual(["", ""]);
    expect(staleness(null, at, 9_999)).toContain("Guards fail closed");
    expect(staleness("dry_run", null, null)).toContain("No snapshot yet");
  });
});
