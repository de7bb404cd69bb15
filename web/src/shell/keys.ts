import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";

/** Where `g` and a letter go. */
const GO: Record<string, string> = {
  o: "/overview",
  p: "/portfolio",
  c: "/constraints",
  s: "/actions",
  r: "/regimes",
  b: "/basket",
  a: "/approvals",
  n: "/runs",
  f: "/configs",
  l: "/live",
  u: "/audit",
};

function isTyping(target: EventTarget | null): boolean {
  const element = target as HTMLElement | null;
  return element?.closest("input, textarea, select, [contenteditable='true'], .cm-editor") !== null;
}

/** Keys that work on every page, and never while somebody types. */
export function useKeys(onPalette: () => void, onStart: (text: string) => void): void {
  const navigate = useNavigate();
  const leader = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        onPalette();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (document.querySelector("[role='dialog']")) return;
      if (event.key === "/" || event.key === "?") {
        event.preventDefault();
        onStart(event.key);
        return;
      }
      const to = Date.now() - leader.current < 1_000 ? GO[event.key] : undefined;
      leader.current = event.key === "g" ? Date.now() : 0;
      if (to !== undefined) {
        event.preventDefault();
        void navigate({ to });
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [navigate, onPalette, onStart]);
}
