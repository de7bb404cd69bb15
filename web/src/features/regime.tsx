import { cx } from "@/shared/ui/cx";

/** One letter and one hue for each family, the same everywhere. */
const LOOKS: Record<string, [string, string]> = {
  trending: ["T", "#4c9be8"],
  volatile_trending: ["V", "#e0863a"],
  mean_reverting: ["M", "#4fb3a2"],
  random: ["R", "#98a2ad"],
  uncertain: ["U", "#7c6f9c"],
};

export function regimeLook(label: string): [string, string] {
  return LOOKS[label] ?? ["?", "#56606b"];
}

/** Confidence in steps of four, never a rainbow. */
export function step(confidence: number): number {
  return [0.25, 0.45, 0.65, 0.85][Math.min(3, Math.floor(confidence * 4))] ?? 0.25;
}

export function RegimeMark({ label, confidence }: { label: string; confidence: number }) {
  const [letter, hue] = regimeLook(label);
  return (
    <span className="inline-flex items-center gap-2 whitespace-nowrap">
      <span
        aria-hidden
        className={cx("grid size-5 place-items-center rounded-mark text-label font-semibold text-fg")}
        style={{ backgroundColor: `color-mix(in srgb, ${hue} ${Math.round(step(confidence) * 100)}%, var(--surface))` }}
      >
        {letter}
      </span>
      {label.replaceAll("_", " ")}
    </span>
  );
}
