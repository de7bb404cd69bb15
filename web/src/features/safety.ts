import type { Schemas } from "@/shared/api/client";

type Change = Pick<Schemas["ChangeOut"], "account" | "path" | "direction">;

/** What a change does to safety, in one line; a limit that an edit moves in many accounts is one limit. */
export function safety(changes: readonly Change[]): string {
  if (changes.length === 0) return "No account is changed.";
  const said = (["loosens", "tightens", "neutral"] as const).flatMap((direction) => {
    const found = changes.filter((one) => one.direction === direction);
    const keys = new Set(found.map((one) => one.path)).size;
    const accounts = new Set(found.map((one) => one.account)).size;
    if (keys === 0) return [];
    const limits = direction === "neutral" ? "other key" : "limit";
    const verb = direction === "neutral" ? "changes" : direction;
    return [`${verb} ${keys} ${limits}${keys === 1 ? "" : "s"} in ${accounts} account${accounts === 1 ? "" : "s"}`];
  });
  const text = said.join(", ");
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
