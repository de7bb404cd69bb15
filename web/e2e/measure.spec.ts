// Figures, not verdicts: how long it takes and what is lost, against a server of its own (tests/web/stage.py).
// Run by `make measure`. What may never be (a message lost or doubled, a queue without an end) fails; a time above its
// goal is marked, and fails with REGIME_STRICT=1: times mean something on a quiet machine only.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { cpus, loadavg } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type BrowserContext, expect, type Page, test } from "@playwright/test";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const RESTARTS = Number(process.env.REGIME_RESTARTS ?? 100);
const MESSAGES = 10_000;

type Answer = { url: string; cookie: string; sent: number; last: number; up_ms: number; down_s: number };
type Measured = {
  seqs: number[];
  resyncs: number;
  painted: [at: number, stamp: number][];
  lives: number[];
  long: number[];
};
declare global {
  interface Window {
    measured: Measured;
    took: Promise<number>;
  }
}

class Stage {
  private readonly waits: ((answer: Answer) => void)[] = [];
  private said = "";

  constructor(private readonly process: ChildProcessWithoutNullStreams) {
    createInterface({ input: process.stdout }).on("line", (line) => this.waits.shift()?.(JSON.parse(line)));
    process.stderr.on("data", (data) => {
      this.said = `${this.said}${data}`.slice(-4_000);
    });
  }

  ask(asked: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const ended = () => reject(new Error(`the stage has ended: ${this.said}`));
      this.process.once("exit", ended);
      this.waits.push((answer) => {
        this.process.off("exit", ended);
        resolve(answer);
      });
      this.process.stdin.write(`${JSON.stringify(asked)}\n`);
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.process.once("exit", () => resolve());
      this.process.stdin.end();
    });
  }
}

/** In the page before any script of it: what came over the socket, and when a message was on a painted frame. */
function recorder(): void {
  const found: Measured = { seqs: [], resyncs: 0, painted: [], lives: [], long: [] };
  window.measured = found;
  const Native = window.WebSocket;
  window.WebSocket = class extends Native {
    constructor(url: string | URL) {
      super(url);
      this.addEventListener("message", ({ data }) => {
        const frame = JSON.parse(data) as { type: string; seq: number };
        if (frame.type === "resync") found.resyncs += 1;
        else if (frame.type !== "hb") found.seqs.push(frame.seq);
      });
    }
  };
  const painted = (then: (at: number) => void) =>
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => then(performance.timeOrigin + performance.now());
      channel.port2.postMessage(null);
    });
  const shown = new Set<string>(); // a message goes down slot by slot: only its first frame counts
  new MutationObserver((changes) => {
    const stamps: number[] = [];
    for (const { type, target, addedNodes } of changes) {
      if (type === "attributes") {
        if ((target as HTMLElement).dataset.link === "live") painted((at) => found.lives.push(at));
        continue;
      }
      for (const node of type === "characterData" ? [target] : addedNodes) {
        const said = /said \d+ (\d+)\d{6}/.exec(node.textContent ?? "");
        if (said?.[1] === undefined || shown.has(said[0])) continue;
        shown.add(said[0]);
        stamps.push(Number(said[1]));
      }
    }
    if (stamps.length > 0) painted((at) => found.painted.push(...stamps.map((one): [number, number] => [at, one])));
  }).observe(document, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["data-link"],
  });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) found.long.push(entry.duration);
  }).observe({ type: "longtask", buffered: true });
}

function cut(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

const lines: string[] = [];
function tell(what: string, figures: Record<string, number>, goal?: [name: string, most: number]): void {
  const text = Object.entries(figures).map(([name, value]) => `${name} ${value.toFixed(value < 10 ? 1 : 0)}`);
  const is = goal ? (figures[goal[0]] ?? Number.NaN) : 0;
  const missed = goal !== undefined && !(is <= goal[1]);
  lines.push(
    `${missed ? "missed " : "       "}${what.padEnd(46)} ${text.join(", ")}${goal ? `   (goal: ${goal[0]} ≤ ${goal[1]})` : ""}`,
  );
  if (process.env.REGIME_STRICT) expect.soft(is, what).toBeLessThanOrEqual(goal?.[1] ?? 0);
}

let stage: Stage;
let home: Answer;

async function opened(context: BrowserContext, path: string): Promise<Page> {
  await context.addCookies([{ name: "sid", value: home.cookie, url: home.url }]);
  const page = await context.newPage();
  await page.addInitScript(recorder);
  await page.goto(`${home.url}${path}`);
  await expect(page.locator("[data-link='live']")).toBeVisible({ timeout: 30_000 });
  return page;
}

async function heapMb(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return usedSize / 2 ** 20;
}

const said = (page: Page) => page.evaluate(() => window.measured);
const STREAM = "main [role='group'] > ul > li";

/** All that was published is there, once; the page counts the same. How many the server told again. */
async function whole(page: Page, last: number): Promise<number> {
  await expect.poll(async () => (await said(page)).seqs.at(-1), { timeout: 60_000 }).toBe(last);
  const { seqs, resyncs } = await said(page);
  const once = [...new Set(seqs)].sort((a, b) => a - b);
  expect(once).toEqual(Array.from({ length: once.length }, (_, n) => (once[0] ?? 0) + n));
  expect(resyncs).toBe(0);
  await expect(page.getByText(`${once.length} since this page was opened`)).toBeVisible();
  return seqs.length - once.length;
}

test.use({ serviceWorkers: "block" });

test.beforeAll(async () => {
  test.setTimeout(300_000);
  const python = process.env.REGIME_PYTHON ?? `${ROOT}.venv/bin/python`;
  const env = { ...process.env, OMP_NUM_THREADS: "1", PYTHONPATH: `${ROOT}src:${ROOT}` };
  stage = new Stage(spawn(python, ["-m", "tests.web.stage"], { cwd: ROOT, env }));
  home = await stage.ask({ do: "open" });
});

test.afterAll(async () => {
  test.setTimeout(120_000);
  await stage.close();
  const [load = 0] = loadavg();
  console.log(`\n${lines.join("\n")}\nload ${load.toFixed(1)} on ${cpus().length} cores\n`);
});

test("from the writer's stamp to a painted frame", async ({ context }) => {
  test.setTimeout(300_000);
  const page = await opened(context, "/actions");
  await stage.ask({ do: "speak", kind: "log", rate: 10, seconds: 3 }); // warm
  const before = await heapMb(page);
  for (const [kind, rate, seconds, most] of [
    ["log", 10, 20, 150],
    ["log", 300, 10, 150],
    ["breach", 5, 10, 50],
    ["mode", 5, 10, 50],
  ] as const) {
    await page.evaluate(() => {
      window.measured.painted = [];
    });
    const { last } = await stage.ask({ do: "speak", kind, rate, seconds });
    await whole(page, last);
    const delays = (await said(page)).painted.map(([at, stamp]) => at - stamp);
    // of what comes at once only what there is room for is ever painted
    expect(delays.length).toBeGreaterThan(rate * seconds * 0.3);
    const figures = { painted: delays.length, p50: cut(delays, 0.5), p95: cut(delays, 0.95), p99: cut(delays, 0.99) };
    tell(`stamp to frame, ms: ${kind}, ${rate}/s`, figures, ["p95", most]);
  }
  expect(await page.locator(STREAM).count(), "only what is in sight is there").toBeLessThanOrEqual(60);
  tell("heap, MiB, over 3,300 messages", { before, after: await heapMb(page) });
});

test("ten thousand messages through a page that scrolls", async ({ context }) => {
  test.setTimeout(300_000);
  const page = await opened(context, "/actions");
  await stage.ask({ do: "speak", kind: "log", rate: 300, seconds: 3 });
  const before = await heapMb(page);
  await page.evaluate(() => {
    window.measured.long = [];
  });
  const speaking = stage.ask({ do: "speak", kind: "log", rate: 500, seconds: MESSAGES / 500 });
  // at first the rows come as they are told; then somebody scrolls, and they are held
  const frames = await page.evaluate(async () => {
    const box = document.querySelector("main [role='group']") as HTMLElement;
    const gaps: { still: number[]; scrolled: number[] } = { still: [], scrolled: [] };
    const began = performance.now();
    let at = began;
    let down = true;
    while (at < began + 20_000) {
      const now = await new Promise<number>(requestAnimationFrame);
      const scrolls = now > began + 10_000;
      (scrolls ? gaps.scrolled : gaps.still).push(now - at);
      at = now;
      if (!scrolls) continue;
      if (box.scrollTop + box.clientHeight >= box.scrollHeight - 4) down = false;
      if (box.scrollTop <= 0) down = true;
      box.scrollTop += down ? 6 : -6;
    }
    box.scrollTop = 0; // where it goes on by itself
    return gaps;
  });
  const { last } = await speaking;
  await whole(page, last);
  for (const [how, gaps] of Object.entries(frames)) {
    const dropped = gaps.reduce((sum, gap) => sum + Math.max(0, Math.round(gap / (1_000 / 60)) - 1), 0);
    tell(`10,000 messages: frames, ${how}`, { drawn: gaps.length, dropped, "longest gap ms": Math.max(...gaps) });
  }
  const long = (await said(page)).long;
  tell("10,000 messages: longest task, ms", { longest: Math.max(0, ...long), "over 50 ms": long.length });
  const after = await heapMb(page);
  tell("10,000 messages: heap, MiB", { before, after });
  expect(after).toBeLessThan(before + 10);

  // a pause keeps what is read still
  await page.getByRole("button", { name: "Pause" }).click();
  const row = page.locator(STREAM).nth(5);
  const [text, place] = [await row.textContent(), await row.boundingBox()];
  await stage.ask({ do: "speak", kind: "log", rate: 100, seconds: 3 });
  expect(await row.textContent()).toBe(text);
  expect(await row.boundingBox()).toEqual(place);
});

test("the palette", async ({ context }) => {
  const page = await opened(context, "/overview");
  // from the press of a key, as the page has it, to the frame that shows what it did
  const timed = async (act: "open" | "close" | "type", key: string): Promise<number> => {
    await page.evaluate((what) => {
      const list = () => document.querySelector("[role='dialog'] [role='listbox']")?.textContent;
      const before = list();
      const line = () => document.querySelector<HTMLInputElement>("[role='dialog'] input");
      const isDone = () => {
        if (what === "open") return line() !== null && document.activeElement === line();
        return what === "close" ? line() === null : list() !== before;
      };
      window.took = new Promise((resolve) => {
        const onKey = (event: KeyboardEvent) => {
          if (event.key === "Control") return;
          window.removeEventListener("keydown", onKey, true);
          const look = () => {
            if (isDone()) setTimeout(() => resolve(performance.now() - event.timeStamp));
            else if (performance.now() - event.timeStamp > 5_000) resolve(Number.NaN);
            else requestAnimationFrame(look);
          };
          requestAnimationFrame(look);
        };
        window.addEventListener("keydown", onKey, true);
      });
    }, act);
    await page.keyboard.press(key);
    return page.evaluate(() => window.took);
  };
  await page.waitForTimeout(2_000); // idle once, as before any first use
  tell("palette, cold, ms", { took: await timed("open", "Control+k") }, ["took", 300]);
  const warm: number[] = [];
  for (let n = 0; n < 20; n += 1) {
    await timed("close", "Escape");
    warm.push(await timed("open", "Control+k"));
  }
  tell("palette, warm, ms", { p50: cut(warm, 0.5), max: Math.max(...warm) }, ["p50", 60]);

  await timed("close", "Escape");
  const one = await page.evaluate(async (firm) => {
    const answer = await fetch(`/api/v1/firms/${firm}/accounts`, { headers: { "x-regime": "1" } });
    return (await answer.json())[0];
  }, "north-pier");
  const many = Array.from({ length: 2_000 }, (_, n) => ({
    ...one,
    account: `north-pier/desk-${n}`,
    account_id: `desk-${n}`,
  }));
  await page.route("**/api/v1/firms/*/accounts", (route) => route.fulfill({ json: many }));
  await page.goto(`${home.url}/audit`);
  await expect(page.locator("[data-link='live']")).toBeVisible();
  await page.waitForTimeout(1_000);
  await timed("open", "Control+k");
  const keys: number[] = [];
  for (const word of ["1987", "1234", "77"]) {
    await page.keyboard.press("Control+a");
    await page.keyboard.press("Delete");
    await page.waitForTimeout(300);
    for (const letter of word) keys.push(await timed("type", letter)); // every one of them changes the list
  }
  tell("palette, a key with 2,000 accounts, ms", { p50: cut(keys, 0.5), p95: cut(keys, 0.95) }, ["p95", 50]);
});

test("a warm start from the worker", async ({ browser }) => {
  const context = await browser.newContext({ serviceWorkers: "allow" });
  const page = await opened(context, "/overview");
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.waitForTimeout(1_000);
  const shells: number[] = [];
  for (let n = 0; n < 5; n += 1) {
    const again = await context.newPage();
    await again.addInitScript(() => {
      new MutationObserver((_, watch) => {
        if (document.querySelector("[data-ready]") === null) return;
        watch.disconnect();
        requestAnimationFrame(() => setTimeout(() => performance.mark("shell")));
      }).observe(document, { subtree: true, childList: true });
    });
    await again.goto(`${home.url}/overview`);
    await again.waitForFunction(() => performance.getEntriesByName("shell").length > 0);
    const [took, worker] = await again.evaluate(() => [
      performance.getEntriesByName("shell")[0]?.startTime ?? Number.NaN,
      (performance.getEntriesByType("navigation")[0] as PerformanceNavigationTiming).workerStart,
    ]);
    expect(worker).toBeGreaterThan(0);
    shells.push(took as number);
    await again.close();
  }
  tell("warm start: shell painted, ms", { p50: cut(shells, 0.5), max: Math.max(...shells) }, ["p50", 500]);
  await context.close();
});

test("a server that is killed and comes back", async ({ context }) => {
  test.setTimeout(60_000 + RESTARTS * 40_000);
  const page = await opened(context, "/actions");
  const waits: number[] = [];
  const downs: number[] = [];
  for (let n = 0; n < RESTARTS; n += 1) {
    await stage.ask({ do: "speak", kind: "log", rate: 50, seconds: 0.2 });
    const known = (await said(page)).lives.length;
    const { up_ms, down_s } = await stage.ask({ do: "restart" });
    await stage.ask({ do: "speak", kind: "log", rate: 50, seconds: 0.1 }); // perhaps before it is back
    await expect
      .poll(async () => (await said(page)).lives.length, { timeout: 30_000, intervals: [50] })
      .toBeGreaterThan(known);
    waits.push(Math.max(0, ((await said(page)).lives.at(-1) ?? Number.NaN) - up_ms) / 1_000);
    downs.push(down_s);
  }
  const { last } = await stage.ask({ do: "last" });
  const again = await whole(page, last);
  const figures = { restarts: RESTARTS, p50: cut(waits, 0.5), max: Math.max(...waits), "down p50": cut(downs, 0.5) };
  tell("killed and back: from up to live, s", figures, ["max", 5]);
  tell("killed and back: none lost, none counted twice", { messages: last, "told again": again });
});
