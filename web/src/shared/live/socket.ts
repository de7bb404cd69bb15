import type { Schemas } from "../api/client";

export type Frame = Schemas["LiveServerFrame"];
export type LinkState = "connecting" | "live" | "stale" | "offline" | "refused";

const HEARTBEAT_MS = 5_000;
const CONNECT_MS = 10_000;
const BACKOFF_MS: [number, number] = [300, 15_000];
const OVER = new Set([4401, 4403, 4404]); // coming again changes nothing

export type Events = {
  onFrame: (frame: Frame) => void;
  onState: (state: LinkState, reason: string) => void;
  onGap: () => void;
};

/** Checks by hand what every frame has; anything else is not a frame. */
export function frameOf(text: string): Frame | null {
  try {
    const found = JSON.parse(text) as Frame;
    const whole = found.v === 1 && Number.isSafeInteger(found.n) && Number.isSafeInteger(found.seq);
    return whole && typeof found.type === "string" ? found : null;
  } catch {
    return null;
  }
}

/** One connection to a firm's channel that comes back by itself and misses nothing. */
export class LiveSocket {
  private socket: WebSocket | null = null;
  private after: number | null = null;
  private n = 0;
  private tries = 0;
  private began = 0;
  private heard = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setInterval> | undefined;
  private closed = false;

  constructor(
    private readonly firm: string,
    private readonly events: Events,
    private readonly make: (url: string) => WebSocket = (url) => new WebSocket(url),
    private readonly random: () => number = Math.random,
  ) {}

  open(): void {
    if (this.closed) return;
    this.events.onState("connecting", "");
    const at = new URL("/ws", location.href);
    at.protocol = at.protocol.replace("http", "ws");
    const socket = this.make(at.href);
    this.socket = socket;
    this.n = 0;
    this.began = Date.now();
    // what is said on a connection that was given up counts no more
    const ofThis = (act: () => void) => this.socket === socket && act();
    socket.onopen = () =>
      ofThis(() => {
        const asked = { v: 1, firm: this.firm, subscribe: [{ topic: "*" }] };
        socket.send(JSON.stringify(this.after === null ? asked : { ...asked, after: this.after }));
        this.heard = Date.now();
      });
    socket.onmessage = (event: MessageEvent<string>) => ofThis(() => this.take(event.data));
    socket.onclose = (event) => ofThis(() => this.ended(event.code, event.reason));
    clearInterval(this.watch);
    this.watch = setInterval(() => this.look(), 1_000);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearInterval(this.watch);
    this.socket?.close(1000);
  }

  /** Come back now, not when the wait is over. */
  hurry(): void {
    if (this.closed || this.socket !== null) return;
    clearTimeout(this.timer);
    this.open();
  }

  private take(text: string): void {
    const frame = frameOf(text);
    if (frame === null) return;
    this.heard = Date.now();
    this.tries = 0;
    if (frame.n !== this.n + 1) this.events.onGap();
    this.n = frame.n;
    const known = this.after !== null && frame.seq <= this.after && frame.type !== "hb" && frame.type !== "resync";
    this.after = Math.max(frame.seq, this.after ?? 0);
    this.events.onState("live", "");
    if (!known) this.events.onFrame(frame);
  }

  private look(): void {
    if (this.socket?.readyState === WebSocket.CONNECTING && Date.now() - this.began > CONNECT_MS) this.giveUp();
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const quiet = Date.now() - this.heard;
    if (quiet < 2 * HEARTBEAT_MS + 1_000) return;
    this.events.onState("stale", "nothing heard for two heartbeats");
    if (quiet > 4 * HEARTBEAT_MS) this.giveUp();
  }

  /** A connection that leads nowhere may take minutes to end by itself. */
  private giveUp(): void {
    const socket = this.socket;
    this.ended(4000, "");
    socket?.close(4000);
  }

  private ended(code: number, reason: string): void {
    clearInterval(this.watch);
    this.socket = null;
    if (this.closed) return;
    if (OVER.has(code)) {
      this.events.onState("refused", reason);
      return;
    }
    this.events.onState("offline", reason);
    const [least, most] = BACKOFF_MS;
    const wait = Math.min(most, least * 2 ** this.tries) * (0.5 + this.random() / 2);
    this.tries += 1;
    this.timer = setTimeout(() => this.open(), wait);
  }
}
