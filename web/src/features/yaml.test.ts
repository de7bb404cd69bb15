import { describe, expect, it } from "vitest";
import { keyAt, placeAt } from "./yaml-place";
import { docAt, keysAt, valuesAt } from "./yaml-schema";

/** A document with a caret at ‸. */
function at(marked: string) {
  const caret = marked.indexOf("‸");
  return placeAt(marked.replace("‸", ""), caret);
}

describe("a place in a document", () => {
  it.each([
    ["‸", [], "key", []],
    ["id: x\nna‸\n", [], "key", ["id"]],
    ["risk:\n  ‸\n", ["risk"], "key", []],
    ['risk:\n  gross: "1"\n  ‸\n  single_name: 2\naccounts: []\n', ["risk"], "key", ["gross", "single_name"]],
    ['risk:\n  gross: "1"\n‸\n', [], "key", ["risk"]],
    ["risk:\n  gro‸ss: 1\n  net: 2\n", ["risk"], "key", ["net"]],
    ["risk:\n  daily_loss: {id: LD-01, ba‸}\n", ["risk", "daily_loss"], "key", ["id"]],
    ["risk:\n  daily_loss: {id: LD-01, base: in‸}\n", ["risk", "daily_loss", "base"], "value", []],
    ["risk:\n  daily_loss: {id: LD-01, base: ‸}\n", ["risk", "daily_loss", "base"], "value", []],
    ["risk:\n  daily_loss: {ba‸", ["risk", "daily_loss"], "key", []],
    ["accounts:\n  - id: core\n    mo‸\n    risk: {}\n", ["accounts", 0], "key", ["id", "risk"]],
    ["accounts:\n  - id: core\n  - id: b\n    mode: ‸\n", ["accounts", 1, "mode"], "value", []],
    ["accounts:\n  - ‸\n", ["accounts", 0], "key", []],
    ["accounts:\n  - baskets: [{name: a}, {‸}]\n", ["accounts", 0, "baskets", 1], "key", []],
    ["presets: [a, ‸]\n", ["presets", 1], "value", []],
    ["risk:\n  gross: 1 # no‸\n", null, null, null],
  ])("%j", (text, path, kind, taken) => {
    const found = at(text);
    expect(found === null ? [null, null, null] : [found.path, found.at, found.taken]).toEqual([path, kind, taken]);
  });

  it("knows the word that is replaced, and whether its colon is there", () => {
    expect(at("risk:\n  gro‸ss: 1\n")).toMatchObject({ from: 8, to: 13, keyed: true });
    expect(at("risk:\n  gro‸\n")).toMatchObject({ from: 8, to: 11, keyed: false });
  });

  it("names the key under the pointer, or of the value under it", () => {
    const text = 'risk:\n  daily_loss: {id: LD-01, "base": initial}\n';
    expect(keyAt(text, text.indexOf("daily"))?.path).toEqual(["risk", "daily_loss"]);
    expect(keyAt(text, text.indexOf("base"))?.path).toEqual(["risk", "daily_loss", "base"]);
    expect(keyAt(text, text.indexOf("initial"))?.path).toEqual(["risk", "daily_loss", "base"]);
    expect(keyAt(text, text.length - 2)?.path, "at the end of its line").toEqual(["risk", "daily_loss"]);
    expect(keyAt('gross: "1.0"\nnet: 2\n', 12)?.path).toEqual(["gross"]);
    expect(keyAt("# nothing\n", 3)).toBeNull();
  });
});

const LIMIT = { anyOf: [{ type: "number" }, { type: "string" }], default: "0.15", unit: "share", description: "lower" };
const SCHEMA = {
  properties: {
    id: { type: "string" },
    risk: { $ref: "#/$defs/Risk" },
    accounts: { items: { $ref: "#/$defs/Account" } },
  },
  required: ["id"],
  $defs: {
    Risk: {
      properties: {
        single_name: { description: "CC-01: w <= max", anyOf: [LIMIT, { $ref: "#/$defs/Single" }] },
      },
    },
    Single: { type: "object", properties: { max_weight: LIMIT, enabled: { type: "boolean", default: true } } },
    Account: { type: "object", properties: { mode: { $ref: "#/$defs/Mode" } }, required: ["mode"] },
    Mode: { enum: ["dry_run", "shadow"], type: "string" },
  },
};

describe("what may stand at a place", () => {
  it("keys of a mapping, also where it may be a value alone; never those it has", () => {
    expect(keysAt(SCHEMA, []).map((one) => [one.name, one.required])).toEqual([
      ["id", true],
      ["risk", false],
      ["accounts", false],
    ]);
    expect(keysAt(SCHEMA, ["risk", "single_name"], ["enabled"]).map((one) => one.name)).toEqual(["max_weight"]);
    expect(keysAt(SCHEMA, ["accounts", 3]).map((one) => one.name)).toEqual(["mode"]);
    expect(keysAt(SCHEMA, ["risk", "nothing"])).toEqual([]);
    expect(keysAt(undefined, [])).toEqual([]);
  });

  it("values by name, with the one that holds where nothing is said", () => {
    expect(valuesAt(SCHEMA, ["accounts", 0, "mode"]).map((one) => one.text)).toEqual(["dry_run", "shadow"]);
    expect(valuesAt(SCHEMA, ["risk", "single_name", "enabled"]).map((one) => one.text)).toEqual(["true", "false"]);
    expect(valuesAt(SCHEMA, ["risk", "single_name"])[0]).toEqual({ text: '"0.15"', detail: "where nothing is said" });
  });

  it("a key in words: what it is, its type, unit and default", () => {
    expect(docAt(SCHEMA, ["risk", "single_name"])).toEqual({
      type: "number or mapping",
      unit: "share",
      standard: "0.15",
      said: "CC-01: w <= max",
    });
    expect(docAt(SCHEMA, ["nowhere"])).toBeNull();
  });
});
