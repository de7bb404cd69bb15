/** `words` is what is looked through, in small letters. */
export type Ranked = { value: string; words: string };

const MOST = 50;

/** What fits a query: what is it first, what begins with it, then what was used lately, then what has its letters in their order. */
export function rank<T extends Ranked>(query: string, items: readonly T[], lately: readonly string[] = []): T[] {
  const said = query.trim().toLowerCase();
  const recent = new Map(lately.map((one, n) => [one, n]));
  const found: { one: T; class_: number; order: number }[] = [];
  let n = recent.size;
  for (const one of items) {
    const { words, value } = one;
    const within = words.includes(said);
    if (!within && !inOrder(said, words)) continue;
    const begins = within && (words.startsWith(said) || words.includes(` ${said}`) || words.includes(`/${said}`));
    const used = recent.get(value);
    const is = words === said || words.startsWith(`${said} `);
    found.push({ one, class_: is ? -1 : begins ? 0 : used !== undefined ? 1 : within ? 2 : 3, order: used ?? n++ });
  }
  found.sort((a, b) => a.class_ - b.class_ || a.order - b.order);
  return found.slice(0, MOST).map(({ one }) => one);
}

function inOrder(letters: string, text: string): boolean {
  let at = 0;
  for (const letter of letters) {
    at = text.indexOf(letter, at) + 1;
    if (at === 0) return false;
  }
  return true;
}
