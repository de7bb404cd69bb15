import { TABLET, useMedia } from "@/shared/ui/media";

export type Layout = "unified" | "split";

/** How two texts are laid beside each other is in the address, and which keys are looked at. */
export type Search = { diff?: "split"; keys?: string };
export function searchOf(said: Record<string, unknown>): Search {
  return {
    ...(said.diff === "split" ? { diff: "split" as const } : {}),
    ...(typeof said.keys === "string" && said.keys.length <= 140 ? { keys: said.keys } : {}),
  };
}

/** Two texts beside or within each other; on a phone always within. */
export function useLayout(search: Search): Layout {
  const wide = useMedia(TABLET);
  return search.diff === "split" && wide ? "split" : "unified";
}
