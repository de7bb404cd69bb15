import type { ReactNode } from "react";
import { money, percent, signed, signOf, UNKNOWN, type Figure as Value } from "../format/numbers";
import { instant, span, type Zone } from "../format/time";
import { usePrefs } from "../prefs";
import { cx } from "./cx";

/** An amount of money; hidden where somebody looks over a shoulder, percentages stay. */
export function Money({ value, currency, sign }: { value: Value; currency?: string | null; sign?: boolean }) {
  const hidden = usePrefs().amounts === "hidden";
  const text = hidden ? "•••" : money(value);
  return (
    <span className={cx("whitespace-nowrap", sign && !hidden && toneOf(text))}>
      {sign && !hidden ? `${glyph(text)}${signed(text)}` : text}
      {currency && text !== UNKNOWN ? <span className="text-muted"> {currency}</span> : null}
    </span>
  );
}

export function Percent({ value, decimals = 2, sign }: { value: Value; decimals?: number; sign?: boolean }) {
  const text = percent(value, decimals);
  return (
    <span className={cx("whitespace-nowrap", sign && toneOf(text))}>
      {sign ? `${glyph(text)}${signed(text)}` : text}
    </span>
  );
}

const GLYPHS = { "-1": "▼ ", "0": "", "1": "▲ " };
const TONES = { "-1": "text-loss", "0": "", "1": "text-gain" };
const glyph = (text: string): string => GLYPHS[signOf(text)];
const toneOf = (text: string): string => TONES[signOf(text)];

/** An instant in the zone that is chosen; the other one on hover. */
export function Time({ at, seconds }: { at: string | null | undefined; seconds?: boolean }) {
  const { zone } = usePrefs();
  const other: Zone = zone === "utc" ? "local" : "utc";
  return (
    <time
      dateTime={at ?? undefined}
      className="whitespace-nowrap"
      onPointerEnter={(event) => {
        event.currentTarget.title = instant(at, other, true);
      }}
    >
      {instant(at, zone, seconds)}
    </time>
  );
}

/** A time that goes on, inside of what is read out when it comes: each second of it is not. */
export function Ticking({ children }: { children: ReactNode }) {
  return (
    <span role="timer" className="whitespace-nowrap">
      {children}
    </span>
  );
}

/** How long ago; beyond two days, when. */
export function Age({ at, seconds }: { at: string | null | undefined; seconds: number | null | undefined }) {
  if (seconds === null || seconds === undefined) return "at an unknown time";
  if (seconds < 0) return "just now"; // made while the question was answered
  if (seconds <= 2 * 86_400) return <span className="whitespace-nowrap">{span(seconds)} ago</span>;
  return (
    <>
      at <Time at={at} />
    </>
  );
}
