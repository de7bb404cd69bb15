import { useCallback, useSyncExternalStore } from "react";

/** The widths of styles.css at which a page is laid out anew. */
export const TABLET = "(min-width: 720px)";
export const DESK = "(min-width: 1080px)";

/** Whether a media query holds, now and when it changes. */
export function useMedia(query: string): boolean {
  const subscribe = useCallback(
    (listener: () => void) => {
      const found = matchMedia(query);
      found.addEventListener("change", listener);
      return () => found.removeEventListener("change", listener);
    },
    [query],
  );
  return useSyncExternalStore(subscribe, () => matchMedia(query).matches);
}
