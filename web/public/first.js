// Before the first paint, so that a light screen is never dark for a moment.
try {
  const said = localStorage.getItem("regime.theme") ?? "dark";
  const light = said === "light" || (said === "system" && matchMedia("(prefers-color-scheme: light)").matches);
  document.documentElement.dataset.theme = light ? "light" : said === "contrast" ? "contrast" : "dark";
} catch {
  // storage is off: dark
}

// Who is there is asked while the rest is on its way; src/shared/api/client.ts takes the answer.
if (!location.pathname.startsWith("/login")) {
  const answer = fetch("/api/v1/me", { headers: { "x-regime": "1" } });
  answer.catch(() => undefined); // it is told where it is taken
  window.first = { at: Date.now(), answer };
}

// The page's own script is on its way before the router has asked for it.
const pages = JSON.parse(document.querySelector("meta[name='pages']")?.getAttribute("content") ?? "{}");
for (const href of pages[location.pathname.slice(1) || "overview"] ?? []) {
  const link = document.createElement("link");
  Object.assign(link, { rel: "modulepreload", crossOrigin: "", href });
  document.head.append(link);
}
