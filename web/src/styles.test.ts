import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { deltaE, EYES, labOf, seenBy, type Triple } from "./eyes";
import { contrast } from "./features/colour";

const CSS = readFileSync("src/styles.css", "utf8");
const APART = 20;
const READABLE = 4.5;
const SEEN = 3;

function tokens(selector: string): Record<string, string> {
  const block = CSS.split(`\n${selector} {`)[1]?.split("\n}")[0] ?? "";
  return Object.fromEntries([...block.matchAll(/--([a-z-]+): (#[0-9a-f]{6});/g)].map(([, name, hex]) => [name, hex]));
}

const THEMES = { dark: tokens(":root"), light: tokens(':root[data-theme="light"]') };
/** What stands beside each other with no more than its colour to tell it at a glance: results, and bars of limits. */
const PAIRS = ["gain loss", "gain safety", "accent near", "accent safety", "near safety"].map((one) =>
  one.split(" "),
) as [string, string][];
const TEXTS = ["fg", "muted", "accent", "gain", "loss", "safety", "warn", "shadow"];
const SURFACES = ["bg", "surface", "raised"];
const FILLS: [string, string][] = [
  ["on-accent", "accent"],
  ["on-safety", "safety"],
  ["bg", "warn"], // the badge of what waits
];

describe("the arithmetic of colours", () => {
  it.each<[Triple, Triple, number]>([
    [[50, 2.6772, -79.7751], [50, 0, -82.7485], 2.0425],
    [[50, -1.3802, -84.2814], [50, 0, -82.7485], 1.0],
    [[50, 2.5, 0], [73, 25, -18], 27.1492],
    [[60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644],
    [[2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514], 0.9082],
    [[50, 2.49, -0.001], [50, -2.49, 0.0011], 7.2195],
  ])("gives the published difference of %s and %s", (one, other, said) =>
    expect(deltaE(one, other)).toBeCloseTo(said, 4),
  );

  it("knows black and white", () => {
    expect(contrast("#000000", "#ffffff")).toBeCloseTo(21, 5);
    expect(labOf(seenBy(EYES.typical as never, "#ffffff"))[0]).toBeCloseTo(100, 3);
  });
});

describe.each(Object.entries(THEMES))("the colours of the %s theme", (_, theme) => {
  it("are all there", () => expect(Object.keys(theme)).toEqual(expect.arrayContaining([...TEXTS, ...SURFACES])));

  it.each(Object.keys(EYES))("are told apart by %s eyes", (eyes) => {
    const far = PAIRS.map(([one, other]) => {
      const [a, b] = [one, other].map((name) => labOf(seenBy(EYES[eyes] as never, theme[name] ?? "")));
      return [`${one} ${other}`, Math.round(deltaE(a as Triple, b as Triple) * 10) / 10] as const;
    });
    expect(far.filter(([, difference]) => difference < APART)).toEqual([]);
  });

  it("can be read on every surface", () => {
    const pairs = [...TEXTS.flatMap((text) => SURFACES.map((on) => [text, on] as [string, string])), ...FILLS];
    const found = pairs.map(
      ([text, on]) => [`${text} on ${on}`, contrast(theme[text] ?? "", theme[on] ?? "")] as const,
    );
    expect(found.filter(([, ratio]) => ratio < READABLE)).toEqual([]);
  });

  it("shows bars on what they lie on", () => {
    const found = ["accent", "near", "safety"].map(
      (bar) => [bar, contrast(theme[bar] ?? "", theme.raised ?? "")] as const,
    );
    expect(found.filter(([, ratio]) => ratio < SEEN)).toEqual([]);
  });
});
