import { ACCOUNT, expect, FIRM, faults, isLive, PEOPLE, ROUTES, reach, signIn, test } from "./desk";

test.describe("who comes in", () => {
  test("whoever is not signed in gets the door, and then where they wanted to go", async ({ page }) => {
    await page.goto("/constraints/VT-01");
    await expect(page).toHaveURL(/\/login\?next=/);
    expect(await faults(page)).toEqual([]);
    await page.getByLabel("Login").fill("pm@north-pier.demo");
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByRole("alert")).toBeVisible();
  });

  test("a place of somebody else's is never where one goes after the door", async ({ page }) => {
    for (const next of ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]) {
      await page.goto(`/login?next=${encodeURIComponent(next)}`);
      await page.getByLabel("Login").fill("viewer@north-pier.demo");
      await page.getByLabel("Password").fill(PEOPLE["viewer@north-pier.demo"] ?? "");
      await page.getByRole("button", { name: "Sign in" }).click();
      await expect(page).toHaveURL(/localhost:\d+\/overview/);
    }
  });

  test("whoever leaves sees the door next, however slow the line is", async ({ browser, viewport }) => {
    const context = await browser.newContext({ viewport, serviceWorkers: "block" });
    const page = await context.newPage();
    const heard: string[] = [];
    page.on("console", (said) => said.type() === "error" && heard.push(said.text()));
    await page.goto("/settings");
    await page.getByLabel("Login").fill("pm@north-pier.demo");
    await page.getByLabel("Password").fill(PEOPLE["pm@north-pier.demo"] ?? "");
    await page.getByRole("button", { name: "Sign in" }).click();
    await isLive(page);
    await page.route(/assets\/login/, async (route) => {
      await new Promise((go) => setTimeout(go, 1_500));
      await route.continue();
    });
    await page.goto("/settings"); // the door's own code is not there yet
    await isLive(page);
    await page.evaluate(() => {
      const told = () => {
        if (document.body.textContent?.includes("This page failed")) console.error("a page that failed was shown");
      };
      new MutationObserver(told).observe(document.body, { childList: true, subtree: true });
    });
    heard.length = 0;
    await page.getByRole("button", { name: "Sign out" }).click();
    await expect(page.getByLabel("Login")).toBeVisible();
    await expect(page).toHaveURL(/\/login$/);
    expect(heard.filter((said) => !/status of 401/.test(said))).toEqual([]);
    await context.close();
  });

  for (const role of ["viewer", "analyst", "pm", "admin"]) {
    test(`${role}: what may not be done says why`, async ({ page }) => {
      await signIn(page, role, FIRM, "/live");
      const shadow = page.getByRole("button", { name: `Shadow ${ACCOUNT}` });
      await expect(shadow).toBeVisible();
      const halt = page.getByRole("button", { name: `Halt ${ACCOUNT}`, exact: true });
      if (role === "viewer") {
        await expect(halt).toBeDisabled();
        await expect(halt).toHaveAttribute("title", /role/);
      } else {
        await expect(halt).toBeEnabled();
      }
      if (role === "viewer" || role === "analyst") await expect(shadow).toBeDisabled();
    });
  }

  test("another firm's name is nowhere", async ({ page }) => {
    await signIn(page, "pm", "kestrel-lane");
    await page.goto(`/overview?firm=${FIRM}&account=${ACCOUNT}`);
    await isLive(page);
    await expect(page.locator("body")).not.toContainText(FIRM);
  });
});

test.describe("every page", () => {
  for (const route of ROUTES) {
    test(`${route}: nothing axe objects to, nothing sideways, halt in reach`, async ({ page }) => {
      await signIn(page, "pm", FIRM, `/${route}`);
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      await page.waitForLoadState("networkidle").catch(() => undefined);
      expect(await faults(page)).toEqual([]);
      for (const width of [390, 1360]) {
        await page.setViewportSize({ width, height: 780 });
        await reach(page, width, route);
      }
    });
  }
});

test("the script of a page is on its way before the router asks for it", async ({ page }) => {
  await signIn(page, "pm");
  for (const name of ["portfolio", "audit", "configs"]) {
    await page.goto(`/${name}`);
    await expect(page.locator(`link[rel="modulepreload"][href^="/assets/${name}"]`)).not.toHaveCount(0);
  }
});

test.describe("halt", () => {
  test("from a page, from within the palette and by its keys; the focus stays, Escape leaves", async ({ page }) => {
    await signIn(page, "analyst", FIRM, "/portfolio");
    await page.keyboard.press("Control+.");
    await expect(page.getByRole("dialog", { name: "Halt" })).toBeVisible();
    expect(await faults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+k");
    const palette = page.getByRole("dialog", { name: "Go to, or command" });
    await expect(palette).toBeVisible();
    expect(await faults(page)).toEqual([]);
    await palette.getByRole("button", { name: "Halt" }).click();
    await expect(page.getByRole("dialog", { name: "Halt" })).toBeVisible();
  });

  test("one confirm puts it in force, everybody sees it, and resuming takes the name", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/live");
    await page.getByRole("button", { name: `Halt ${ACCOUNT}`, exact: true }).click();
    await page.getByRole("button", { name: `Pause ${FIRM}/${ACCOUNT}` }).click();
    await expect(page.getByText("K1 is in force")).toBeVisible();
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
    await expect(page.getByText(new RegExp(`^${ACCOUNT}: K1`))).toBeVisible();

    await page.getByRole("button", { name: `Resume ${ACCOUNT}` }).click();
    const sheet = page.getByRole("dialog");
    await expect(sheet.getByText("What changes")).toBeVisible();
    await expect(sheet.getByRole("button", { name: "Cancel" })).toBeFocused();
    const go = sheet.getByRole("button", { name: /Do it|Ask for it/ });
    await expect(go).toBeDisabled();
    await sheet.getByLabel(/^Type/).fill("north-pier/CORE");
    await sheet.getByLabel(/^Why/).fill("the tape is right again");
    await expect(go).toBeDisabled();
    await sheet.getByLabel(/^Type/).fill(`${FIRM}/${ACCOUNT}`);
    await sheet.getByLabel(/^Type/).press("Enter");
    await expect(sheet.getByText("What changes"), "Enter never confirms").toBeVisible();
    await go.click();
    const proof = sheet.getByLabel(/Prove who you are/);
    if (await proof.isVisible({ timeout: 2_000 }).catch(() => false)) {
      await proof.fill(PEOPLE[`pm@${FIRM}.demo`] ?? "");
      await sheet.getByRole("button", { name: "Prove it" }).click();
      await go.click();
    }
    await expect(page.getByRole("dialog", { name: "Done" })).toBeVisible();
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
    await expect(page.getByText(new RegExp(`^${ACCOUNT}: K1`))).toBeHidden({ timeout: 30_000 });
  });

  test("one that cannot be sent is said loudly, with the way that needs no server", async ({ page, context }) => {
    await signIn(page, "pm", FIRM, "/approvals");
    await context.setOffline(true);
    await page.keyboard.press("Control+.");
    await page.getByRole("button", { name: /^Pause/ }).click();
    const said = page.getByRole("alert").filter({ hasText: "regime halt account" });
    await expect(said).toBeVisible();
    await expect(said).toContainText("Not known whether it is halted");
    await context.setOffline(false);
  });
});

test.describe("the palette", () => {
  test("goes, completes, shows where a line is wrong, and never runs what loosens", async ({ page }) => {
    await signIn(page, "pm");
    await page.keyboard.press("Control+k");
    const line = page.getByPlaceholder(/Overview/);
    await expect(line).toBeFocused();
    await line.fill("portf");
    await expect(page.getByRole("option").first()).toContainText("Portfolio");
    await page.keyboard.press("Enter");
    await expect(page).toHaveURL(/\/portfolio/);

    await page.keyboard.press("/");
    await line.fill("/ha");
    await expect(page.getByRole("option", { name: /^halt/ }).first()).toBeVisible();
    await line.fill("/halt accuont");
    await page.getByRole("option").first().click();
    await expect(page.getByRole("alert")).toContainText(/Did you mean|not|expected/i);

    await line.fill(`/resume account account:${FIRM}/${ACCOUNT}`);
    await page.getByRole("option").first().click();
    await expect(page.getByRole("dialog").getByText("What changes")).toBeVisible();
    await page.keyboard.press("Escape");

    await page.keyboard.press("g");
    await page.keyboard.press("c");
    await expect(page).toHaveURL(/\/constraints/);
  });

  test("a mode that is refused says why, and nothing can be confirmed", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/live");
    await page.getByRole("button", { name: `Shadow ${ACCOUNT}` }).click();
    const sheet = page.getByRole("dialog");
    await expect(sheet.getByRole("alert")).toBeVisible();
    await expect(sheet.getByRole("button", { name: /Do it|Ask for it/ })).toBeDisabled();
  });
});

test.describe("what is shown", () => {
  test("map and table are the same book, one key apart", async ({ page }) => {
    const rows = page.getByRole("table", { name: "Positions", exact: true }).getByRole("row");
    await signIn(page, "viewer", FIRM, "/portfolio");
    await expect(async () => {
      // a bar between the two looks is another book: then both are looked at again
      await page.goto("/portfolio");
      await expect(page.locator("figure ul.sr-only li").first()).toBeAttached();
      const tiles = await page.locator("figure ul.sr-only li").allTextContents();
      expect(tiles.length).toBeGreaterThan(5);
      await page.keyboard.press("t");
      await expect(page).toHaveURL(/look=table/);
      await expect(rows).toHaveCount(tiles.length + 1, { timeout: 2_000 });
      for (const tile of tiles) {
        const [symbol = "", weight = ""] = [tile.split(",")[0], /weight ([\d.,−]+ %)/.exec(tile)?.[1]];
        await expect(rows.filter({ hasText: new RegExp(`^${symbol}`) })).toContainText(weight, { timeout: 500 });
      }
    }).toPass({ timeout: 50_000 });
  });

  test("an account of the address stays over every page", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/overview?account=defensive");
    const more = page.getByRole("button", { name: "More", exact: true });
    if (await more.isVisible()) await more.click();
    await page.getByRole("link", { name: "Constraints" }).filter({ visible: true }).first().click();
    await expect(page).toHaveURL(/constraints.*account=defensive/);
    await expect(page.getByText(`${FIRM}/defensive as decided`)).toBeVisible();
  });

  test("without the channel the age is said, and what loosens is disabled", async ({ page, context }) => {
    await signIn(page, "pm", FIRM, "/live");
    await context.setOffline(true);
    await expect(page.locator("[data-link='live']")).toBeHidden({ timeout: 45_000 });
    await expect(page.getByText(/Last update .* ago/)).toBeVisible();
    await context.setOffline(false);
    await isLive(page);
  });

  test("hidden amounts are hidden everywhere, percentages are not", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/settings");
    await page.getByText("hidden", { exact: true }).click();
    await page.getByRole("link", { name: "Overview" }).first().click();
    await expect(page.getByText("•••").first()).toBeVisible();
    await expect(page.locator("section[aria-label='Accounts']")).toContainText("%");
  });

  test("the page can be installed, and opens without a network", async ({ page, context }) => {
    await signIn(page, "pm");
    await page.waitForFunction(
      () => navigator.serviceWorker.controller !== null || navigator.serviceWorker.ready.then(() => true),
    );
    const session = await context.newCDPSession(page);
    const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
    expect(installabilityErrors.filter((one) => one.errorId !== "in-incognito")).toEqual([]);
    await page.reload();
    await isLive(page);
    await context.setOffline(true);
    await page.reload();
    await expect(page.getByText(/cannot be reached|This page failed/).first()).toBeVisible();
    await context.setOffline(false);
  });
});

test.describe("the configuration", () => {
  test("a wrong document is shown at its line, a looser one says so, a tighter one is put in force and taken back", async ({
    page,
  }) => {
    await signIn(page, "pm", FIRM, "/configs");
    const editor = page.getByRole("textbox", { name: "Configuration as YAML" });
    await expect(editor).toBeVisible();
    const change = async (from: string, to: string) => {
      const line = editor.locator(".cm-line").filter({ hasText: from }).first();
      await line.click();
      await page.keyboard.press("End");
      await page.keyboard.press("Shift+Home");
      await page.keyboard.type(to);
    };
    await change("single_name:", 'single_nam: "0.15"');
    await expect(page.locator(".cm-lint-marker-error").first()).toBeVisible();
    await expect(page.getByRole("button", { name: "Keep as a draft" })).toBeDisabled();
    await change("single_nam:", 'single_name: "0.17"');
    const row = page
      .getByRole("row")
      .filter({ hasText: "single_name" })
      .filter({ hasText: `${ACCOUNT}` });
    await expect(row.first()).toContainText("loosens");
    await change("single_name:", 'single_name: "0.14"');
    await expect(row.first()).toContainText("tightens");
    await page.getByLabel("Why").fill("a calmer name limit");
    await page.getByRole("button", { name: "Keep as a draft" }).click();
    await expect(page).toHaveURL(/\/configs\/\d+/);
    await page.getByRole("button", { name: "Put it in force" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Do it" }).click();
    await expect(page.getByRole("dialog", { name: "Done" })).toBeVisible();
    await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
    await expect(page.getByText("applied").first()).toBeVisible();
    expect(await faults(page)).toEqual([]);
  });
});
