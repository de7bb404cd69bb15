/** What a history of regimes says, counted: bands of one label, moves from state to state, how long a state lasts. */

export type Point = {
  at: string;
  close: number | null;
  label: string | null;
  confidence: number | null;
  risk_state: number | null;
};
export type Band = { label: string; from: number; to: number; confidence: number };

/** Bars in a row with the same label and the same step of confidence; `to` is the bar after the last. */
export function bandsOf(points: readonly Point[], step: (confidence: number) => number): Band[] {
  const bands: Band[] = [];
  points.forEach((one, n) => {
    const label = one.label ?? "unknown";
    const confidence = one.confidence ?? 0;
    const last = bands.at(-1);
    if (last?.label === label && step(last.confidence) === step(confidence)) last.to = n + 1;
    else bands.push({ label, from: n, to: n + 1, confidence });
  });
  return bands;
}

/** Bands of one label over all steps of confidence: where a letter stands. */
export function labelBands(points: readonly Point[]): Band[] {
  return bandsOf(points, () => 0);
}

export type Moves = {
  /** How often a bar in the state of the row was followed by one in the state of the column. */
  counts: readonly (readonly number[])[];
  /** Bars that a stay lasted on average; stays that the window cuts off count as far as it shows them. */
  dwell: readonly (number | null)[];
  stays: readonly number[];
};

/** Moves between states 0 … `states` − 1 over the bars shown; a bar without a state breaks the chain. */
export function movesOf(points: readonly Point[], states: number): Moves {
  const counts = Array.from({ length: states }, () => new Array<number>(states).fill(0));
  const bars = new Array<number>(states).fill(0);
  const stays = new Array<number>(states).fill(0);
  let before: number | null = null;
  for (const { risk_state: now } of points) {
    if (now !== null && now >= 0 && now < states) {
      bars[now] = (bars[now] ?? 0) + 1;
      if (before !== now) stays[now] = (stays[now] ?? 0) + 1;
      const row = before === null ? undefined : counts[before];
      if (row) row[now] = (row[now] ?? 0) + 1;
      before = now;
    } else before = null;
  }
  return { counts, dwell: bars.map((n, i) => (stays[i] ? n / (stays[i] ?? 1) : null)), stays };
}

/** Bars that a state is expected to last from its probability to stay; null where that is not known or for ever. */
export function expectedDwell(stay: number | null | undefined): number | null {
  return stay === null || stay === undefined || stay >= 1 ? null : 1 / (1 - stay);
}
