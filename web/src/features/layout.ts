import { useSyncExternalStore } from "react";

export type Layout = "unified" | "split";

/** How two texts are laid beside each other is in the address. */
export type Search = { diff?: "split" };
export function searchOf(said: Record<string, unknown>): Search {
  return said.diff === "split" ? { diff: "split" } : {};
}

/** Two texts beside or within each other; on a phone always within. */
export function useLayout(search: Search): Layout {
  const wide = useSyncExternalStore(onWidth, () => matchMedia(WIDE).matches);
  return search.diff === "split" && wide ? "split" : "unified";
}

const WIDE = "(min-width: 720px)";
function onWidth(listener: () => void): () => void {
  const found = matchMedia(WIDE);
  found.addEventListener("change", listener);
  return () => found.removeEventListener("change", listener);
}
