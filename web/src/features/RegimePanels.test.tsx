import { render, screen } from "@testing-library/preact";
import { expect, it } from "vitest";
import type { Schemas } from "@/shared/api/client";
import { Evidence } from "./RegimePanels";

const now = (confidence: number, caps: readonly number[]) =>
  ({
    confidence,
    evidence: caps.map((confidence_cap, n) => ({
      source: `source_${n}`,
      grade: "bars",
      finding: "random",
      confidence_cap,
      binds: confidence_cap <= confidence,
    })),
    tiers: [],
  }) as unknown as Schemas["RegimeNow"];

it("a confidence that no evidence holds down says what does", () => {
  const { unmount } = render(<Evidence now={now(0.26, [0.74, 0.95])} />);
  expect(screen.getByText(/a change of the label waits for its confirmation/)).toBeVisible();
  unmount();
  render(<Evidence now={now(0.74, [0.74, 0.95])} />);
  expect(screen.getByText("binds")).toBeVisible();
  expect(screen.queryByText(/waits for its confirmation/)).toBeNull();
});
