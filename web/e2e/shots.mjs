// Pictures of every route, to be looked at: node e2e/shots.mjs OUT [desktop|phone] [dark|light]
import { mkdirSync } from "node:fs";
import { chromium } from "@playwright/test";

const [out = "shots", size = "desktop", theme = "dark"] = process.argv.slice(2);
const home = process.env.REGIME_URL ?? "http://localhost:8000";
const routes = (
  process.env.ROUTES ??
  "overview portfolio portfolio?look=table constraints constraints/VT-01 actions regimes approvals live audit settings"
).split(" ");
mkdirSync(out, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic"],
});
const viewport = size === "phone" ? { width: 390, height: 780 } : { width: 1360, height: 860 };
const context = await browser.newContext({
  viewport,
  deviceScaleFactor: size === "phone" ? 2 : 1,
  hasTouch: size === "phone",
  serviceWorkers: "block",
});
await context.addInitScript((said) => {
  localStorage.setItem("regime.theme", said);
  localStorage.setItem("regime.prefs", JSON.stringify({ theme: said }));
}, theme);
const page = await context.newPage();
page.on("console", (m) => m.type() === "error" && console.log("console:", m.text()));
page.on("pageerror", (e) => console.log("pageerror:", e.message));
await page.goto(`${home}/login`);
await page.screenshot({ path: `${out}/login-${size}-${theme}.png` });
await page.getByLabel("Login").fill(process.env.REGIME_LOGIN ?? "");
await page.getByLabel("Password").fill(process.env.REGIME_PASSWORD ?? "");
await page.getByRole("button", { name: "Sign in" }).click();
await page.waitForURL("**/overview**");
for (const route of routes) {
  await page.goto(`${home}/${route}`);
  await page.waitForSelector("[data-link='live']", { timeout: 10_000 }).catch(() => console.log(route, "not live"));
  await page.waitForTimeout(1500);
  const side = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (side > 0) console.log(route, "scrolls sideways by", side);
  await page.screenshot({ path: `${out}/${route.replaceAll(/[/?=]/g, "-")}-${size}-${theme}.png` });
}
await browser.close();
