import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Frame, frameOf, type LinkState, LiveSocket } from "./socket";
import { LiveStore } from "./store";

class FakeSocket {
  static readonly made: FakeSocket[] = [];
  readyState = 0;
  sent: string[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  constructor(readonly url: string) {
    FakeSocket.made.push(this);
  }
  send(text: string) {
    this.sent.push(text);
  }
  close(code = 1000) {
    this.drop(code);
  }
  drop(code: number, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
  up() {
    this.readyState = 1;
    this.onopen?.();
  }
  tell(n: number, seq: number, type = "audit.append", data: unknown = {}) {
    this.onmessage?.({ data: JSON.stringify(frame(n, seq, type, data)) });
  }
}

function frame(n: number, seq: number, type: string, data: unknown = {}) {
  return { v: 1, n, seq, ts: "1795188600000000000", type, firm: "f", account: "f/a", data };
}

function followed(random = () => 1) {
  const said = { frames: [] as number[], states: [] as LinkState[], gaps: 0 };
  const socket = new LiveSocket(
    "f",
    {
      onFrame: (one) => said.frames.push(one.seq),
      onState: (state) => said.states.at(-1) !== state && said.states.push(state),
      onGap: () => {
        said.gaps += 1;
      },
    },
    (url) => new FakeSocket(url) as unknown as WebSocket,
    random,
  );
  socket.open();
  const at = () => FakeSocket.made.at(-1) as FakeSocket;
  return { said, socket, at };
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.made.length = 0;
});
afterEach(() => vi.useRealTimers());

describe("the socket", () => {
  it("asks for everything of a firm, and after a drop for what came after the last it heard", () => {
    const { said, at } = followed();
    at().up();
    expect(JSON.parse(at().sent[0] ?? "")).toEqual({ v: 1, firm: "f", subscribe: [{ topic: "*" }] });
    at().tell(1, 7);
    at().tell(2, 9, "hb");
    at().drop(1012);
    expect(said.states).toEqual(["connecting", "live", "offline"]);
    vi.advanceTimersByTime(400);
    at().up();
    expect(JSON.parse(at().sent[0] ?? "")).toMatchObject({ after: 9 });
    at().tell(1, 9); // told again: not heard twice
    at().tell(2, 11);
    expect(said.frames).toEqual([7, 9, 11]); // 9 is the heartbeat
    expect(said.gaps).toBe(0);
  });

  it("waits longer each time, and never longer than fifteen seconds", () => {
    const { at } = followed();
    const waits: number[] = [];
    for (let n = 0; n < 9; n += 1) {
      const before = FakeSocket.made.length;
      at().drop(1006);
      let waited = 0;
      while (FakeSocket.made.length === before) {
        vi.advanceTimersByTime(100);
        waited += 100;
      }
      waits.push(waited);
    }
    expect(waits.slice(0, 4)).toEqual([300, 600, 1200, 2400]);
    expect(Math.max(...waits)).toBe(15_000);
  });

  it.each([
    [0, 150, 7_500],
    [0.5, 225, 11_250],
    [1, 300, 15_000],
  ])("waits from half of its time to all of it, so that not everybody comes at once (%d)", (luck, first, most) => {
    const { at } = followed(() => luck);
    const waits: number[] = [];
    for (let n = 0; n < 9; n += 1) {
      const before = FakeSocket.made.length;
      const began = Date.now();
      at().drop(1006);
      while (FakeSocket.made.length === before) vi.advanceTimersByTime(5);
      waits.push(Date.now() - began);
    }
    expect(waits[0]).toBe(first);
    expect(waits.at(-1)).toBe(most);
  });

  it("begins with the shortest wait again once it has heard something, not once it is open", () => {
    const { at } = followed();
    const wait = () => {
      const before = FakeSocket.made.length;
      const began = Date.now();
      at().drop(1006);
      while (FakeSocket.made.length === before) vi.advanceTimersByTime(5);
      return Date.now() - began;
    };
    expect([wait(), wait(), wait()]).toEqual([300, 600, 1_200]);
    at().up();
    expect(wait()).toBe(2_400);
    at().up();
    at().tell(1, 1, "hb");
    expect(wait()).toBe(300);
  });

  it("one missed heartbeat is nothing, two are stale, four are the end; a heartbeat makes it live again", () => {
    const { said, at } = followed();
    at().up();
    at().tell(1, 1, "hb");
    vi.advanceTimersByTime(9_900);
    expect(said.states.at(-1)).toBe("live");
    vi.advanceTimersByTime(2_000);
    expect(said.states.at(-1)).toBe("stale");
    at().tell(2, 1, "hb");
    expect(said.states.at(-1)).toBe("live");
    vi.advanceTimersByTime(19_900);
    expect(said.states.at(-1)).toBe("stale");
    vi.advanceTimersByTime(1_500);
    expect(said.states.slice(-3)).toContain("offline");
  });

  it("gives up a connection that never opens, and hears nothing of one that was given up", () => {
    const { said, at } = followed();
    const first = at();
    vi.advanceTimersByTime(12_000);
    expect(FakeSocket.made.length).toBeGreaterThan(1);
    const made = FakeSocket.made.length;
    at().up();
    at().tell(1, 5);
    first.onmessage?.({ data: JSON.stringify(frame(1, 6, "audit.append")) });
    first.drop(1006);
    vi.advanceTimersByTime(3_000);
    expect(said.frames).toEqual([5]);
    expect(said.gaps).toBe(0);
    expect(said.states.at(-1)).toBe("live");
    expect(FakeSocket.made.length).toBe(made);
  });

  it("hurried, it comes at once, and once: not while it comes or is there", () => {
    const { socket, at } = followed();
    socket.hurry();
    expect(FakeSocket.made.length).toBe(1);
    at().up();
    socket.hurry();
    expect(FakeSocket.made.length).toBe(1);
    at().drop(1006);
    socket.hurry();
    expect(FakeSocket.made.length).toBe(2);
    vi.advanceTimersByTime(1_000);
    expect(FakeSocket.made.length).toBe(2);
  });

  it("notices a hole in the count, a silence, and an end for good", () => {
    const { said, at } = followed();
    at().up();
    at().tell(1, 1);
    at().tell(3, 5);
    expect(said.gaps).toBe(1);
    vi.advanceTimersByTime(12_000);
    expect(said.states.at(-1)).toBe("stale");
    vi.advanceTimersByTime(10_000);
    expect(said.states.slice(-2)).toEqual(["offline", "connecting"]);
    at().drop(4401);
    expect(said.states.at(-1)).toBe("refused");
    const made = FakeSocket.made.length;
    vi.advanceTimersByTime(60_000);
    expect(FakeSocket.made.length).toBe(made);
  });

  it.each(["", "{", "[]", "null", '{"v":2,"n":1,"seq":1,"type":"hb"}', '{"v":1,"n":"1","seq":1,"type":"hb"}'])(
    "takes no frame for one that is none: %s",
    (text) => expect(frameOf(text)).toBeNull(),
  );
});

describe("the store", () => {
  const told = (seq: number, type: string, data: unknown = {}) => frame(1, seq, type, data) as unknown as Frame;

  it("shows ordinary rows ten times a second at most, breaches at once, and keeps five hundred", () => {
    const store = new LiveStore(new QueryClient());
    let painted = 0;
    store.subscribe(() => {
      painted += 1;
    });
    for (let seq = 1; seq <= 600; seq += 1) store.take(told(seq, "pm.action"));
    expect(painted).toBe(0);
    vi.advanceTimersByTime(0); // nothing was painted lately: at once
    expect(painted).toBe(1);
    expect(store.snapshot().rows.length).toBe(500);
    expect(store.snapshot().count).toBe(600);
    expect(store.snapshot().rows[0]).toMatchObject({ key: "f-600" });
    vi.advanceTimersByTime(40);
    for (let seq = 601; seq <= 610; seq += 1) store.take(told(seq, "pm.action"));
    vi.advanceTimersByTime(59);
    expect(painted).toBe(1);
    vi.advanceTimersByTime(1);
    expect(painted).toBe(2);
    store.take(told(611, "constraint.breach", { breach_id: "b1" }));
    expect(painted).toBe(3);
  });

  it("keeps no more than that while the clock stands still, and counts them all", () => {
    const store = new LiveStore(new QueryClient());
    for (let seq = 1; seq <= 10_000; seq += 1) store.take(told(seq, "pm.action"));
    expect((store as unknown as { waiting: unknown[] }).waiting.length).toBeLessThan(1_000);
    vi.advanceTimersByTime(100);
    expect(store.snapshot()).toMatchObject({ count: 10_000 });
    expect(store.snapshot().rows.length).toBe(500);
    expect(store.snapshot().rows[0]).toMatchObject({ key: "f-10000" });
  });

  it("counts a breach once, however often it is told", () => {
    const store = new LiveStore(new QueryClient());
    for (const seq of [1, 2, 3]) store.take(told(seq, "constraint.breach", { breach_id: "b1" }));
    store.take(told(4, "constraint.breach", { breach_id: "b2" }));
    expect(store.snapshot().alarms.length).toBe(2);
  });

  it("asks again for what a message is about, once a second at most; for everything after a hole", () => {
    const queries = new QueryClient();
    const asked = vi.spyOn(queries, "invalidateQueries").mockResolvedValue();
    const store = new LiveStore(queries);
    for (let seq = 1; seq <= 50; seq += 1) store.take(told(seq, "proposal.update"));
    expect(asked).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1_000);
    expect(asked.mock.calls.map(([about]) => about?.queryKey?.[0])).toEqual(["approvals", "proposals"]);
    store.take(told(51, "resync", { reason: "slow" }));
    expect(asked).toHaveBeenLastCalledWith();
    expect(store.snapshot().rows[0]).toHaveProperty("gap");
  });

  it("lets an answer that takes longer than the messages come, and asks once more after it", async () => {
    const queries = new QueryClient();
    const slow = new QueryObserver(queries, {
      queryKey: ["live", "f"],
      queryFn: () => new Promise<string>((resolve) => setTimeout(() => resolve("there"), 3_000)),
    });
    const answers = () => queries.getQueryState(["live", "f"])?.dataUpdateCount ?? 0;
    const leave = slow.subscribe(() => undefined);
    const store = new LiveStore(queries);
    for (let seq = 1; seq <= 50; seq += 1) {
      store.take(told(seq, "mode.update"));
      await vi.advanceTimersByTimeAsync(250);
    }
    expect(answers()).toBeGreaterThanOrEqual(3);
    await vi.advanceTimersByTimeAsync(10_000);
    const rest = answers();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(answers()).toBe(rest);
    leave();
  });
});
