import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { renew } from "./update";

const page = (script: string) => `<script type="module" crossorigin src="/assets/${script}.js"></script>`;
const reload = vi.fn();

function serves(answer: () => Promise<Response>): void {
  vi.stubGlobal("fetch", vi.fn(answer));
}

beforeEach(() => {
  document.head.innerHTML = page("index-old");
  sessionStorage.clear();
  reload.mockClear();
});
afterEach(() => vi.unstubAllGlobals());

it("another build is loaded, once a minute at most", async () => {
  serves(async () => new Response(page("index-new")));
  expect(await renew(reload)).toBe(true);
  expect(await renew(reload)).toBe(false);
  expect(reload).toHaveBeenCalledTimes(1);
});

it.each([
  ["the build is the same", async () => new Response(page("index-old"))],
  ["the network is gone", async () => Promise.reject(new TypeError("gone"))],
  ["the server is not well", async () => new Response("", { status: 503 })],
])("where %s the page stays", async (_, answer) => {
  serves(answer);
  expect(await renew(reload)).toBe(false);
  expect(reload).not.toHaveBeenCalled();
});
