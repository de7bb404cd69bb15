import { useSyncExternalStore } from "react";

/** The theme as it is painted: for what is drawn and not styled. */
export function useTheme(): string {
  return useSyncExternalStore(onTheme, () => document.documentElement.dataset.theme ?? "dark");
}

export function useLight(): boolean {
  return useTheme() === "light";
}

function onTheme(listener: () => void): () => void {
  const watch = new MutationObserver(listener);
  watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  return () => watch.disconnect();
}
