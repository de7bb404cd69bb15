import { describe, expect, it } from "vitest";
import { loggerOf } from "./rl";

const part = (gaps: number) => ({
  account: "f/a",
  run_id: "r",
  env: "dry_run",
  states: 10,
  waiting: 0,
  actions: 10,
  transitions: 9,
  open: 1,
  gaps,
  censored: 0,
  first: "2020-01-01T00:00:00Z",
  last: "2020-01-10T00:00:00Z",
  feature_set_versions: ["4"],
});
const last = "2020-01-10T00:00:00Z";

describe("the RL logger", () => {
  it("is off where nothing was ever left, sealed or waiting", () => {
    expect(loggerOf({ rows: 0, waiting: 0, last: null, partitions: [] }, null).word).toBe("off");
    expect(loggerOf({ rows: 0, waiting: 1, last, partitions: [part(0)] }, last).word).toBe("on");
  });

  it("has a gap where a transition goes over missing bars", () => {
    const found = loggerOf({ rows: 20, waiting: 0, last, partitions: [part(0), part(1)] }, null);
    expect(found.word).toBe("gap");
    expect(found.says).toMatch(/^1 transition goes/);
  });

  it("is behind where an account was decided after its last row", () => {
    const found = { rows: 10, waiting: 0, last, partitions: [part(0)] };
    expect(loggerOf(found, "2020-01-11T00:00:00Z").word).toBe("behind");
    expect(loggerOf(found, last).word).toBe("on");
    expect(loggerOf(found, null).word).toBe("on");
  });
});
