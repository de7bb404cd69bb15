// Before the first paint, so that a light screen is never dark for a moment.
try {
  const said = localStorage.getItem("regime.theme") ?? "dark";
  const light = said === "light" || (said === "system" && matchMedia("(prefers-color-scheme: light)").matches);
  document.documentElement.dataset.theme = light ? "light" : said === "contrast" ? "contrast" : "dark";
} catch {
  // storage is off: dark
}
