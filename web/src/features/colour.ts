/** Colours that are computed: shades of a scale, and the ink that can be read on them. */

type Rgb = readonly [number, number, number];

export function rgbOf(hex: string): Rgb {
  const at = (from: number) => Number.parseInt(hex.slice(from, from + 2), 16);
  return [at(1), at(3), at(5)];
}

/** `share` of one colour over another. */
export function mixed(over: string, under: string, share: number): string {
  const [a, b] = [rgbOf(over), rgbOf(under)];
  const part = Math.max(0, Math.min(1, share));
  return `#${a.map((one, n) => toHex(one * part + (b[n] ?? 0) * (1 - part))).join("")}`;
}

function toHex(value: number): string {
  return Math.round(value).toString(16).padStart(2, "0");
}

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = rgbOf(hex).map((one) => {
    const part = one / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Of two colours, 1 to 21 (WCAG 2.2, relative luminance). */
export function contrast(one: string, other: string): number {
  const [high = 0, low = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

/** Black or white, whichever reads better; one of them always reaches 4.5. */
export function inkOn(hex: string): string {
  return contrast("#ffffff", hex) >= contrast("#000000", hex) ? "#ffffff" : "#000000";
}

const ENDS = { low: "#b35806", high: "#2166ac" } as const;

/** A shade between orange (−1) and blue (+1) over the middle of a theme; what is beyond keeps the last shade. */
export function diverging(value: number, light: boolean): string {
  const share = Math.max(-1, Math.min(1, value));
  return mixed(share < 0 ? ENDS.low : ENDS.high, middle(light), Math.abs(share));
}

export function middle(light: boolean): string {
  return light ? "#e8ebef" : "#20262d";
}
