// Pictures of every page, to be looked at, and a contact sheet of them: node e2e/shots.mjs OUT (`make shots` starts a demo).
import { mkdirSync, writeFileSync } from "node:fs";
import { chromium } from "@playwright/test";

const [out = "shots"] = process.argv.slice(2);
const home = process.env.REGIME_URL ?? "http://localhost:8000";
const people = JSON.parse(process.env.REGIME_PEOPLE ?? "{}");
const login = process.env.REGIME_LOGIN ?? "pm@north-pier.demo";
const routes = (
  process.env.ROUTES ??
  "overview portfolio portfolio?look=table constraints constraints/VT-01 actions regimes approvals runs artifacts configs basket admin rl live audit settings"
).split(" ");
const SIZES = { desktop: { width: 1360, height: 860 }, phone: { width: 390, height: 780 } };
/** What is done to the API's answers, and in which looks it is shown. */
const STATES = {
  loaded: { looks: ["desktop-dark", "desktop-light", "phone-dark", "phone-light"] },
  empty: { looks: ["desktop-dark", "phone-light"], answer: emptied },
  error: { looks: ["desktop-light", "phone-dark"], answer: broken },
  halted: { looks: ["desktop-dark", "phone-dark"], answer: haltedNow, only: ["overview", "live", "constraints"] },
};

async function emptied(route) {
  const answer = await route.fetch();
  const said = await answer.json().catch(() => null);
  if (said === null) return route.fulfill({ response: answer });
  const none = ([name, one]) => [name, Array.isArray(one) ? [] : one];
  const json = Array.isArray(said) ? [] : Object.fromEntries(Object.entries(said).map(none));
  return route.fulfill({ response: answer, json });
}

async function broken(route) {
  const said = {
    code: "not_durable",
    detail: "the store cannot take this now; nothing was changed",
    request_id: "a1b2c3",
  };
  return route.fulfill({ status: 503, contentType: "application/problem+json", json: said });
}

/** As it looks while an account is halted and a rule is crossed; the demo itself is left alone. */
async function haltedNow(route) {
  const answer = await route.fetch();
  const said = await answer.json().catch(() => null);
  const path = new URL(route.request().url()).pathname;
  if (said && path.endsWith("/live")) {
    said.accounts[0].halt = { ...said.accounts[0].halt, level: 3, text: "K3: everything is sold" };
    said.accounts[0].trading_state = "LOCKED";
  }
  if (said && path.endsWith("/accounts")) Object.assign(said[0], { trading_state: "LOCKED", kill_level: 3 });
  if (said && path.endsWith("/constraints")) {
    for (const row of said.rows.slice(12, 15))
      Object.assign(row, { state: "bound", holds: true, used: 1.14, alarming: true });
  }
  return said ? route.fulfill({ response: answer, json: said }) : route.fulfill({ response: answer });
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic"],
});
const made = [];
const wrong = [];
let cookies = [];

async function shoot(look) {
  const [size, theme] = look.split("-");
  const context = await browser.newContext({
    viewport: SIZES[size],
    deviceScaleFactor: size === "phone" ? 2 : 1,
    hasTouch: size === "phone",
    serviceWorkers: "block",
  });
  await context.addInitScript((said) => {
    localStorage.setItem("regime.theme", said);
    localStorage.setItem("regime.prefs", JSON.stringify({ theme: said }));
  }, theme);
  const page = await context.newPage();
  page.on("pageerror", (error) => error.name !== "Unreachable" && wrong.push(`${look}: ${error.message}`));
  const keep = async (name, state) => {
    const file = `${name.replaceAll(/[/?=&]/g, "-")}-${state}-${look}.png`;
    await page.screenshot({ path: `${out}/${file}` });
    made.push({ file, name, state, look });
  };
  await page.goto(`${home}/login`);
  await page.waitForSelector("[data-ready='true']");
  await keep("login", "loaded");
  if (cookies.length === 0) {
    await page.getByLabel("Login").fill(login);
    await page.getByLabel("Password").fill(process.env.REGIME_PASSWORD ?? people[login] ?? "");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL("**/overview**");
    cookies = await context.cookies();
  } else await context.addCookies(cookies);
  for (const [state, { looks, answer, only }] of Object.entries(STATES)) {
    if (!looks.includes(look)) continue;
    await page.unrouteAll({ behavior: "ignoreErrors" });
    const reads = (route) => (route.request().method() === "GET" ? answer(route) : route.fallback());
    if (answer) await page.route(/\/api\/v1\/firms\//, reads);
    for (const route of only ?? routes) {
      await page.goto(`${home}/${route}`);
      await page
        .waitForSelector("[data-link='live']", { timeout: 20_000 })
        .catch(() => wrong.push(`${route} ${look}: not live`));
      await page.waitForLoadState("networkidle", { timeout: 4_000 }).catch(() => undefined);
      const failed = page.getByRole("button", { name: "Try again" }).first();
      if (state === "error") await failed.waitFor({ timeout: 10_000 }).catch(() => undefined);
      await page.waitForTimeout(500);
      const side = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (side > 0) wrong.push(`${route} ${state} ${look}: sideways by ${side}`);
      await keep(route, state);
    }
  }
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.goto(`${home}/overview`);
  await page.waitForSelector("[data-link='live']", { timeout: 20_000 }).catch(() => undefined);
  await page.keyboard.press("Control+k");
  await page.waitForSelector("[role='dialog']");
  await keep("palette", "open");
  await page.keyboard.press("Control+.");
  await page.waitForTimeout(300);
  await keep("halt", "open");
  await context.close();
}

mkdirSync(out, { recursive: true });
for (const look of STATES.loaded.looks) await shoot(look);
await browser.close();

const names = [...new Set(made.map((one) => one.name))];
const sheet = names
  .map((name) => {
    const own = made.filter((one) => one.name === name);
    const shown = own.map(
      ({ file, state, look }) =>
        `<figure class="${look.split("-")[0]}"><a href="${file}"><img src="${file}" loading="lazy" alt="${name}, ${state}, ${look}"></a><figcaption>${state}, ${look}</figcaption></figure>`,
    );
    return `<h2>${name}</h2><div>${shown.join("")}</div>`;
  })
  .join("\n");
writeFileSync(
  `${out}/index.html`,
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>Every page</title><style>
body{font:13px/1.5 system-ui;margin:24px;background:#fff;color:#14181d}div{display:flex;flex-wrap:wrap;gap:16px;align-items:start}
figure{margin:0}img{border:1px solid #ccc;display:block}.desktop img{width:520px}.phone img{width:220px}figcaption{color:#56606b}
</style><h1>Every page</h1>
${sheet}</html>`,
);
for (const one of wrong) console.log(one);
console.log(`${made.length} pictures: ${out}/index.html`);
