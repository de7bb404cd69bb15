import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test as base, expect, type Page } from "@playwright/test";

export const FIRM = "north-pier";
export const ACCOUNT = "core";
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

export async function signIn(page: Page, role: string, firm = FIRM, next = "/overview"): Promise<void> {
  const login = loginOf(role, firm);
  const password = PEOPLE[login];
  if (password === undefined) throw new Error(`no password of ${login} in REGIME_PEOPLE`);
  await page.goto(`/login?next=${encodeURIComponent(next)}`);
  await page.getByLabel("Login").fill(login);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page).toHaveURL(new RegExp(next.split("?")[0] ?? ""));
  await isLive(page);
}

export async function isLive(page: Page): Promise<void> {
  await expect(page.locator("[data-link='live']")).toBeVisible();
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

/** Everybody who opens a page also hears what it complains of. */
export const test = base.extend<{ complaints: string[] }>({
  complaints: [
    async ({ page }, use) => {
      const heard: string[] = [];
      page.on("pageerror", (error) => error.name === "Unreachable" || heard.push(error.message));
      page.on("console", (message) => {
        if (
          message.type() === "error" &&
          !/status of (400|401|403|404|409|422)|ERR_INTERNET|ERR_CONNECTION|WebSocket|Unreachable/.test(message.text())
        ) {
          heard.push(message.text());
        }
      });
      await use(heard);
      expect(heard, "what the page complained of").toEqual([]);
    },
    { auto: true },
  ],
});

export { expect };
