import type { Locator, Page } from "@playwright/test";
import decodeQR from "qr/decode.js";
import { ACCOUNT, expect, FIRM, faults, isNarrow, PEOPLE, signIn, test } from "./desk";

/** Nothing axe objects to, and nothing that scrolls sideways on a phone. */
async function isSound(page: Page): Promise<void> {
  expect(await faults(page)).toEqual([]);
  const size = page.viewportSize();
  await page.setViewportSize({ width: 390, height: 780 });
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  expect(sideways, "at 390").toBeLessThanOrEqual(0);
  if (size !== null) await page.setViewportSize(size);
}

/** Proves who it is where that is asked for, and what was asked for goes on. */
async function prove(page: Page, login: string): Promise<void> {
  const proof = page.getByLabel(/Prove who you are/).first();
  if (!(await proof.isVisible({ timeout: 2_000 }).catch(() => false))) return;
  await proof.fill(PEOPLE[login] ?? "");
  await page.getByRole("button", { name: "Prove it", exact: true }).first().click();
}

test.describe("the record", () => {
  test("filters are in the address, an entry says where it stands and what it is about", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/audit");
    const entries = page.getByRole("group", { name: "Entries of the record" });
    await expect(entries.getByRole("link").first()).toBeVisible();
    await page.getByLabel("Kind").selectOption("CONFIG_ACCEPTED");
    await expect(page).toHaveURL(/kind=CONFIG_ACCEPTED/);
    await expect(entries.getByRole("link")).not.toHaveCount(0);
    for (const line of await entries.getByRole("link").allTextContents()) expect(line).toContain("accepted");
    await isSound(page);
    await entries.getByRole("link").first().click();
    await expect(page).toHaveURL(/\/audit\/admin\/north-pier\/_firm\/\d+/);
    await expect(page.getByRole("table", { name: "Before and after" })).toBeVisible();
    await isSound(page);

    const event = (await page.getByText(/^[0-9a-f]{8}-[0-9a-f]{4}-/).textContent()) ?? "";
    await page.goto("/audit");
    if (isNarrow(page)) await page.getByRole("button", { name: "More filters" }).click();
    await page.getByLabel("Id or hash it says").fill(event);
    await page.getByRole("button", { name: "Look" }).click();
    await expect(page).toHaveURL(new RegExp(`id=${event}`));
    await expect(entries.getByRole("link")).toHaveCount(1);
    await page.goto(`/audit?rule=nothing&actor=${"x".repeat(200)}`);
    await expect(entries.getByRole("link").first()).toBeVisible();
    await page.goto("/audit?id=is-nowhere");
    await expect(page.getByText("No audit events match")).toBeVisible();
    await page.getByRole("link", { name: "Clear the filter" }).click();
    await expect(entries.getByRole("link").first()).toBeVisible();
  });

  test("the list goes on as it is scrolled, and only what is in sight is there", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/audit");
    const entries = page.getByRole("group", { name: "Entries of the record" });
    await expect(entries.getByRole("link").first()).toBeVisible();
    await expect(page.getByText(/so far, more as you scroll/)).toBeVisible();
    const before = await entries.getByRole("listitem").first().getAttribute("aria-setsize");
    await entries.evaluate((box) => box.scrollTo(0, box.scrollHeight));
    await expect
      .poll(async () => Number(await entries.getByRole("listitem").first().getAttribute("aria-setsize")))
      .toBeGreaterThan(Number(before));
    expect(await entries.getByRole("listitem").count()).toBeLessThan(60);
  });

  test("a verification is asked for and its verdict is told with its age", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/audit?tab=proof");
    await page.getByRole("button", { name: "Verify it now" }).click();
    await expect(page.getByText("it holds", { exact: true })).toBeVisible({ timeout: 45_000 });
    await expect(page.getByText(/entries in \d+ chains/)).toContainText("ago");
    await isSound(page);
  });

  test("every register is a table of the record, each row with its entry", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/audit?tab=registers");
    const names = page.getByRole("navigation", { name: "Registers" });
    await expect(names.getByRole("link", { name: "breaches" })).toBeVisible();
    for (const name of ["limit changes", "orders"]) {
      await names.getByRole("link", { name }).click();
      await expect(page).toHaveURL(new RegExp(`register=${name.replace(" ", "-")}`));
      const table = page.getByRole("table", { name: `Register of ${name}` });
      await expect(table.getByRole("link", { name: /^entry \d+/ }).first()).toBeVisible();
    }
    await isSound(page);
    await page.getByLabel("To (UTC day)").fill("1999-01-01");
    await page.getByRole("button", { name: "Look" }).click();
    await expect(page.getByText(/No orders in this window/)).toBeVisible();
  });

  test("a bundle is asked for, gets ready, and what is fetched has the checksum that is shown", async ({ page }) => {
    await signIn(page, "admin", FIRM, "/audit?tab=exports");
    await page
      .getByRole("region", { name: "Ask for a bundle" })
      .getByLabel(/^Account/)
      .selectOption(ACCOUNT);
    await page.getByRole("button", { name: "Ask for it" }).click();
    await prove(page, `admin@${FIRM}.demo`);
    const ready = page.getByRole("link", { name: "Download" }).first();
    await expect(ready).toBeVisible({ timeout: 45_000 });
    await isSound(page);
    const shown = await page.locator("dd code").first().textContent();
    const href = (await ready.getAttribute("href")) ?? "";
    const fetched = await page.evaluate(async (at) => {
      const bytes = await (await fetch(at)).arrayBuffer();
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
      return Array.from(digest, (one) => one.toString(16).padStart(2, "0")).join("");
    }, href);
    expect(fetched).toBe(shown);
    await signIn(page, "pm", FIRM, "/audit?tab=exports");
    await expect(page.getByText(/made by an administrator/)).toBeVisible();
  });

  test("a viewer is told who reads it, and asks for nothing", async ({ page }) => {
    const asked: string[] = [];
    page.on("request", (one) => one.url().includes("/audit/") && one.url().includes("/api/") && asked.push(one.url()));
    await signIn(page, "viewer", FIRM, "/audit");
    await expect(page.getByText(/The record is read by an analyst/)).toBeVisible();
    await page.goto(`/audit/admin/${FIRM}/_firm/1`);
    await expect(page.getByText(/The record is read by an analyst/)).toBeVisible();
    expect(asked).toEqual([]);
  });

  test("a limit and a mode say who changed them last, one tap from the entry", async ({ page }) => {
    await signIn(page, "pm", FIRM, `/constraints/CC-01?account=${ACCOUNT}`);
    const last = page.getByText(/Last changed|first seen/);
    await expect(last).toBeVisible();
    await last.getByRole("link").first().click();
    await expect(page).toHaveURL(/\/audit\/admin\//);
    await page.goto("/live");
    await expect(page.getByText(/Last changed|first seen/).first()).toBeVisible();
  });
});

test.describe("actions", () => {
  test("a decision opens by its address: which guard changed what, before and after", async ({ page }) => {
    await signIn(page, "viewer", FIRM, "/actions");
    const rows = page.getByRole("group", { name: /What is decided and done/ });
    await page.getByLabel(/^Decision/).selectOption("resize");
    await expect(page).toHaveURL(/outcome=resize/);
    await expect(rows.getByRole("link").first()).toContainText("resize");
    await rows.getByRole("link").first().click();
    await expect(page).toHaveURL(/open=[a-z]+\.[0-9a-f]{64}/);
    const sheet = page.getByRole("dialog");
    await expect(sheet.getByText("From the proposal to what is allowed")).toBeVisible();
    await expect(sheet.getByRole("listitem").filter({ hasText: "Volatility" }).first()).toBeVisible();
    await expect(sheet.getByRole("table", { name: "Symbols of the decision" })).toBeVisible();
    await isSound(page);
    await page.reload();
    await expect(sheet.getByText("From the proposal to what is allowed")).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(page).not.toHaveURL(/open=/);
    await expect(page).toHaveURL(/outcome=resize/);
  });

  test("a pause holds what is read still and counts what comes; filters are in the address", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/actions");
    const rows = page.getByRole("group", { name: /What is decided and done/ });
    await expect(rows.getByRole("listitem").first()).toBeVisible();
    await page.getByRole("button", { name: "Pause" }).click();
    const first = (await rows.getByRole("listitem").first().textContent()) ?? "";
    await expect(page.getByRole("button", { name: /^Go on \([1-9]\d* new\)/ })).toBeVisible({ timeout: 30_000 });
    const seen = await rows.getByRole("listitem").allTextContents();
    expect(seen).toContain(first);
    for (let n = 0; n < seen.indexOf(first); n++) {
      await expect(
        rows
          .getByRole("listitem")
          .nth(n)
          .getByText(/^(breach|state)$/),
      ).toBeVisible(); // these come through
    }
    await isSound(page);
    await page.getByRole("button", { name: /^Go on/ }).click();
    await expect(page.getByRole("button", { name: "Pause" })).toBeVisible();
    await page.getByLabel("Rule, then Enter").fill("cc-01");
    await page.getByLabel("Rule, then Enter").press("Enter");
    await expect(page).toHaveURL(/rule=CC-01/);
    await expect(rows.getByRole("listitem").first()).toContainText("CC-01");
    await page.goto("/actions?outcome=lock");
    await expect(page.getByText("No decisions in this window")).toBeVisible();
  });
});

test.describe("one's own settings", () => {
  test("an authenticator is set up with a code of it, signs in, and is taken away", async ({ page }) => {
    const login = `analyst@${FIRM}.demo`;
    await signIn(page, "analyst", FIRM, "/settings");
    const panel = page.getByRole("region", { name: "Second factors" });
    await panel.getByRole("button", { name: "Set one up" }).click();
    await prove(page, login);
    const picture = panel.getByRole("img", { name: /authenticator, for its camera/ });
    await expect(picture).toBeVisible();
    await isSound(page);
    const said = new URL(await asByCamera(page, picture));
    expect([said.protocol, said.host]).toEqual(["otpauth:", "totp"]);
    expect(decodeURIComponent(said.pathname)).toContain(login);
    const seed = said.searchParams.get("secret") ?? "";
    expect(seed).toBe(((await panel.locator("code").first().textContent()) ?? "").replaceAll(" ", ""));
    await panel.getByLabel("Six digits that it shows now").fill("000000");
    await panel.getByRole("button", { name: "Confirm it" }).click();
    await expect(panel.getByRole("alert").first()).toBeVisible();
    await panel.getByLabel("Six digits that it shows now").fill(await codeOf(page, seed, -1));
    await panel.getByRole("button", { name: "Confirm it" }).click();
    await expect(panel.getByText("Keep these recovery codes")).toBeVisible();
    await isSound(page);
    await panel.getByRole("button", { name: "I have kept them" }).click();
    await expect(panel.getByText("set up", { exact: true })).toBeVisible();

    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Login").fill(login);
    await page.getByLabel("Password").fill(PEOPLE[login] ?? "");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByLabel(/Six digits/).fill(await codeOf(page, seed, 0));
    await page.getByRole("button", { name: "Prove it" }).click();
    await expect(page).toHaveURL(/overview/);
    await page.goto("/settings");
    await panel.getByRole("button", { name: "Remove the authenticator" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove it" }).click();
    const proof = page.getByRole("dialog").getByLabel(/Prove who you are/);
    if (await proof.isVisible({ timeout: 2_000 }).catch(() => false)) {
      await proof.fill(await codeOf(page, seed, 1));
      await page.getByRole("dialog").getByRole("button", { name: "Prove it" }).click();
    }
    await expect(panel.getByRole("button", { name: "Set one up" })).toBeVisible();
  });

  test("a passkey is added, and taken away", async ({ page, context }) => {
    const cdp = await context.newCDPSession(page);
    await cdp.send("WebAuthn.enable");
    await cdp.send("WebAuthn.addVirtualAuthenticator", {
      options: {
        protocol: "ctap2",
        transport: "internal",
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    const login = `viewer@${FIRM}.demo`;
    await signIn(page, "viewer", FIRM, "/settings");
    const panel = page.getByRole("region", { name: "Second factors" });
    await panel.getByLabel("Name of a new one").fill("this laptop");
    await panel.getByRole("button", { name: "Add a passkey" }).click();
    await prove(page, login);
    await expect(panel.getByText("Keep these recovery codes")).toBeVisible();
    await panel.getByRole("button", { name: "I have kept them" }).click();

    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Login").fill(login);
    await page.getByLabel("Password").fill(PEOPLE[login] ?? "");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("button", { name: "Use a passkey" }).click();
    await expect(page).toHaveURL(/overview/);
    await page.goto("/settings");
    await panel.getByRole("button", { name: "Remove the passkey this laptop" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove it" }).click();
    const proof = page.getByRole("dialog").getByRole("button", { name: "Prove it with a passkey" });
    if (await proof.isVisible({ timeout: 2_000 }).catch(() => false)) await proof.click();
    await expect(panel.getByText("this laptop")).toBeHidden();
  });

  test("a token is made, shown once, does what it may, and is ended", async ({ page, request }) => {
    await signIn(page, "analyst", FIRM, "/settings");
    const panel = page.getByRole("region", { name: /API tokens/ });
    await panel.getByLabel("Name of a new token").fill("nightly");
    await panel.getByRole("button", { name: "Make a token" }).click();
    await prove(page, `analyst@${FIRM}.demo`);
    const text = (await panel.getByRole("alert").locator("code").textContent()) ?? "";
    const read = () => request.get(`/api/v1/firms/${FIRM}/accounts`, { headers: { authorization: `Bearer ${text}` } });
    expect((await read()).status()).toBe(200);
    await isSound(page);
    await panel.getByRole("button", { name: "End the token nightly" }).first().click();
    await page.getByRole("dialog").getByRole("button", { name: "End it" }).click();
    await expect(page.getByRole("dialog")).toBeHidden();
    expect((await read()).status()).toBe(401);
  });

  test("a wrong password changes nothing and says so; figures follow how they are to be read", async ({ page }) => {
    await signIn(page, "analyst", FIRM, "/settings");
    const panel = page.getByRole("region", { name: "Password" });
    await panel.getByLabel("The one that is").fill("not the password");
    await panel.getByLabel("The one that shall be").fill("a long and new password 9");
    await panel.getByLabel("Once more").fill("another one");
    await expect(panel.getByText("The two are not the same.")).toBeVisible();
    await panel.getByLabel("Once more").fill("a long and new password 9");
    await panel.getByRole("button", { name: "Change the password" }).click();
    await expect(panel.getByRole("alert")).toContainText(/do not fit/);
    await page.getByText("1.234,5", { exact: true }).click();
    await page.getByText("comfortable", { exact: true }).click();
    await expect(page.locator("html")).toHaveAttribute("data-density", "comfortable");
    await page.getByRole("link", { name: "Overview" }).first().click();
    await expect(page.locator("section[aria-label='Accounts']")).toContainText(/\d\.\d{3}/);
    await page.goto("/settings");
    await expect(page.getByRole("region", { name: "This program" })).toContainText(/[0-9a-f]{12}/);
  });
});

test.describe("people", () => {
  test("somebody is added, given and loses a role, is kept out and let in, and reset", async ({ page }) => {
    const [admin, login] = [`admin@${FIRM}.demo`, `new-${Date.now()}@${FIRM}.demo`];
    await signIn(page, "admin", FIRM, "/admin");
    await page.getByLabel("Login").fill(login);
    await page.getByLabel("Name", { exact: true }).fill("Somebody New");
    await page.getByRole("button", { name: "Make a link" }).click();
    await prove(page, admin);
    await expect(page.getByText("Give them this link yourself")).toBeVisible();
    await page.getByRole("link", { name: login }).click();
    await expect(page).toHaveURL(/person=usr-/);
    const person = page.getByRole("region", { name: login });
    await expect(person.getByText("invited")).toBeVisible();
    await isSound(page);

    await person.getByText(/^Give .* a role/).click();
    await person.getByRole("combobox", { name: /^Role/ }).selectOption("analyst");
    await person.getByLabel("every account, those to come too").uncheck();
    await person.getByLabel(ACCOUNT, { exact: true }).check();
    await person.getByRole("button", { name: "Give analyst" }).click();
    await prove(page, admin);
    await expect(person.getByText(`${login} is analyst now.`)).toBeVisible();
    await expect(person.getByText(`analyst over ${ACCOUNT}`)).toBeVisible();

    const act = async (name: string | RegExp, verb: string) => {
      await person.getByRole("button", { name }).click();
      await page.getByRole("dialog").getByRole("button", { name: verb }).click();
      await prove(page, admin);
    };
    await act(/^Take analyst from/, "Take it away");
    await expect(person.getByText(/is no longer analyst/)).toBeVisible();
    await act(/^Keep .* out/, "Disable");
    await expect(person.getByText(/is kept out/)).toBeVisible();
    await act(/^Let .* in again/, "Enable");
    await expect(person.getByText(/is let in again/)).toBeVisible();
    await act(/^Reset the password/, "Make a link");
    await expect(page.getByRole("dialog").getByText("Give them this link yourself")).toBeVisible();
    expect(await faults(page)).toEqual([]);
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
    await act(/^Sign .* out everywhere/, "Sign out");
    await expect(page.getByRole("dialog").getByText(/sessions? ended/)).toBeVisible();
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
    await page.getByRole("button", { name: "Show them" }).click();
    await prove(page, admin);
    await expect(page.getByRole("region", { name: /Everybody's API tokens/ })).toContainText(/None|Nobody|May/);
  });

  test("the last administrator stays, and the server's words for it are shown", async ({ page }) => {
    await signIn(page, "admin", FIRM, "/admin");
    await page.getByRole("link", { name: `admin@${FIRM}.demo` }).click();
    await page.getByRole("button", { name: /^Take admin from/ }).click();
    const sheet = page.getByRole("dialog");
    await sheet.getByRole("button", { name: "Take it away" }).click();
    await prove(page, `admin@${FIRM}.demo`);
    await expect(sheet.getByRole("alert")).toContainText(/administrator|admin/i);
  });

  test("a PM sees who there is and changes nothing; others are told who sees it", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/admin");
    await expect(page.getByRole("table", { name: "People of the firm" })).toBeVisible();
    await expect(page.getByText("Add somebody")).toBeHidden();
    await signIn(page, "viewer", FIRM, "/admin");
    await expect(page.getByText(/shown to a PM and to an administrator/)).toBeVisible();
  });
});

test.describe("approvals", () => {
  test("nothing waits: why, what was decided last; an order is in the address", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/approvals?order=age");
    await expect(page.getByText(/Nothing waits for you|Waiting: \d/).first()).toBeVisible();
    await expect(page.getByRole("heading", { name: /Decided|decided/ })).toBeVisible();
    await isSound(page);
  });
});

/** What a camera that is held askew and out of focus reads in a picture on the screen. */
async function asByCamera(page: Page, picture: Locator): Promise<string> {
  const shot = (await picture.screenshot()).toString("base64");
  const { width, height, data } = await page.evaluate(async (png) => {
    const bytes = Uint8Array.from(atob(png), (one) => one.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const side = Math.ceil(image.width * 1.5);
    const eye = new OffscreenCanvas(side, side).getContext("2d");
    if (eye === null) throw new Error("no canvas");
    eye.fillStyle = "#333";
    eye.fillRect(0, 0, side, side);
    eye.translate(side / 2, side / 2);
    eye.rotate((8 * Math.PI) / 180);
    eye.filter = "blur(0.6px) contrast(60%)";
    eye.drawImage(image, -image.width / 2, -image.height / 2);
    return { width: side, height: side, data: Array.from(eye.getImageData(0, 0, side, side).data) };
  }, shot);
  return decodeQR({ width, height, data: Uint8ClampedArray.from(data) });
}

/** Six digits of an authenticator, some steps of 30 s from now (RFC 6238). */
async function codeOf(page: Page, seed: string, steps: number): Promise<string> {
  return page.evaluate(
    async ([text, away]) => {
      const bits = Array.from(text as string, (one) =>
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(one).toString(2).padStart(5, "0"),
      ).join("");
      const bytes = new Uint8Array(Math.floor(bits.length / 8)).map((_, n) =>
        Number.parseInt(bits.slice(8 * n, 8 * n + 8), 2),
      );
      const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-1" }, false, ["sign"]);
      const counter = new DataView(new ArrayBuffer(8));
      counter.setUint32(4, Math.floor(Date.now() / 30_000) + (away as number));
      const mac = new DataView(await crypto.subtle.sign("HMAC", key, counter.buffer));
      const code = (mac.getUint32(mac.getUint8(19) & 15) & 0x7fffffff) % 1_000_000;
      return String(code).padStart(6, "0");
    },
    [seed, steps],
  );
}
