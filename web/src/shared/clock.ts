import { useEffect, useState } from "react";

/** What time it is for the server: figures that expire are its, and a device's own clock may be wrong. */
const NEAR_MS = 5_000; // what the network and whole seconds explain
let ahead = 0;

/** Taken from the date of an answer, asked for at `asked` and come at `came` by this device's clock. */
export function setClock(date: string | null, asked: number, came: number): void {
  const server = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(server) || came - asked > NEAR_MS) return;
  const off = (asked + came) / 2 - (server + 500);
  ahead = Math.abs(off) < NEAR_MS ? 0 : off;
}

export function serverNow(): number {
  return Date.now() - ahead;
}

/** By how much this device's clock is ahead of the server's, in milliseconds; behind it is negative, near it is 0. */
export function clockAhead(): number {
  return ahead;
}

/** What a clock says, each second: `serverNow` for what the server has dated, `Date.now` for what this device has. */
export function useNow(read: () => number, everyMs = 1_000): number {
  const [now, setNow] = useState(read);
  useEffect(() => {
    const timer = setInterval(() => setNow(read()), everyMs);
    return () => clearInterval(timer);
  }, [read, everyMs]);
  return now;
}
