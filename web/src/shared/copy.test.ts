import { QueryClient } from "@tanstack/react-query";
import { beforeEach, describe, expect, it } from "vitest";
import type { Schemas } from "./api/client";
import { Copies, OLDEST_MS, type Shelf } from "./copy";

const me = (user_id: string, role = "pm", needs: string[] = []) =>
  ({
    user_id,
    roles: [{ firm: "f", role, accounts: null, redact: false }],
    permissions: [{ firm: "f", permission: "halt.pause", accounts: null, needs }],
  }) as unknown as Schemas["MeOut"];

let held: Map<string, unknown>;
let now: number;
const shelf: Shelf = {
  get: async (key) => held.get(key),
  put: async (key, value) => void held.set(key, value),
  clear: async () => held.clear(),
  all: async () => [...held],
};
beforeEach(() => {
  held = new Map();
  now = 1_000_000;
});
const made = () => new Copies(shelf, () => now);
const keys = async (copies: Copies) => [...(await copies.read()).keys()];

describe("the copy", () => {
  it("is of what the server answered, and of nothing else", async () => {
    const [copies, queries] = [made(), new QueryClient()];
    copies.follow(queries);
    const answer = (key: string[], data: unknown) =>
      queries.fetchQuery({ queryKey: key, queryFn: () => Promise.resolve(data) });
    await answer(["accounts", "f"], [1]); // nobody is known yet
    await answer(["me"], me("u"));
    await answer(["portfolio", "f", "a"], { equity: "1" });
    await answer(["portfolio", "f", "a", "more"], {});
    await answer(["audit", "f"], []);
    expect(await keys(copies)).toEqual(["portfolio/f/a"]);
    expect((await copies.read()).get("portfolio/f/a")).toEqual({ at: now, data: { equity: "1" } });
  });

  it("is written anew every ten seconds at most", async () => {
    const copies = made();
    copies.belongs(me("u"));
    copies.keep("accounts/f", 1);
    now += 9_000;
    copies.keep("accounts/f", 2);
    expect((await copies.read()).get("accounts/f")).toMatchObject({ data: 1 });
    now += 2_000;
    copies.keep("accounts/f", 3);
    expect((await copies.read()).get("accounts/f")).toMatchObject({ data: 3 });
  });

  it("ends with a sign-out, with another person and with other rights; a proof of identity is none", async () => {
    for (const then of [
      (copies: Copies) => void copies.forget(),
      (copies: Copies) => copies.belongs(me("v")),
      (copies: Copies) => copies.belongs(me("u", "viewer")),
    ]) {
      const copies = made();
      copies.belongs(me("u"));
      copies.keep("accounts/f", 1);
      copies.belongs(me("u", "pm", ["step_up"]));
      expect(await keys(copies)).toEqual(["accounts/f"]);
      then(copies);
      expect(await keys(copies)).toEqual([]);
      await copies.forget();
      copies.keep("accounts/f", 2); // an answer that was on its way
      expect(await keys(copies)).toEqual([]);
    }
  });

  it("of somebody else is gone when one comes to this device, one's own stays over a reload", async () => {
    const before = made();
    before.belongs(me("u"));
    before.keep("accounts/f", 1);
    await before.read();
    const same = made();
    same.belongs(me("u"));
    expect(await keys(same)).toEqual(["accounts/f"]);
    const other = made();
    other.belongs(me("v"));
    expect(await keys(other)).toEqual([]);
  });

  it("that is a day old is none", async () => {
    const copies = made();
    copies.belongs(me("u"));
    copies.keep("accounts/f", 1);
    now += OLDEST_MS + 1;
    expect(await keys(copies)).toEqual([]);
    expect(held.size).toBe(0);
  });

  it("is simply not there where storage is off", async () => {
    const off = () => Promise.reject(new Error("off"));
    const copies = new Copies({ get: off, put: off, clear: off, all: off });
    copies.belongs(me("u"));
    copies.keep("accounts/f", 1);
    expect((await copies.read()).size).toBe(0);
  });
});
