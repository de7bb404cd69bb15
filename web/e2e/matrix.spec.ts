import {
  ACCOUNT,
  ask,
  confirm,
  expect,
  FIRM,
  FULL,
  give,
  isLive,
  loginOf,
  PEOPLE,
  ROLES,
  ROUTES,
  type Said,
  signIn,
  test,
} from "./desk";

/** Page, API and channel say the same of every role: built from the API's own document, catalogue and permissions. */
type Command = { name: string; klass: string };
type Held = { firm: string; permission: string };

const CHANNEL: Record<string, string> = { "audit.append": "audit.read", "config.loaded": "config.read" };
const DIFFERENT = "differences";

for (const role of ROLES) {
  test(`what the ${role} may do is the same in the page, the API and the channel`, async ({ page }) => {
    test.slow();
    const heard = new Set<string>();
    page.on("websocket", (socket) =>
      socket.on("framereceived", ({ payload }) => heard.add(JSON.parse(String(payload)).type)),
    );
    const answers: { method: string; path: string; status: number }[] = [];
    page.on("response", (one) => {
      const path = new URL(one.url()).pathname;
      if (path.startsWith("/api/v1/"))
        answers.push({ method: one.request().method().toLowerCase(), path, status: one.status() });
    });
    await signIn(page, role, FIRM, "/overview");
    const me: Said = (await ask(page, "GET", "/me")).said;
    const held = new Set((me.permissions as Held[]).filter((one) => one.firm === FIRM).map((one) => one.permission));
    const document: Said = await page.evaluate(async () => (await fetch("/api/v1/openapi.json")).json());
    const asks = Object.entries(document.paths as Record<string, Record<string, Said>>).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, said]) =>
        said["x-permission"]
          ? [
              {
                method,
                permission: said["x-permission"] as string,
                at: new RegExp(`^${path.replaceAll(/\{[^}]*\}/g, "[^/]+")}$`),
              },
            ]
          : [],
      ),
    );
    expect(asks.length).toBeGreaterThan(50);
    const mine = new Set(((await ask(page, "GET", "/commands")).said.commands as Command[]).map((one) => one.name));
    const off: string[] = [];

    // routes: what is asked for on a page is answered where the permission is there, and else the page says what it
    // takes; so it does where it knows beforehand and does not ask
    for (const route of ROUTES) {
      answers.length = 0;
      await page.goto(`/${route}`);
      await isLive(page);
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      await page.waitForLoadState("networkidle", { timeout: 3_000 }).catch(() => undefined);
      const refused: string[] = [];
      for (const one of answers) {
        const rule = asks.find((known) => known.method === one.method && known.at.test(one.path));
        if (rule === undefined) continue;
        if ((one.status === 403) === held.has(rule.permission)) {
          off.push(
            `${route}: ${one.method} ${one.path} is ${one.status}, ${rule.permission} is ${held.has(rule.permission)}`,
          );
        }
        if (one.status === 403) refused.push(one.path);
      }
      const told = await page.getByText(/takes the role/).allTextContents();
      if (refused.length > 0 && told.length === 0) off.push(`${route}: refused without a word, ${refused}`);
      const own = new RegExp(`takes the role [^.]*\\b${role}\\b`);
      for (const one of told) if (own.test(one)) off.push(`${route}: the ${role} is told: ${one}`);
      // every control that can be used stands for a command that this role has
      for (const button of await page.locator("main button[title^='Same as /']:enabled").all()) {
        const command = ((await button.getAttribute("title")) ?? "").slice("Same as ".length);
        const name = [...mine].find((known) => command === known || command.startsWith(`${known} `));
        if (name === undefined && !command.startsWith("/config apply")) off.push(`${route}: ${command} can be pressed`);
      }
    }

    // commands: the catalogue, the completion and the palette's row of each command that anybody has
    const every = await catalogue();
    for (const name of every) {
      const rows = (await ask(page, "GET", `/complete?text=${encodeURIComponent(name)}`)).said as {
        text: string;
        needs: string;
      }[];
      const word = name.split(" ").at(-1) ?? "";
      const row = rows.find((one) => one.text.replace(/^\//, "") === word.replace(/^\//, ""));
      const may = row !== undefined && row.needs === "";
      if (row !== undefined && may !== mine.has(name))
        off.push(`${name}: completed ${may}, in the catalogue ${mine.has(name)}`);
      const previewed = await ask(page, "POST", "/commands/preview", { command: name, firm: FIRM });
      if (previewed.left < 2) await page.waitForTimeout(2_000); // as many changes as anybody may ask for in a minute
      if (previewed.status === 403 && mine.has(name)) off.push(`${name}: in the catalogue, and refused`);
    }
    for (const name of FULL ? every : ["/halt account", "/resume account", "/run regime"]) {
      await page.keyboard.press("Control+k");
      const line = page.getByPlaceholder(/Overview/);
      await line.fill(name);
      const word = name.split(" ").at(-1) ?? "";
      await page.waitForTimeout(400);
      const row = page.getByRole("option").filter({ hasText: new RegExp(`^${word}needs `) });
      if ((await row.count()) > 0 && mine.has(name)) off.push(`${name}: the palette says it takes another role`);
      await page.keyboard.press("Escape");
    }
    const halts = (
      await ask(page, "POST", `/firms/${FIRM}/accounts/${ACCOUNT}/halt`, { level: "K1", reason: "the matrix" })
    ).status;
    if ((halts === 403) === held.has("halt.pause")) off.push(`halt: ${halts}`);

    // the channel: only what may be read is told; a halt and its end are entries of the record
    await page.waitForTimeout(FULL ? 6_000 : 3_000);
    for (const [type, permission] of Object.entries(CHANNEL)) {
      if (heard.has(type) && !held.has(permission)) off.push(`${type} is told without ${permission}`);
    }
    if (held.has("audit.read") && held.has("halt.pause") && !heard.has("audit.append"))
      off.push("audit.append is not told");
    console.log(`figure: ${role}, ${ROUTES.length} pages, ${every.length} commands, ${off.length} ${DIFFERENT}`);
    expect(off).toEqual([]);
  });
}

/** Commands that anybody of the firm has. */
const names = new Set<string>();
async function catalogue(): Promise<string[]> {
  if (names.size === 0) {
    for (const role of ROLES) {
      const home = process.env.REGIME_URL ?? "http://localhost:8000";
      const headers = {
        "x-regime": "1",
        origin: home,
        "content-type": "application/json",
        "idempotency-key": crypto.randomUUID(),
      };
      const body = JSON.stringify({ login: loginOf(role), password: PEOPLE[loginOf(role)] });
      const entered = await fetch(`${home}/api/v1/session`, { method: "POST", headers, body });
      const cookie = entered.headers
        .getSetCookie()
        .map((one) => one.split(";")[0])
        .join("; ");
      const found = (await (await fetch(`${home}/api/v1/commands`, { headers: { cookie } })).json()) as {
        commands: Command[];
      };
      for (const one of found.commands) names.add(one.name);
    }
  }
  return [...names];
}

test("the matrix leaves nothing halted", async ({ page }) => {
  await signIn(page, "pm", FIRM, "/live");
  await give(page, `/resume account account:${FIRM}/${ACCOUNT}`);
  await confirm(page, `${FIRM}/${ACCOUNT}`, "the matrix has been walked", PEOPLE[loginOf("pm")] ?? "");
});
