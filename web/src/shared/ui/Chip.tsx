import type { ReactNode } from "react";
import { cx } from "./cx";

export type Tone = "plain" | "accent" | "safety" | "warn" | "shadow" | "unknown";
const TONES: Record<Tone, string> = {
  plain: "border-line text-muted",
  accent: "border-accent text-accent",
  safety: "border-safety text-safety",
  warn: "border-warn text-warn",
  shadow: "border-shadow text-shadow",
  unknown: "border-dashed border-muted text-muted hatch-faint",
};

type ChipProps = {
  tone?: Tone;
  children: ReactNode;
  title?: string;
  /** It could not be read anew. */
  old?: boolean;
};

export function Chip({ tone = "plain", children, title, old = false }: ChipProps) {
  return (
    <span
      title={title}
      className={cx(
        "inline-flex h-5 items-center whitespace-nowrap gap-1 rounded-mark border px-1.5 text-label font-medium",
        TONES[tone],
        old && "hatch-faint border-dashed",
      )}
    >
      {children}
      {old ? <span className="sr-only">as last read</span> : null}
    </span>
  );
}

const MODES: Record<string, [string, Tone]> = {
  dry_run: ["DRY", "plain"],
  shadow: ["SHADOW", "shadow"],
  gated: ["GATED", "warn"],
  live: ["LIVE", "safety"],
};

export function modeOf(mode: string | null | undefined): [string, Tone] {
  return MODES[mode ?? ""] ?? ["MODE UNKNOWN", "unknown"];
}

export function ModeChip({ mode, old = false }: { mode: string | null | undefined; old?: boolean }) {
  const [text, tone] = modeOf(mode);
  return (
    <Chip tone={tone} old={old}>
      {text}
    </Chip>
  );
}

const STATES: Record<string, Tone> = {
  NORMAL: "plain",
  CANCEL_ONLY: "warn",
  REDUCE_ONLY: "warn",
  FLATTEN: "safety",
  LOCKED: "safety",
};

export function StateChip({ state, old = false }: { state: string | null | undefined; old?: boolean }) {
  if (!state) return <Chip tone="unknown">STATE UNKNOWN</Chip>;
  return (
    <Chip tone={STATES[state] ?? "warn"} old={old}>
      {state.replace("_", " ")}
    </Chip>
  );
}
