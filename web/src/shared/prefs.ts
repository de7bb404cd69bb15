import { useSyncExternalStore } from "react";
import { type Grouping, setGrouping } from "./format/numbers";
import type { Zone } from "./format/time";

export type Prefs = {
  theme: "dark" | "light" | "contrast" | "system";
  zone: Zone;
  amounts: "shown" | "hidden";
  density: "dense" | "comfortable";
  numbers: Grouping;
};

const START: Prefs = { theme: "dark", zone: "utc", amounts: "shown", density: "dense", numbers: "1,234.5" };
const listeners = new Set<() => void>();
let now = read();

function read(): Prefs {
  try {
    const found = JSON.parse(localStorage.getItem("regime.prefs") ?? "{}") as Partial<Prefs>;
    return { ...START, ...found };
  } catch {
    return START;
  }
}

/** What somebody likes on this device; nothing of it is anybody's secret. */
export function setPrefs(more: Partial<Prefs>): void {
  now = { ...now, ...more };
  try {
    localStorage.setItem("regime.prefs", JSON.stringify(now));
    localStorage.setItem("regime.theme", now.theme);
  } catch {
    // storage is off: as long as the page is open
  }
  showTheme();
  for (const listener of listeners) listener();
}

const SYSTEM = "(prefers-color-scheme: light)";

/** Paint it as somebody likes it; and as the device goes over, for whoever likes what the device does. */
export function showTheme(): void {
  const light = now.theme === "light" || (now.theme === "system" && matchMedia(SYSTEM).matches);
  document.documentElement.dataset.theme = light ? "light" : now.theme === "contrast" ? "contrast" : "dark";
  document.documentElement.dataset.density = now.density;
  setGrouping(now.numbers);
  document.querySelector('meta[name="theme-color"]')?.setAttribute("content", light ? "#f5f6f8" : "#0b0d10");
}

export function followSystem(): void {
  matchMedia(SYSTEM).addEventListener("change", showTheme);
}

export function getPrefs(): Prefs {
  return now;
}

export function usePrefs(): Prefs {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => now,
  );
}
