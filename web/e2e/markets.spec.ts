import type { Page, Route } from "@playwright/test";
import { ACCOUNT, expect, FIRM, faults, signIn, test } from "./desk";

const API = "**/api/v1/firms/*";

async function sound(page: Page): Promise<void> {
  expect(await faults(page)).toEqual([]);
  for (const width of [1360, 390]) {
    await page.setViewportSize({ width, height: 780 });
    const beyond = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    await expect.poll(beyond, { message: `at ${width}` }).toBeLessThanOrEqual(0);
  }
}

/** Answer as the server does when a part of it fails. */
async function fail(page: Page, pattern: string): Promise<void> {
  await page.route(pattern, (route) =>
    route.fulfill({
      status: 500,
      contentType: "application/problem+json",
      body: JSON.stringify({
        status: 500,
        code: "internal",
        detail: "A test broke this.",
        request_id: "0123456789abcdef",
      }),
    }),
  );
}

/** Change what the server answers, so that a state is shown that this demo is not in. */
async function answer(page: Page, pattern: string, change: (body: never) => unknown): Promise<void> {
  await page.route(pattern, async (route: Route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: change((await response.json()) as never) });
  });
}

/** The first answer again and again, so that two looks at it are at the same thing while the demo goes on. */
async function still(page: Page, pattern: string): Promise<void> {
  let body: string | undefined;
  await page.route(pattern, async (route) => {
    body ??= await (await route.fetch()).text();
    await route.fulfill({ contentType: "application/json", body });
  });
}

/** A drawing is made, and asks for what it shows, where somebody comes near it. */
async function comeNear(page: Page, region: string): Promise<void> {
  await page.getByRole("region", { name: region }).scrollIntoViewIfNeeded();
}

test.describe("regimes", () => {
  test("the ribbon lies under the price, bar under bar; the table has the same bars", async ({ page }) => {
    await signIn(page, "viewer", FIRM, "/regimes?bars=60&symbol=KO");
    const lane = page.locator("svg[data-lane]");
    await expect(lane).toBeVisible();
    await expect(page.locator("figure canvas").first()).toBeVisible();
    const chart = await page.locator("figure canvas").first().boundingBox();
    const under = await lane.boundingBox();
    expect(under?.y ?? 0).toBeGreaterThanOrEqual((chart?.y ?? 0) + (chart?.height ?? 0) - 1);
    const readout = page.locator("[data-readout]");
    const last = await readout.textContent();
    await page.mouse.move((chart?.x ?? 0) + 40, (chart?.y ?? 0) + 60);
    await expect(readout).not.toHaveText(last ?? "");
    await page.keyboard.press("t");
    await expect(page).toHaveURL(/twin=true/);
    const table = page.getByRole("table", { name: /^Price and regime of KO/ });
    await expect(table.getByRole("row")).toHaveCount(61);
    const newest = await table.getByRole("row").nth(1).textContent();
    expect(newest).toMatch(/UTC[\d.,]+/);
    await sound(page);
  });

  test("a symbol of the address is shown, and what has no tape says what the regime uses", async ({ page }) => {
    await signIn(page, "viewer", FIRM, "/regimes?symbol=JPM");
    await expect(page.getByRole("heading", { name: "JPM: price and regime" })).toBeVisible();
    await expect(page.getByText("No microstructure feed for this symbol; the regime uses bars only.")).toBeVisible();
    await expect(page.getByRole("group", { name: "Transitions" })).toContainText("times");
    await page.getByRole("combobox", { name: "Symbol" }).selectOption("KO");
    await expect(page).toHaveURL(/symbol=KO/);
  });

  test("a tape that is there is told, and what is not known of it says why", async ({ page }) => {
    await answer(page, `${API}/tape`, (body: { symbols: unknown[] }) => ({
      ...body,
      symbols: [
        {
          symbol: "KO", start: "2022-01-03T14:30:00Z", end: "2022-01-03T21:00:00Z", evidence: "L1", health: "thin",
          health_score: 61.5, health_reasons: ["few quotes"], spread_bps: 1.52, last_spread_bps: 1.1,
          effective_spread_bps: null, order_flow_imbalance: -320, order_flow_beta: null, order_flow_r2: null,
          microprice: 60.012, mid: 60.01, microprice_gap_bps: 0.33, vpin: null, book: "two_sided",
          unknown: { "spread.effective_bps": "no trades" },
        },
      ],
    })); // biome-ignore format: one row of a table
    await signIn(page, "viewer", FIRM, "/regimes?symbol=KO");
    const panel = page.getByRole("region", { name: "Tape health" });
    await expect(panel).toContainText("thin");
    await expect(panel).toContainText("−320 units");
    await expect(panel).toContainText("unknown: no trades");
    await sound(page);
  });

  test("where no run has read a regime, that is said with the next step", async ({ page }) => {
    await page.route(`${API}/regimes`, (route) =>
      route.fulfill({
        status: 404,
        contentType: "application/problem+json",
        body: '{"status":404,"code":"not_found"}',
      }),
    );
    await signIn(page, "analyst", FIRM, "/regimes");
    await expect(page.getByText(/No run has read a regime yet/)).toContainText("/run regime symbol:SPX");
  });
});

test.describe("the book", () => {
  test("map and table are equal in every colour, by keyboard alone", async ({ page }) => {
    await still(page, `${API}/accounts/*/portfolio`);
    await signIn(page, "viewer", FIRM, "/portfolio");
    for (const [colour, column] of [
      ["pnl", "Return"],
      ["risk", "Risk"],
      ["corr", "Correlation"],
    ] as const) {
      await page.goto(`/portfolio?colour=${colour}`);
      const tiles = page.locator("figure ul.sr-only li");
      await expect(tiles.first()).toBeAttached();
      const said = await tiles.allTextContents();
      await page.keyboard.press("t");
      await expect(page).toHaveURL(/look=table/);
      const table = page.getByRole("table", { name: "Positions", exact: true });
      await expect(table.getByRole("row")).toHaveCount(said.length + 1);
      const heads = await table.getByRole("columnheader").allTextContents();
      const at = heads.indexOf(column);
      expect(at, column).toBeGreaterThan(0);
      for (const tile of said) {
        const symbol = tile.split(",")[0] ?? "";
        const figure = tile
          .slice(tile.lastIndexOf(" ", tile.length - 3))
          .trim()
          .replace(/^\+/, "");
        const row = table.getByRole("row").filter({ has: page.getByRole("link", { name: symbol, exact: true }) });
        await expect(row.getByRole("cell").nth(at)).toContainText(figure);
      }
      await page.keyboard.press("t");
      await expect(tiles.first()).toBeAttached();
    }
    await sound(page);
  });

  test("a position leads to the decision about it, and its place is in the address", async ({ page }) => {
    await signIn(page, "viewer", FIRM, "/portfolio?look=table");
    const table = page.getByRole("table", { name: "Positions", exact: true });
    const link = table.getByRole("link").first();
    const symbol = (await link.textContent()) ?? "";
    await link.click();
    await expect(page).toHaveURL(new RegExp(`symbol=${symbol}`));
    await expect(page.getByRole("region", { name: symbol, exact: true })).toContainText(/Decided .* in its run/);
    await sound(page);
  });

  test("a flat book says so; factors that are not in the record are not made up", async ({ page }) => {
    await signIn(page, "viewer", FIRM, "/portfolio");
    await expect(page.getByRole("region", { name: "Exposure by factor" })).toContainText("Momentum");
    await answer(page, `${API}/accounts/*/portfolio`, (body: object) => ({
      ...body,
      positions: [], groups: [], factors: [], correlations: null, cash_weight: 1,
    })); // biome-ignore format: one state
    await page.reload();
    await expect(page.getByText("Flat. Cash 100 %.")).toBeVisible();
  });

  test("many positions are a window over the rows, and the table still says how many there are", async ({ page }) => {
    await answer(page, `${API}/accounts/*/portfolio`, (body: { positions: { symbol: string }[] }) => ({
      ...body,
      correlations: null,
      positions: Array.from({ length: 400 }, (_, n) => ({ ...body.positions[0], symbol: `S${n}` })),
    }));
    await signIn(page, "viewer", FIRM, "/portfolio?look=table");
    const table = page.getByRole("table", { name: "Positions", exact: true });
    await expect(table).toHaveAttribute("aria-rowcount", "401");
    expect(await table.getByRole("row").count()).toBeLessThan(80);
  });
});

test.describe("constraints", () => {
  test("what is not known looks alarming, what is beyond its limit goes on, and each says its layer", async ({
    page,
  }) => {
    await answer(page, `${API}/accounts/*/constraints`, (body: { rows: { rule_id: string }[] }) => ({
      ...body,
      rows: body.rows.map((row) =>
        row.rule_id === "VT-01"
          ? { ...row, state: "bound", used: 1.97, headroom: "-0.097", alarming: true }
          : row.rule_id === "LD-02"
            ? { ...row, state: "unknown", used: null, value: null, alarming: true }
            : row,
      ),
    }));
    await signIn(page, "pm", FIRM, "/constraints");
    const over = page.getByRole("link").filter({ hasText: "VT-01" });
    await expect(over).toContainText("binds");
    await expect(over).toContainText("9.70 % beyond");
    await expect(over.getByRole("img")).toHaveAttribute("aria-label", /197 % of the limit/);
    const unknown = page.getByRole("link").filter({ hasText: "LD-02" });
    await expect(unknown).toContainText("unknown");
    await expect(unknown).toContainText("firm north-pier");
    await expect(page.getByText(/1 unknown/).first()).toBeVisible();
    await sound(page);
  });

  test("without a snapshot the guards are closed, and that is said", async ({ page }) => {
    await answer(page, `${API}/accounts`, (body: object[]) => body.map((one) => ({ ...one, mode: "shadow" })));
    await answer(page, `${API}/accounts/*/constraints`, (body: object) => ({ ...body, age_s: 185 }));
    await signIn(page, "viewer", FIRM, "/constraints");
    await expect(page.getByText("No snapshot for 3 m. Guards fail closed: new risk is blocked.")).toBeVisible();
  });

  test("one rule shows its use against its lines, the layers of each parameter, and the same as a table", async ({
    page,
  }) => {
    await signIn(page, "pm", FIRM, "/constraints/LD-02");
    await comeNear(page, "How much of its limit it has used");
    await expect(page.locator("figure canvas").first()).toBeVisible();
    await expect(page.getByRole("table", { name: "Parameters and their layers" })).toContainText("firm north-pier");
    await page.keyboard.press("t");
    await expect(page.getByRole("table", { name: /decision by decision/ })).toBeVisible();
    await sound(page);
  });
});

test.describe("the RL dataset", () => {
  for (const [word, change] of [
    [
      "on",
      (body: { partitions: object[] }) => ({ ...body, partitions: body.partitions.map((p) => ({ ...p, gaps: 0 })) }),
    ],
    [
      "gap",
      (body: { partitions: object[] }) => ({ ...body, partitions: body.partitions.map((p) => ({ ...p, gaps: 2 })) }),
    ],
    ["off", (body: object) => ({ ...body, rows: 0, waiting: 0, last: null, lag_s: null, partitions: [], rewards: [] })],
  ] as const) {
    test(`is ${word}`, async ({ page }) => {
      await answer(page, `${API}/rl?*`, change as (body: never) => unknown);
      await signIn(page, "viewer", FIRM, "/rl");
      await expect(page.locator(`[data-logger='${word}']`)).toBeVisible();
      if (word === "off") await expect(page.getByText(/RL logging is off for/)).toBeVisible();
      else await expect(page.getByRole("table", { name: "Partitions" })).toBeVisible();
      await sound(page);
    });
  }

  test("a mode in which nothing was decided has no rows", async ({ page }) => {
    await signIn(page, "viewer", FIRM, "/rl?env=gated_live");
    await expect(page.locator("[data-logger='off']")).toBeVisible();
  });
});

test.describe("live", () => {
  test("a mode that is refused says why, and the refusal is of record on the same page", async ({ page }) => {
    await signIn(page, "pm", FIRM, "/live");
    await expect(page.getByRole("region", { name: "Refused" })).toBeVisible();
    await page.getByRole("button", { name: `Shadow ${ACCOUNT}` }).click();
    await expect(page.getByRole("dialog").getByRole("alert")).toBeVisible();
    await page.keyboard.press("Escape");
    await sound(page);
  });
});

test.describe("a part that fails", () => {
  test.use({ failing: true });
  for (const [route, broken, stays] of [
    ["overview", `${API}/decisions?*`, "Closest to a limit"],
    ["overview", `${API}/regimes`, "Equity and drawdown"],
    ["regimes", `${API}/tape`, "Confidence"],
    ["regimes", `${API}/regimes/*`, "Risk state"],
    ["constraints/LD-02", `${API}/accounts/*/constraints/*/history*`, "Which layer set it"],
    ["runs", `${API}/jobs`, "Runs"],
    ["live", `${API}/controls`, `${FIRM}/${ACCOUNT}`],
    ["basket", `${API}/proposals/candidates*`, "Proposals"],
  ] as const) {
    test(`${route}: ${broken.slice(API.length)} is said, the rest of the page stays`, async ({ page, complaints }) => {
      await fail(page, broken);
      await signIn(page, "pm", FIRM, `/${route}`);
      if (route === "overview") await comeNear(page, "Equity and drawdown");
      const said = page.getByRole("alert").filter({ hasText: "A test broke this." }).first();
      await expect(said).toBeVisible({ timeout: 20_000 });
      await expect(said).toContainText("Request 0123456789abcdef");
      await expect(said.getByRole("button", { name: "Try again" })).toBeVisible();
      await expect(page.getByRole("heading", { name: stays, exact: true }).last()).toBeVisible();
      await page.unroute(broken);
      const all = page.getByRole("alert").filter({ hasText: "A test broke this." });
      await expect(async () => {
        // the live channel may have asked again before anybody could
        const again = all.getByRole("button", { name: "Try again" }).first();
        if ((await all.count()) > 0) await again.click({ timeout: 1_000 }).catch(() => undefined);
        await expect(all).toHaveCount(0, { timeout: 1_000 });
      }).toPass({ timeout: 20_000 });
      complaints.splice(0); // that the browser names each answer of 500 is what was asked for
    });
  }

  for (const [route, broken, there] of [
    ["portfolio", `${API}/accounts/*/portfolio`, "main figure svg"],
    ["overview", `${API}/accounts`, "section[aria-label='Accounts'] a"],
  ] as const) {
    test(`what was there on ${route} stays, grey and with its age`, async ({ page, complaints }) => {
      test.setTimeout(120_000); // where the demo stands still it is read anew once a minute
      await signIn(page, "viewer", FIRM, `/${route}`);
      const shown = page.locator(there).first();
      await expect(shown).toBeVisible();
      await fail(page, broken);
      const old = page.getByRole("alert").filter({ hasText: /^As of .* ago: A test broke this/ });
      await expect(old).toBeVisible({ timeout: 90_000 });
      await expect(shown).toBeVisible();
      expect(await shown.evaluate((one) => one.closest(".grayscale") !== null)).toBe(true);
      const header = page.locator("header").first().getByText("as last read");
      await expect(header, "mode and state").toHaveCount(route === "overview" ? 2 : 0);
      const amount = page.getByRole("region", { name: "Equity and drawdown" }).locator("header .grayscale");
      await expect(amount, "its amount is the account's").toHaveCount(route === "overview" ? 1 : 0);
      await page.unroute(broken);
      await old.getByRole("button", { name: "Try again" }).click();
      await expect(old).toHaveCount(0);
      await expect(page.locator(".grayscale")).toHaveCount(0);
      await expect(header).toHaveCount(0);
      complaints.splice(0);
    });
  }
});

test.describe("a chart whose file does not come", () => {
  test.use({ serviceWorkers: "block" });

  test("says so in its place, and the page stays", async ({ page, complaints }) => {
    await page.route(/\/assets\/EquityChart-.*\.js/, (route) => route.abort());
    await signIn(page, "viewer", FIRM, "/overview");
    const panel = page.getByRole("region", { name: "Equity and drawdown" });
    await comeNear(page, "Equity and drawdown");
    await expect(panel.getByRole("alert")).toContainText("This chart could not be loaded.");
    await expect(page.getByRole("region", { name: "Closest to a limit" }).getByRole("link").nth(1)).toBeVisible();
    await expect(page.getByText("This page failed")).toBeHidden();
    complaints.splice(0);
  });
});

test.describe("on a phone", () => {
  test("mode, equity, the worst limit and what needs somebody are above the fold", async ({ page }) => {
    await page.setViewportSize({ width: 390, height: 700 });
    await signIn(page, "pm", FIRM, "/overview");
    await expect(page.getByRole("region", { name: "Closest to a limit" }).getByRole("link").nth(1)).toBeVisible();
    const own = page.getByRole("region", { name: "Accounts" });
    await expect(own.getByRole("img").first()).toBeVisible();
    await page.evaluate(() => window.scrollTo(0, 0));
    const bottom = await page.evaluate(() => {
      const nav = [...document.querySelectorAll("nav")].find((one) => getComputedStyle(one).position === "fixed");
      return nav ? nav.getBoundingClientRect().top : window.innerHeight;
    });
    for (const what of [
      own.getByText("DRY").first(),
      own.getByText(/USD/).first(),
      own.getByRole("img").first(),
      page.getByRole("region", { name: "Needs you" }).getByRole("heading"),
    ]) {
      const box = await what.boundingBox();
      expect((box?.y ?? 9_999) + (box?.height ?? 0)).toBeLessThanOrEqual(bottom);
    }
  });
});
