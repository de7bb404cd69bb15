/** Percent as it was typed, as a fraction in exact decimals; null where it is none. */
export function fraction(text: string): string | null {
  const found = /^\s*([-\u2212]?)(\d{1,3})(?:[.,](\d{1,7}))?\s*%?\s*$/.exec(text);
  if (found === null) return null;
  const [, sign, whole = "", rest = ""] = found;
  const digits = whole.padStart(3, "0");
  const plain = `${digits.slice(0, -2)}.${digits.slice(-2)}${rest}`.replace(/^0+(?=\d)/, "").replace(/\.?0+$/, "");
  return `${sign && plain !== "0" && plain !== "" ? "-" : ""}${plain || "0"}`;
}
