import { span } from "./time";

/** Figures as people read them: a real minus sign, fixed decimals per kind, what is not known said so. */

export const UNKNOWN = "unknown";
const MINUS = "\u2212";

/** How thousands and decimals are set apart, by an example. */
export type Grouping = "1,234.5" | "1.234,5" | "1 234.5" | "1 234,5";
let grouping: Grouping = "1,234.5";

export function setGrouping(to: Grouping): void {
  grouping = to;
}

/** A figure of the plain form, 1,234.5, as it is read where somebody is; a space in it never breaks. */
function grouped(text: string): string {
  if (grouping === "1,234.5") return text;
  const [, thousands = ",", decimals = "."] = /^1(.)234(.)5$/.exec(grouping) ?? [];
  return text.replace(/[,.]/g, (one) => (one === "," ? thousands.replace(" ", "\u00a0") : decimals));
}

export type Figure = number | string | null | undefined;

export function numberOf(value: Figure): number | null {
  if (value === null || value === undefined || value === "") return null;
  const found = typeof value === "number" ? value : Number(value);
  return Number.isNaN(found) ? null : found;
}

/**
 * Rounded to so many decimals, half away from nothing, thousands set apart: what `Intl.NumberFormat("en-US")` writes,
 * whose first use takes longer than all figures of a page. What is beyond any figure here is left to it.
 */
function fixed(value: number, decimals: number): string {
  const shown = Math.max(0, decimals);
  const [digits, exponent = "0"] = String(value).split("e");
  const whole = Math.round(Number(`${digits}e${Number(exponent) + decimals}`)); // in units of the last decimal
  if (whole > 1e13 || shown > 20)
    return new Intl.NumberFormat("en-US", { minimumFractionDigits: shown, maximumFractionDigits: shown }).format(value);
  const all = (decimals < 0 ? whole + "0".repeat(whole === 0 ? 0 : -decimals) : String(whole)).padStart(shown + 1, "0");
  const point = all.length - shown;
  const before = all.slice(0, point).replace(/\B(?=(?:\d{3})+$)/g, ",");
  return shown === 0 ? before : `${before}.${all.slice(point)}`;
}

/** With so many digits that mean something at most. */
function significant(value: number, digits: number): string {
  const text = fixed(value, value === 0 ? 0 : digits - 1 - Number(value.toExponential().split("e")[1]));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function plain(value: number, decimals: number): string {
  const text = fixed(Math.abs(value), decimals);
  const zero = Number(text.replaceAll(",", "")) === 0;
  return value < 0 && !zero ? MINUS + grouped(text) : grouped(text);
}

export function money(value: Figure, decimals = 0): string {
  const found = numberOf(value);
  return found === null ? UNKNOWN : Number.isFinite(found) ? plain(found, decimals) : "unlimited";
}

/** A fraction as percent. */
export function percent(value: Figure, decimals = 2): string {
  const found = numberOf(value);
  return found === null ? UNKNOWN : Number.isFinite(found) ? `${plain(found * 100, decimals)} %` : "unlimited";
}

/** Which way a figure points as it is shown: what is rounded to nothing points nowhere. */
export function signOf(text: string): -1 | 0 | 1 {
  if (text.startsWith(MINUS)) return -1;
  return text === UNKNOWN || /^0([.,]0*)?( %)?$/.test(text) ? 0 : 1;
}

export function signed(text: string): string {
  return signOf(text) > 0 ? `+${text}` : text;
}

export function plainNumber(value: Figure, digits = 4): string {
  const found = numberOf(value);
  if (found === null) return typeof value === "string" && value ? value : UNKNOWN;
  if (!Number.isFinite(found)) return "unlimited";
  const text = significant(Math.abs(found), digits);
  return found < 0 && text !== "0" ? MINUS + grouped(text) : grouped(text);
}

const SHARES = new Set(["share", "equity", "annual", "confidence", "move", "fraction"]);

/** A value of a rule in the unit of the rule. */
export function ruleValue(value: Figure, unit: string): string {
  if (value === "unlimited") return "unlimited";
  if (SHARES.has(unit)) return percent(value);
  if (unit === "money") return money(value);
  if (unit === "seconds" && Math.abs(numberOf(value) ?? 0) >= 7_200) return span(numberOf(value)).replace(".0 ", " ");
  if (unit === "bp") return `${plainNumber(value)} bp`;
  const text = plainNumber(value);
  if (unit === "seconds" && text !== UNKNOWN) return `${text} s`;
  return text === UNKNOWN || unit === "condition" || unit === "ratio"
    ? text
    : `${text} ${text === "1" ? single(unit) : unit}`;
}

const single = (unit: string): string => unit.replace(/s$/, "");

/** A value beside its limit; a unit that both have is said once. */
export function ruleValues(value: Figure, limit: Figure, unit: string): [string, string] {
  const [left, right] = [ruleValue(value, unit), ruleValue(limit, unit)];
  const endings = unit === "seconds" ? [" s"] : [` ${unit}`, ` ${single(unit)}`];
  const [own, other] = [left, right].map((text) => endings.find((one) => text.endsWith(one)));
  return own && other ? [left.slice(0, -own.length), right] : [left, right];
}
