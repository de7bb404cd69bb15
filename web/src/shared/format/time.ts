/** Instants in UTC with "UTC" written, or in the zone of this machine with its name; one switch turns all of them. */

export type Zone = "utc" | "local";

type Parts = { date: string; time: string; name: string };

function partsOf(at: Date, zone: Zone): Parts {
  if (zone === "local") return localParts(at);
  const [date = "", time = ""] = at.toISOString().split("T");
  return { date, time: time.slice(0, 8), name: "UTC" };
}

// made when somebody first asks for it: that takes longer than all the rest of a page's figures
let format: Intl.DateTimeFormat | undefined;

function localParts(at: Date): Parts {
  format ??= new Intl.DateTimeFormat("en-CA", {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
    timeZoneName: "short",
  });
  const p = Object.fromEntries(format.formatToParts(at).map((part) => [part.type, part.value]));
  return {
    date: `${p.year}-${p.month}-${p.day}`,
    time: `${p.hour}:${p.minute}:${p.second}`,
    name: p.timeZoneName ?? "",
  };
}

export function instant(text: string | null | undefined, zone: Zone = "utc", seconds = false): string {
  if (!text) return "unknown";
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  const { date, time, name } = partsOf(at, zone);
  return `${date} ${seconds ? time : time.slice(0, 5)} ${name}`;
}

export function clock(text: string | number | Date, zone: Zone = "utc"): string {
  return partsOf(new Date(text), zone).time;
}

/** How the zone is called at that instant: what follows a time of day. */
export function zoneName(at: string | number | Date, zone: Zone = "utc"): string {
  return partsOf(new Date(at), zone).name;
}

export function day(text: string | null | undefined, zone: Zone = "utc"): string {
  return text ? instant(text, zone).slice(0, 10) : "unknown";
}

const UNITS: [number, number, string][] = [
  [2 * 365.25 * 86_400, 365.25 * 86_400, "years"],
  [2 * 86_400, 86_400, "days"],
  [7_200, 3_600, "h"],
  [120, 60, "min"],
];

/** A span of time in the unit that people would say it in. */
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "unknown";
  for (const [least, unit, name] of UNITS) {
    if (Math.abs(seconds) >= least) return `${(seconds / unit).toFixed(seconds / unit < 10 ? 1 : 0)} ${name}`;
  }
  return `${Math.round(seconds)} s`;
}

export function nsToIso(ns: string): string {
  return new Date(Number(BigInt(ns) / 1_000_000n)).toISOString();
}
