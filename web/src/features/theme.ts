import { usePrefs } from "@/shared/prefs";

/** Whether the light theme is on, for what is painted and not styled. */
export function useLight(): boolean {
  const { theme } = usePrefs();
  return theme === "light" || (theme === "system" && matchMedia("(prefers-color-scheme: light)").matches);
}
