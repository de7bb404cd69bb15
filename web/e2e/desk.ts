import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test as base, type Cookie, expect, type Page } from "@playwright/test";

export const FIRM = "north-pier";
export const ACCOUNT = "core";
/** In shadow, so that whatever loosens it takes another person; there where the tests own the server. */
export const SHADOWED = "mandate";
/** Its basket asks people before anything leaves. */
export const ASKED = "manual";
export const FULL = Boolean(process.env.REGIME_FULL);
export const CONTROL = process.env.REGIME_CONTROL ?? "";
export const ROLES = ["viewer", "analyst", "pm", "admin"];
export const PEOPLE: Record<string, string> = JSON.parse(process.env.REGIME_PEOPLE ?? "{}");
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const ROUTES = [
  "overview",
  "portfolio",
  "portfolio?look=table",
  "constraints",
  "constraints/VT-01",
  "actions",
  "regimes",
  "approvals",
  "runs",
  "artifacts",
  "configs",
  "basket",
  "admin",
  "rl",
  "live",
  "actions?outcome=resize",
  "approvals?order=age",
  "audit",
  "audit?tab=registers",
  "audit?tab=proof",
  "audit?tab=exports",
  "audit/admin/north-pier/_firm/1",
  "settings",
];

export function loginOf(role: string, firm = FIRM): string {
  return `${role}@${firm}.demo`;
}

const kept = new Map<string, Cookie[]>();

/** Goes to a page as somebody; through the door once, and with the same session after that. */
export async function signIn(page: Page, role: string, firm = FIRM, next = "/overview"): Promise<void> {
  const login = loginOf(role, firm);
  const password = PEOPLE[login];
  if (password === undefined) throw new Error(`no password of ${login} in REGIME_PEOPLE`);
  await page.context().addCookies(kept.get(login) ?? []);
  await page.goto(next);
  await page.waitForSelector("[data-ready='true']");
  if (new URL(page.url()).pathname === "/login") {
    await page.getByLabel("Login").fill(login);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL((at) => at.pathname !== "/login");
    kept.set(login, await page.context().cookies());
  }
  await expect(page).toHaveURL(new RegExp(next.split("?")[0] ?? ""));
  await isLive(page);
}

/** Where there is no room for two things beside each other. */
export function isNarrow(page: Page): boolean {
  return (page.viewportSize()?.width ?? 1360) < 720;
}

export async function isLive(page: Page): Promise<void> {
  await expect(page.locator("[data-link='live']")).toBeVisible({ timeout: 20_000 });
}

/** What the API answers to this page's person. */
export async function ask(
  page: Page,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; said: Said; etag: string; left: number }> {
  return page.evaluate(
    async ([how, where, what, more]) => {
      const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16)).join("");
      const answer = await fetch(`/api/v1${where}`, {
        method: how as string,
        headers: {
          "x-regime": "1",
          "content-type": "application/json",
          "idempotency-key": key,
          ...(more as Record<string, string>),
        },
        ...(what === undefined ? {} : { body: JSON.stringify(what) }),
      });
      return {
        status: answer.status,
        said: await answer.json().catch(() => null),
        etag: answer.headers.get("etag") ?? "",
        left: Number(answer.headers.get("ratelimit-remaining") ?? 1),
      };
    },
    [method, path, body, headers] as const,
  );
}
// biome-ignore lint/suspicious/noExplicitAny: whatever the server says
export type Said = any;

/** Gives a command by the palette. */
export async function give(page: Page, command: string): Promise<void> {
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder(/Overview/).fill(command);
  await page.getByRole("option", { name: command }).first().click();
}

/** Confirms the sheet that is open: phrase, reason, and who one is where it asks. */
export async function confirm(page: Page, phrase: string, reason: string, password: string): Promise<void> {
  const sheet = page.getByRole("dialog");
  await expect(sheet.getByText("What changes")).toBeVisible({ timeout: 60_000 });
  if (phrase) await sheet.getByLabel(/^Type/).fill(phrase);
  if (reason) await sheet.getByLabel(/^Why/).fill(reason);
  await sheet.getByRole("button", { name: /Do it|Ask for it/ }).click();
  const proof = sheet.getByLabel(/Prove who you are/);
  const over = page.getByRole("dialog", { name: /^(Done|Asked for|Refused)$/ });
  await expect(proof.or(over)).toBeVisible({ timeout: 60_000 });
  if (await proof.isVisible()) {
    await proof.fill(password);
    await sheet.getByRole("button", { name: "Prove it" }).click();
    await sheet.getByRole("button", { name: /Do it|Ask for it/ }).click();
  }
  await expect(over).toBeVisible({ timeout: 60_000 });
}

/** Starts the server again, as the tests own it; new passwords come with it. */
export async function restart(asked: Record<string, string>): Promise<void> {
  const answer = await fetch(`${CONTROL}/restart?${new URLSearchParams(asked)}`, { method: "POST" });
  Object.assign(PEOPLE, await answer.json());
  kept.clear();
  expect(answer.ok).toBe(true);
}

/** What axe finds wrong, one line each. */
export async function faults(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    type Axe = {
      run: (node: Document, how: object) => Promise<{ violations: { id: string; nodes: { html: string }[] }[] }>;
    };
    const { axe } = window as unknown as { axe: Axe };
    const tags = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"];
    const { violations } = await axe.run(document, { runOnly: { type: "tag", values: tags } });
    return violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 160)}`));
  });
}

/** A way to a halt that nothing covers, large enough for a finger where fingers are, and no sideways scroll. */
export async function reach(page: Page, width: number, what: string): Promise<void> {
  const found = await page.evaluate(() => {
    const seen = [...document.querySelectorAll("button")]
      .filter((one) => one.textContent?.trim() === "Halt" || one.textContent?.trim().startsWith("Pause "))
      .map((one) => {
        const box = one.getBoundingClientRect();
        const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        return { right: box.right, least: Math.min(box.width, box.height), free: one.contains(top) };
      });
    return { seen, sideways: document.documentElement.scrollWidth - window.innerWidth };
  });
  expect(found.sideways, `sideways at ${width}, ${what}`).toBeLessThanOrEqual(0);
  const free = found.seen.filter((one) => one.free && one.right <= width);
  expect(free.length, `halt in reach at ${width}, ${what}: ${JSON.stringify(found.seen)}`).toBeGreaterThan(0);
  if (width < 1080) {
    expect(Math.max(...free.map((one) => one.least)), `halt at ${width}, ${what}`).toBeGreaterThanOrEqual(44);
  }
}

const REFUSED = /status of (400|401|403|404|409|412|422)|ERR_INTERNET|ERR_CONNECTION|ERR_FAILED|WebSocket|Unreachable/;

/** Everybody who opens a page also hears what it complains of. */
export const test = base.extend<{ complaints: string[]; failing: boolean }>({
  /** Whether a server that fails is part of the story: elsewhere that is a complaint. */
  failing: [false, { option: true }],
  complaints: [
    async ({ page, failing }, use) => {
      const heard: string[] = [];
      page.on("pageerror", (error) => error.name === "Unreachable" || heard.push(error.message));
      page.on("console", (message) => {
        if (
          message.type() === "error" &&
          !REFUSED.test(message.text()) &&
          !(failing && /status of (500|503)/.test(message.text()))
        ) {
          heard.push(message.text());
        }
      });
      await use(heard);
      await page.unrouteAll({ behavior: "ignoreErrors" }); // what a test still answers when it ends is no fault
      expect(heard, "what the page complained of").toEqual([]);
    },
    { auto: true },
  ],
});

export { expect };
