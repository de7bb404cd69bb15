import { numberOf } from "@/shared/format/numbers";

/** What the map of a book shows, in figures. */

export type Colour = "pnl" | "risk" | "corr";
export type Held = {
  symbol: string;
  weight: number | null;
  volatility: number | null;
  unrealised_return: number | null;
  risk_share: number | null;
};

/** Where each colour has its last shade; said under the map. */
export const CLIPS: Record<Colour, number> = { pnl: 0.2, risk: 0.25, corr: 1 };

/** Correlation of each symbol that is held with the book; nothing where a volatility or correlation is missing. */
export function bookCorrelations(
  held: readonly Held[],
  found: { symbols: readonly string[]; matrix: readonly (readonly (number | null)[])[] } | null | undefined,
): Map<string, number> {
  if (!found) return new Map();
  const at = held.map((one) => found.symbols.indexOf(one.symbol));
  const load = held.map((one) => (one.weight ?? Number.NaN) * (one.volatility ?? Number.NaN));
  const withBook = held.map((_, i) =>
    load.reduce((sum, part, j) => sum + part * (found.matrix[at[i] ?? -1]?.[at[j] ?? -1] ?? Number.NaN), 0),
  );
  const variance = load.reduce((sum, part, i) => sum + part * (withBook[i] ?? Number.NaN), 0);
  if (!(variance > 0)) return new Map();
  return new Map(held.map((one, i) => [one.symbol, (withBook[i] ?? 0) / Math.sqrt(variance)]));
}

/** The number that a colour stands for; null where it is not known. */
export function shownOf(one: Held, colour: Colour, withBook: ReadonlyMap<string, number>): number | null {
  if (colour === "corr") return withBook.get(one.symbol) ?? null;
  return numberOf(colour === "pnl" ? one.unrealised_return : one.risk_share);
}

const WIDTH_OF_A_LETTER = 0.62; // of the size of the type, on average, a bold capital

/** Whether a text fits into a box; what does not is left out, never shrunk. */
export function fits(text: string, size: number, width: number, height: number): boolean {
  return text.length * size * WIDTH_OF_A_LETTER + 10 <= width && size + 8 <= height;
}

export function nameOf(group: string | null): string {
  return group?.replaceAll("-", " ") ?? "no group";
}
