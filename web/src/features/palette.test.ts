import { describe, expect, it } from "vitest";
import { insteadOf, pointed, written } from "./command";
import { rank } from "./rank";

const item = (name: string) => ({ value: name, words: name.toLowerCase() });
const names = (query: string, of: readonly string[], lately: readonly string[] = []) =>
  rank(query, of.map(item), lately).map((one) => one.value);

describe("what fits", () => {
  it("what begins with it, then what was used lately, then what has its letters", () => {
    const all = ["Actions", "Artifacts", "Constraints", "north-pier/core", "Overview"];
    expect(names("c", all)).toEqual(["Constraints", "north-pier/core", "Actions", "Artifacts"]);
    expect(names("ct", all)).toEqual(["Actions", "Artifacts", "Constraints"]);
    expect(names("ct", all, ["Constraints"])).toEqual(["Constraints", "Actions", "Artifacts"]);
    expect(names("cre", all)).toEqual(["north-pier/core"]);
    expect(names("zz", all)).toEqual([]);
  });

  it("what is it itself, before what only begins with it", () => {
    expect(names("version-1", ["version-10", "version-1 configuration", "version-12"])).toEqual([
      "version-1 configuration",
      "version-10",
      "version-12",
    ]);
  });

  it("the order of use, where nothing is typed", () => {
    expect(names("", ["a", "b", "c"], ["c", "b"])).toEqual(["c", "b", "a"]);
  });

  it("two thousand items well within fifty milliseconds, and never more rows than are drawn", () => {
    const many = Array.from({ length: 2_000 }, (_, n) =>
      item(`run-${(n * 7919) % 2_000} of account ${n} aaaaaaaaaaaa`),
    );
    const took = ["r", "run-1", "aaaaaaaaab", "acc 19", "rn19"].map((query) => {
      const tries = Array.from({ length: 9 }, () => {
        const begun = performance.now();
        expect(rank(query, many).length).toBeLessThanOrEqual(50);
        return performance.now() - begun;
      });
      return Math.min(...tries); // what it takes by itself, whoever else uses the machine
    });
    expect(Math.max(...took)).toBeLessThan(50);
  });
});

describe("a command", () => {
  const aliases = { "enable live": "live enable", "pause account": "halt account" };
  it("under another name is written out, and nothing else is", () => {
    expect(written("/pause account account:core", aliases)).toBe("/halt account account:core");
    expect(written("/enable live", aliases)).toBe("/live enable");
    expect(written("/enable lives", aliases)).toBeNull();
    expect(written("/enable", aliases)).toBeNull();
    expect(written("/halt account", aliases)).toBeNull();
  });

  it("that takes another role has a way round only where that is allowed", () => {
    expect(insteadOf("/override rule account:core", ["/config set"])).toMatchObject({ page: "/configs" });
    expect(insteadOf("/override rule", [])).toBeNull();
    expect(insteadOf("/halt account", ["/halt account"])).toBeNull();
    expect(insteadOf("/halt firm", ["/halt account"])).toMatchObject({ command: "/halt account " });
  });

  it("is pointed at where it is wrong, in code points, also far to the right", () => {
    expect(pointed("/halt accuont", 6)).toEqual({ line: "/halt accuont", caret: 6 });
    const far = pointed(`/halt account reason:"${"😀".repeat(60)}" loose`, 84);
    expect([...far.line][far.caret]).toBe("l");
    expect(far.line.startsWith("…")).toBe(true);
  });
});
