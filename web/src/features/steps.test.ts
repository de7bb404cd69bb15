import { describe, expect, it } from "vitest";
import type { Schemas } from "@/shared/api/client";
import { safety } from "./safety";
import { stepsOf } from "./steps";

const version = (more: Partial<Schemas["VersionOut"]> = {}) =>
  ({
    version: 7,
    status: "draft",
    author: "u-a",
    by: "u-a",
    approvers: 1,
    request_id: "",
    detail: "",
    created_at: "2026-01-01T00:00:00Z",
    applied_at: null,
    accounts: [{ account: "f/core", before_hash: "a", after_hash: "b" }],
    ...more,
  }) as Schemas["VersionOut"];
const request = (more: object = {}) =>
  ({
    request_id: "rq-1",
    maker: "u-a",
    created_at: "2026-01-01T01:00:00Z",
    status: "requested",
    given: 0,
    required: 1,
    votes: [],
    ...more,
  }) as unknown as Schemas["ApprovalOut"];
const seen = (config_hash: string) =>
  [{ account: "f/core", last_decision: { config_hash, decision_id: "d-1", as_of: "2026-01-02T00:00:00Z" } }] as never;
const states = (...of: Parameters<typeof stepsOf>) => stepsOf(...of).map((one) => one.state);
const vote = (agrees: boolean) => ({ actor: "u-b", agrees, at: "2026-01-01T02:00:00Z", reason: "as said" });

describe("the way of a version", () => {
  it.each([
    ["a draft", version(), undefined, ["done", "next", "next", "next", "next"]],
    ["asked for", version({ approvers: 2 }), request(), ["done", "done", "now", "next", "next"]],
    [
      "refused",
      version(),
      request({ status: "refused", votes: [vote(false)] }),
      ["done", "done", "failed", "next", "next"],
    ],
    [
      "void",
      version({ status: "void", detail: "superseded" }),
      undefined,
      ["done", "left out", "failed", "left out", "left out"],
    ],
    ["applied alone", version({ status: "applied" }), undefined, ["done", "left out", "left out", "done", "now"]],
    [
      "applied by two",
      version({ status: "applied", request_id: "rq-1" }),
      request({ status: "executed", given: 1, votes: [vote(true)] }),
      ["done", "done", "done", "done", "now"],
    ],
    ["superseded", version({ status: "superseded" }), undefined, ["done", "left out", "left out", "done", "left out"]],
  ])("%s", (_, of, asked, expected) => {
    expect(states(of, asked, seen("a"))).toEqual(expected);
  });

  it("ends where the engine decided under it, which is told from what it decided under before", () => {
    const applied = version({ status: "applied" });
    expect(stepsOf(applied, undefined, seen("b")).at(-1)).toMatchObject({ state: "done", link: { id: "d-1" } });
    expect(stepsOf(applied, undefined, seen("a")).at(-1)).toMatchObject({ state: "now", at: null });
    expect(stepsOf(applied, undefined, undefined).at(-1)?.state).toBe("now");
  });

  it("names who agreed and who refused, with their reasons", () => {
    const done = request({ status: "executed", given: 1, votes: [vote(true)] });
    expect(stepsOf(version({ status: "applied" }), done, [])[2]).toMatchObject({ said: "by u-b", at: vote(true).at });
    const no = request({ status: "refused", votes: [vote(false)] });
    expect(stepsOf(version(), no, [])[2]?.said).toBe("u-b refused: as said");
  });
});

describe("what a change does to safety", () => {
  const change = (account: string, path: string, direction: string) => ({ account, path, direction }) as never;
  it("counts limits once, however many accounts they are in, and says first what loosens", () => {
    expect(safety([])).toBe("No account is changed.");
    expect(
      safety([
        change("f/a", "risk.gross", "tightens"),
        change("f/a", "risk.net", "tightens"),
        change("f/a", "risk.vol", "loosens"),
        change("f/b", "risk.vol", "loosens"),
      ]),
    ).toBe("Loosens 1 limit in 2 accounts, tightens 2 limits in 1 account.");
    expect(safety([change("f/a", "baskets", "neutral")])).toBe("Changes 1 other key in 1 account.");
  });
});
