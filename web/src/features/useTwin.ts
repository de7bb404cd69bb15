import { useEffect } from "react";

/** `t` turns a picture into its table and back, as long as nobody types and no dialog is open. */
export function useTwin(turn: () => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "t" || event.ctrlKey || event.metaKey || event.altKey) return;
      const busy = (event.target as HTMLElement | null)?.closest(
        "input, textarea, select, [contenteditable='true'], [role='dialog']",
      );
      if (!busy && !document.querySelector("[role='dialog']")) turn();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [turn]);
}
