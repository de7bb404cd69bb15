import { afterEach, describe, expect, it, vi } from "vitest";
import { fraction } from "@/features/basket";
import { money, percent, plainNumber, ruleValue, ruleValues, setGrouping, signed, signOf } from "./numbers";
import { clock, day, instant, nsToIso, span, zoneName } from "./time";
import { sentence } from "./words";

describe("figures", () => {
  it.each([
    ["1253207.800606", "1,253,208"],
    [-122.8, "\u2212123"],
    [-0.2, "0"],
    [null, "unknown"],
    ["", "unknown"],
    ["not a number", "unknown"],
    [Number.POSITIVE_INFINITY, "unlimited"],
  ])("money %s", (value, said) => expect(money(value)).toBe(said));

  it.each([
    [0.10897, "10.90 %"],
    [-0.0032, "\u22120.32 %"],
    [0, "0.00 %"],
    [null, "unknown"],
    [undefined, "unknown"],
  ])("percent %s", (value, said) => expect(percent(value)).toBe(said));

  it("signs what is more than nothing, and nothing else", () => {
    expect([percent(0.1), percent(-0.1), percent(0), percent(null)].map(signed)).toEqual([
      "+10.00 %",
      "\u221210.00 %",
      "0.00 %",
      "unknown",
    ]);
  });

  it("are set apart as somebody reads them", () => {
    setGrouping("1.234,5");
    expect([money("-1253207.8", 1), percent(0.109), plainNumber("0.5")]).toEqual([
      "\u22121.253.207,8",
      "10,90 %",
      "0,5",
    ]);
    expect(signed(percent(0))).toBe("0,00 %");
    expect([-0.00001, 0.00001, null, -0.01, 0.01].map((one) => signOf(percent(one)))).toEqual([0, 0, 0, -1, 1]);
    setGrouping("1 234.5");
    expect(money(1_253_207)).toBe("1\u00a0253\u00a0207");
  });
  afterEach(() => setGrouping("1,234.5"));

  it("are what Intl writes, digit by digit", () => {
    let seed = 7;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    const of = (options: Intl.NumberFormatOptions) => new Intl.NumberFormat("en-US", options);
    const ties = [
      0, 0.5, 1.5, 2.5, 1.005, 0.125, 999.5, 9_999.5, 0.000_05, 99_999.95, 1e-7, 1.234e-9, 5e-15, 1e12, 7e20,
    ];
    const values = [...ties, ...Array.from({ length: 5_000 }, () => random() * 10 ** Math.round(random() * 26 - 12))];
    for (const digits of [0, 1, 2, 4]) {
      const whole = of({ minimumFractionDigits: digits, maximumFractionDigits: digits });
      const some = of({ maximumSignificantDigits: digits + 1 });
      for (const value of values) {
        expect(money(value, digits), `${value} to ${digits}`).toBe(whole.format(value));
        if (value < 1e12) expect(plainNumber(value, digits + 1), `${value}, ${digits + 1}`).toBe(some.format(value));
      }
    }
  });

  it("says a value of a rule in its unit", () => {
    expect(ruleValue("0.131876857546539", "confidence")).toBe("13.19 %");
    expect(ruleValue("20", "bp")).toBe("20 bp");
    expect(ruleValue("unlimited", "money")).toBe("unlimited");
    expect(ruleValue(null, "share")).toBe("unknown");
    expect(ruleValues("20", "20", "positions")).toEqual(["20", "20 positions"]);
    expect(ruleValues("0", "1", "bars")).toEqual(["0", "1 bar"]);
    expect(ruleValues("1", "20", "positions")).toEqual(["1", "20 positions"]);
    expect(ruleValues("54960000", "300", "seconds")).toEqual(["636 days", "300 s"]);
    expect(["604800", "7199"].map((one) => ruleValue(one, "seconds"))).toEqual(["7 days", "7,199 s"]);
    expect(ruleValues(null, "60", "seconds")).toEqual(["unknown", "60 s"]);
    expect(plainNumber(123_456_789, 4)).toBe("123,500,000");
  });
});

describe("instants", () => {
  it("are in UTC, and say so", () => {
    expect(instant("2022-12-28T21:00:00Z")).toBe("2022-12-28 21:00 UTC");
    expect(instant("2022-12-28T21:00:05.5Z", "utc", true)).toBe("2022-12-28 21:00:05 UTC");
    expect(day("2022-12-28T21:00:00Z")).toBe("2022-12-28");
    expect(instant(null)).toBe("unknown");
    expect(instant("never")).toBe("never");
  });

  it.each([
    ["2026-03-08T06:59:59Z", "2026-03-08 01:59 EST"],
    ["2026-03-08T07:00:00Z", "2026-03-08 03:00 EDT"],
    ["2026-11-01T05:30:00Z", "2026-11-01 01:30 EDT"],
    ["2026-11-01T06:30:00Z", "2026-11-01 01:30 EST"],
  ])("in a zone with summer time are told apart: %s", (at, said) => {
    vi.stubEnv("TZ", "America/New_York");
    try {
      expect(instant(at, "local")).toBe(said);
      expect(`${clock(at, "local").slice(0, 5)} ${zoneName(at, "local")}`).toBe(said.slice(11));
      expect(zoneName(at)).toBe("UTC");
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it("come from nanoseconds without losing the second", () => {
    expect(nsToIso("1795188600999999999")).toBe("2026-11-20T15:30:00.999Z");
  });

  it.each([
    [0, "0 s"],
    [119, "119 s"],
    [120, "2.0 min"],
    [7_200, "2.0 h"],
    [172_800, "2.0 days"],
    [123_477_743, "3.9 years"],
    [null, "unknown"],
    [Number.NaN, "unknown"],
  ])("span %s", (seconds, said) => expect(span(seconds)).toBe(said));
});

describe("weights as they are typed", () => {
  it.each([
    ["10", "0.1"],
    ["12.5", "0.125"],
    ["12,5 %", "0.125"],
    ["100", "1"],
    ["0", "0"],
    ["-0", "0"],
    ["\u22125", "-0.05"],
    ["0.0000001", "0.000000001"],
    ["200", "2"],
    ["1e3", null],
    ["ten", null],
    ["", null],
    ["1.23456789", null],
  ])("%s", (text, said) => expect(fraction(text)).toBe(said));
});

describe("what a server says", () => {
  it.each([
    ["this takes the role pm", "This takes the role pm."],
    ["Is it so?", "Is it so?"],
    ["north-pier/core is halted.", "north-pier/core is halted."],
    ["core/risk: expected 1", "core/risk: expected 1."],
    ["", ""],
  ])("%s", (text, said) => expect(sentence(text)).toBe(said));
});
