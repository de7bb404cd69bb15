import { describe, expect, it } from "vitest";
import { bookCorrelations, fits, shownOf } from "./book";
import { contrast, diverging, inkOn, mixed } from "./colour";
import { FAMILIES, regimeShade, step } from "./regime";
import { bandsOf, expectedDwell, labelBands, movesOf, type Point } from "./ribbon";

const bar = (label: string | null, confidence = 0.5, risk_state: number | null = 0): Point => ({
  at: "2020-01-02T21:00:00Z",
  close: 1,
  label,
  confidence,
  risk_state,
});

describe("colours", () => {
  it("mixes from one end to the other, and clips what is beyond", () => {
    expect(mixed("#ffffff", "#000000", 0.5)).toBe("#808080");
    expect(mixed("#4c9be8", "#11151a", 2)).toBe("#4c9be8");
    expect(diverging(3, false)).toBe(diverging(1, false));
    expect(diverging(0, true)).not.toBe(diverging(0, false));
    expect(diverging(-1, true)).toBe("#b35806");
  });

  it("has an ink that can be read on every shade of map and ribbon", () => {
    for (const light of [true, false]) {
      for (let value = -1; value <= 1; value += 0.05) {
        const fill = diverging(value, light);
        expect(contrast(inkOn(fill), fill)).toBeGreaterThanOrEqual(4.5);
      }
      for (const label of [...FAMILIES, "something new"]) {
        for (const confidence of [0, 0.3, 0.6, 1]) {
          const { fill, ink } = regimeShade(label, confidence, light);
          expect(contrast(ink, fill)).toBeGreaterThanOrEqual(4.5);
        }
      }
    }
  });

  it("has four steps of confidence and no more", () => {
    expect([0, 0.24, 0.25, 0.5, 0.74, 0.75, 1].map(step)).toEqual([0.2, 0.2, 0.4, 0.6, 0.6, 0.8, 0.8]);
  });
});

describe("the ribbon", () => {
  it("is cut where label or step changes; letters where the label does", () => {
    const points = [bar("random", 0.6), bar("random", 0.65), bar("random", 0.9), bar(null), bar("trending")];
    expect(bandsOf(points, step).map((one) => [one.label, one.from, one.to])).toEqual([
      ["random", 0, 2],
      ["random", 2, 3],
      ["unknown", 3, 4],
      ["trending", 4, 5],
    ]);
    expect(labelBands(points).map((one) => one.to - one.from)).toEqual([3, 1, 1]);
    expect(bandsOf([], step)).toEqual([]);
  });

  it("counts moves and how long stays last; what is not known breaks the chain", () => {
    const states = [0, 0, 1, 1, 1, null, 1, 0];
    const found = movesOf(
      states.map((state) => bar("random", 0.5, state)),
      2,
    );
    expect(found.counts).toEqual([
      [1, 1],
      [1, 2],
    ]);
    expect(found.stays).toEqual([2, 2]);
    expect(found.dwell).toEqual([1.5, 2]);
    expect(movesOf([], 2).dwell).toEqual([null, null]);
  });

  it("expects 1 / (1 − p) bars of a state", () => {
    expect(expectedDwell(0.98)).toBeCloseTo(50);
    expect([expectedDwell(1), expectedDwell(null), expectedDwell(undefined)]).toEqual([null, null, null]);
  });
});

describe("the map of a book", () => {
  const held = (symbol: string, weight: number | null, volatility: number | null) => ({
    symbol,
    weight,
    volatility,
    unrealised_return: 0.1,
    risk_share: 0.2,
  });
  const matrix = { symbols: ["A", "B"], matrix: [[1, 0.5] as const, [0.5, 1] as const] };

  it("tells the correlation of a position with its book", () => {
    const alone = bookCorrelations([held("A", 0.5, 0.2)], { symbols: ["A"], matrix: [[1]] });
    expect(alone.get("A")).toBeCloseTo(1);
    const both = bookCorrelations([held("A", 0.5, 0.2), held("B", 0.5, 0.2)], matrix);
    expect(both.get("A")).toBeCloseTo(1.5 / Math.sqrt(3));
    const hedge = bookCorrelations([held("A", 0.5, 0.2), held("B", -0.1, 0.2)], matrix);
    expect(hedge.get("B")).toBeGreaterThan(0);
  });

  it("tells nothing where an input is missing", () => {
    expect(bookCorrelations([held("A", 0.5, null), held("B", 0.5, 0.2)], matrix).size).toBe(0);
    expect(bookCorrelations([held("A", 0.5, 0.2), held("C", 0.5, 0.2)], matrix).size).toBe(0);
    expect(bookCorrelations([held("A", 0.5, 0.2)], null).size).toBe(0);
    expect(shownOf(held("A", 0.5, 0.2), "corr", new Map())).toBeNull();
    expect(shownOf({ ...held("A", 0.5, 0.2), risk_share: null }, "risk", new Map())).toBeNull();
  });

  it("leaves a label out that does not fit", () => {
    expect(fits("AAPL", 12, 60, 30)).toBe(true);
    expect(fits("GOOGL", 12, 30, 30)).toBe(false);
    expect(fits("A", 12, 60, 12)).toBe(false);
  });
});
