import { defineConfig } from "@playwright/test";

/** Against a server that runs already: REGIME_URL, and REGIME_PEOPLE with the passwords of its people. */
export default defineConfig({
  testDir: "e2e",
  testIgnore: process.env.REGIME_MEASURE ? [] : ["**/measure.spec.ts"],
  timeout: 60_000,
  expect: { timeout: 10_000 },
  workers: 1,
  retries: 1, // a demo plays meanwhile; what passes the second time only is told as flaky
  reporter: [["list"]],
  use: {
    baseURL: process.env.REGIME_URL ?? "http://localhost:8000",
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
    },
    trace: "off",
  },
  projects: [
    { name: "desktop", use: { viewport: { width: 1360, height: 860 } } },
    ...(process.env.REGIME_FULL
      ? [{ name: "phone", use: { viewport: { width: 390, height: 780 }, hasTouch: true, deviceScaleFactor: 2 } }]
      : []),
  ],
});
