import type { Schemas } from "@/shared/api/client";
import { numberOf, ruleValue } from "@/shared/format/numbers";
import type { Tone } from "@/shared/ui/Chip";

/** How a rule of the board is told. */

type Row = Schemas["ConstraintRow"];

export const GUARDS = [
  "",
  "Data sanity",
  "Blackouts and permissions",
  "Loss and drawdown",
  "Volatility",
  "Concentration",
  "Liquidity and execution",
];

const TONES: Record<string, Tone> = { pass: "plain", bound: "warn", unknown: "safety", off: "plain" };

/** What a rule is at, in one word: an open lockout and what is not known come before everything else. */
export function stateOf(row: Pick<Row, "state" | "holds">): { word: string; tone: Tone } {
  if (row.holds) return { word: "locks", tone: "safety" };
  const word = row.state === "bound" ? "binds" : row.state.replaceAll("_", " ");
  return { word, tone: TONES[row.state] ?? "unknown" };
}

/** What is left before a limit, in words. */
export function headroomOf(row: Pick<Row, "headroom" | "unit">): string {
  if (row.headroom === "unlimited") return "no limit";
  const left = numberOf(row.headroom);
  if (left === null) return "";
  const text = ruleValue(Math.abs(left), row.unit);
  return left < 0 ? `${text} beyond` : `${text} left`;
}

/** Which layer set a value, in words. */
export function layerOf(set: Schemas["SetBy"] | null | undefined): string {
  if (!set) return "";
  return set.layer === "defaults" ? "built-in default" : `${set.layer} ${set.name}`;
}

const OLD_S = 180;

/**
 * What has to be said of the age of a snapshot; empty where it is as it should be. A dry run decides at its bars, however
 * long ago; `mode` undefined = not known yet, null = no configuration is in force.
 */
export function staleness(mode: string | null | undefined, as_of: string | null, age_s: number | null): string {
  if (as_of === null) return "No snapshot yet. Guards fail closed: new risk is blocked.";
  if (mode === "dry_run" || mode === undefined || age_s === null || age_s <= OLD_S) return "";
  const minutes = Math.floor(age_s / 60);
  const long =
    minutes < 120
      ? `${minutes} m`
      : minutes < 2_880
        ? `${Math.floor(minutes / 60)} h`
        : `${Math.floor(minutes / 1_440)} days`;
  return `No snapshot for ${long}. Guards fail closed: new risk is blocked.`;
}
