import type { Schemas } from "@/shared/api/client";
import type { Tone } from "@/shared/ui/Chip";

/** How the RL logger stands, in a word and a sentence. */
export type Logger = { word: "on" | "gap" | "behind" | "off"; tone: Tone; says: string };
type Found = Pick<Schemas["DatasetStatus"], "rows" | "waiting" | "last" | "partitions">;

/** `decided` = when the account was last decided; null where that is not known or several accounts are shown. */
export function loggerOf(found: Found, decided: string | null): Logger {
  const gaps = found.partitions.reduce((sum, one) => sum + one.gaps, 0);
  if (found.rows + found.waiting === 0) {
    return { word: "off", tone: "unknown", says: "No decision has left a row here." };
  }
  if (decided !== null && found.last !== null && decided > found.last) {
    return { word: "behind", tone: "warn", says: "The last decision has left no row yet." };
  }
  if (gaps > 0) {
    return {
      word: "gap",
      tone: "warn",
      says: `${gaps} ${gaps === 1 ? "transition goes" : "transitions go"} over missing bars: do not learn from them as if nothing had happened in between.`,
    };
  }
  return { word: "on", tone: "accent", says: "Every decision leaves its rows, without a gap." };
}
