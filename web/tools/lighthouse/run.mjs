// Lighthouse against a running demo, signed in; the figures beside the goals and FreqUI's.
//   REGIME_URL, REGIME_LOGIN, REGIME_PASSWORD; ROUTES="overview audit"; RUNS=5; CHROMIUM
// Accessibility and best practices are 100 on every route or it fails. Performance depends on the machine: it fails only
// with STRICT=1, and says how loaded the machine is.
import { cpus, loadavg } from "node:os";
import lighthouse, { desktopConfig } from "lighthouse";
import { launch } from "puppeteer-core";

const HOME = process.env.REGIME_URL ?? "http://localhost:8000";
const RUNS = Number(process.env.RUNS ?? 5);
const ROUTES = (
  process.env.ROUTES ??
  "login overview portfolio portfolio?look=table constraints constraints/VT-01 actions regimes basket approvals runs configs live audit artifacts rl admin settings"
).split(" ");

/** FreqUI 7a6dc577 on its empty page, on two loaded cores: see docs/guides/web.md. */
const PEER = {
  desktop: { score: 95, fcp: null, lcp: 1_300, tbt: 92, tti: null, cls: 0 },
  mobile: { score: 36, fcp: 4_900, lcp: 7_600, tbt: 1_630, tti: 7_600, cls: null },
};
const GOAL = {
  desktop: { score: 95, fcp: null, lcp: null, tbt: null, tti: 1_500, cls: 0.02 },
  mobile: { score: 85, fcp: null, lcp: 2_500, tbt: 300, tti: 3_500, cls: 0.02 },
};
const METRICS = {
  fcp: "first-contentful-paint",
  lcp: "largest-contentful-paint",
  tbt: "total-blocking-time",
  tti: "interactive",
  cls: "cumulative-layout-shift",
};

async function signedIn() {
  const answer = await fetch(`${HOME}/api/v1/session`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-regime": "1", origin: HOME, "idempotency-key": crypto.randomUUID() },
    body: JSON.stringify({ login: process.env.REGIME_LOGIN, password: process.env.REGIME_PASSWORD }),
  });
  if (!answer.ok) throw new Error(`not signed in: ${answer.status} ${await answer.text()}`);
  return answer.headers.getSetCookie().map((one) => one.split(";")[0].split("="));
}

/** A report; once more where the trace of the browser was not recorded, which is no fault of the page. */
async function audited(...asked) {
  try {
    return await auditedOnce(...asked);
  } catch (error) {
    if (!/NO_NAVSTART|NO_TRACING_STARTED/.test(error.message)) throw error;
    return auditedOnce(...asked);
  }
}

/** One report, in a browser that has never been here. */
async function auditedOnce(path, cookies, config, categories) {
  const browser = await launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
  });
  try {
    const page = await browser.newPage();
    if (path !== "login") {
      const { hostname } = new URL(HOME);
      await browser.setCookie(...cookies.map(([name, value]) => ({ name, value, domain: hostname, path: "/", httpOnly: true })));
    }
    const flags = { disableStorageReset: true, onlyCategories: categories, logLevel: "error" };
    const found = await lighthouse(`${HOME}/${path}`, flags, config, page);
    if (found === undefined || found.lhr.runtimeError) throw new Error(found?.lhr.runtimeError?.message ?? "no report");
    const at = new URL(found.lhr.finalDisplayedUrl).pathname.slice(1);
    if (at !== path.split("?")[0]) throw new Error(`${path} ended at ${at}`);
    return found.lhr;
  } finally {
    await browser.close();
  }
}

const score = (report, category) => Math.round((report.categories[category].score ?? 0) * 100);

function faults(report, category) {
  return report.categories[category].auditRefs
    .filter(({ id, weight }) => weight > 0 && report.audits[id].score !== null && report.audits[id].score < 1)
    .map(({ id }) => {
      const items = report.audits[id].details?.items ?? [];
      return `    ${id}: ${items.slice(0, 3).map((one) => one.node?.snippet ?? one.description ?? JSON.stringify(one)).join(" | ").slice(0, 300)}`;
    });
}

function figures(report) {
  const values = Object.entries(METRICS).map(([name, id]) => [name, report.audits[id].numericValue ?? Number.NaN]);
  return { score: score(report, "performance"), ...Object.fromEntries(values), index: report.environment.benchmarkIndex };
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

function said(name, value) {
  if (value === null || value === undefined) return "–";
  if (name === "score" || name === "index") return String(Math.round(value));
  return name === "cls" ? value.toFixed(3) : name === "tbt" ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(2)} s`;
}

function isMissed(name, value, goal) {
  return goal !== null && goal !== undefined && (name === "score" ? value < goal : value > goal);
}

const cookies = await signedIn();
let failed = false;
console.log(`route                     accessibility  best practices   (FreqUI 94, 96)`);
for (const route of ROUTES) {
  const report = await audited(route, cookies, desktopConfig, ["accessibility", "best-practices"]);
  const [reach, practice] = [score(report, "accessibility"), score(report, "best-practices")];
  console.log(`${route.padEnd(26)}${String(reach).padStart(13)}${String(practice).padStart(16)}`);
  for (const fault of [...faults(report, "accessibility"), ...faults(report, "best-practices")]) console.log(fault);
  failed ||= reach < 100 || practice < 100;
}

let missed = false;
for (const [size, config] of RUNS > 0 ? Object.entries({ desktop: desktopConfig, mobile: undefined }) : []) {
  const found = [];
  for (let run = 0; run < RUNS; run += 1) found.push(figures(await audited("overview", cookies, config, ["performance"])));
  console.log(`\n/overview, ${size}, ${RUNS} runs        median      goal    FreqUI   each`);
  for (const name of ["score", ...Object.keys(METRICS), "index"]) {
    const values = found.map((one) => one[name]);
    const goal = GOAL[size][name];
    const over = isMissed(name, median(values), goal);
    missed ||= over;
    const cells = [said(name, median(values)), said(name, goal), said(name, PEER[size][name])].map((one) => one.padStart(9));
    console.log(`${(over ? "missed  " : "        ") + name.padEnd(18)}${cells.join(" ")}   ${values.map((one) => said(name, one)).join(" ")}`);
  }
}
const load = loadavg()[0];
console.log(`\nload ${load.toFixed(1)} on ${cpus().length} cores${load > cpus().length ? ": times are pessimistic, bytes and scores of rules are not" : ""}`);
if (failed || (missed && process.env.STRICT)) process.exit(1);
