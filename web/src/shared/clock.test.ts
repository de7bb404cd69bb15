import { afterEach, expect, it, vi } from "vitest";
import { clockAhead, serverNow, setClock } from "./clock";

const AT = "Fri, 27 Nov 2026 03:00:00 GMT";
const server = Date.parse(AT);

afterEach(() => setClock(AT, server + 400, server + 600));

it("goes by the server where this device is wrong, and leaves small differences alone", () => {
  setClock(AT, server + 600_400, server + 600_600);
  expect(clockAhead()).toBe(600_000);
  vi.useFakeTimers({ now: server + 601_000 });
  expect(serverNow()).toBe(server + 1_000);
  vi.useRealTimers();
  setClock(AT, server - 2_000, server - 1_000);
  expect(clockAhead()).toBe(0);
});

it.each([
  [null, 0],
  ["no date", 0],
])("learns nothing from %s", (date, ahead) => {
  setClock(date, server, server);
  expect(clockAhead()).toBe(ahead);
});

it("learns nothing from an answer that took long", () => {
  setClock(AT, server + 600_000, server + 640_000);
  expect(clockAhead()).toBe(0);
});
