import { inkOn, mixed } from "./colour";
import { useLight } from "./theme";

/** One letter, one hue and one pattern for each family, the same everywhere. */
export type Pattern = "plain" | "steep" | "level" | "dots" | "sparse";
export type RegimeLook = { letter: string; hue: string; pattern: Pattern };
const LOOKS: Record<string, RegimeLook> = {
  trending: { letter: "T", hue: "#4c9be8", pattern: "plain" },
  volatile_trending: { letter: "V", hue: "#e0863a", pattern: "steep" },
  mean_reverting: { letter: "M", hue: "#4fb3a2", pattern: "level" },
  random: { letter: "R", hue: "#98a2ad", pattern: "dots" },
  uncertain: { letter: "U", hue: "#8f7fc0", pattern: "sparse" },
};
export const FAMILIES = Object.keys(LOOKS);

export function regimeLook(label: string): RegimeLook {
  return LOOKS[label] ?? { letter: "?", hue: "#56606b", pattern: "sparse" };
}

export function regimeName(label: string | null | undefined): string {
  return label?.replaceAll("_", " ") ?? "unknown";
}

/** Confidence in steps of four, never a rainbow. */
export function step(confidence: number): number {
  return [0.2, 0.4, 0.6, 0.8][Math.max(0, Math.min(3, Math.floor(confidence * 4)))] ?? 0.2;
}

/** The shade of a family at a confidence, and the ink on it. */
export function regimeShade(label: string, confidence: number, light: boolean): { fill: string; ink: string } {
  const fill = mixed(regimeLook(label).hue, light ? "#ffffff" : "#11151a", step(confidence));
  return { fill, ink: inkOn(fill) };
}

export function RegimeMark({ label, confidence }: { label: string; confidence: number }) {
  const { fill, ink } = regimeShade(label, confidence, useLight());
  return (
    <span className="inline-flex items-center gap-2 whitespace-nowrap">
      <span
        aria-hidden
        className="grid size-5 place-items-center rounded-mark text-label font-semibold"
        style={{ backgroundColor: fill, color: ink }}
      >
        {regimeLook(label).letter}
      </span>
      {regimeName(label)}
    </span>
  );
}
