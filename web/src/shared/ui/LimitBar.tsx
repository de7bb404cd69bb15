import { percent } from "../format/numbers";
import { cx } from "./cx";

type Props = {
  used: number | null;
  state: string;
  label: string;
  /** What is no limit of risk is not near one. */
  calm?: boolean;
};

/** How much of a limit is used: a tick where it binds, and whatever is beyond goes on past it, hatched. */
export function LimitBar({ used, state, label, calm = false }: Props) {
  const silent = state === "off" || state === "not_evaluable" || used === null;
  if (silent && (state === "pass" || state === "off"))
    return <span className="sr-only">{label}: nothing to measure</span>;
  const span = 1.25; // the bar ends at 125 %
  const share = Math.max(0, Math.min(used ?? 0, span));
  const tone =
    state === "breach" || state === "missing" ? "bg-safety" : !calm && (used ?? 0) >= 0.8 ? "bg-near" : "bg-accent";
  return (
    <div
      role="img"
      aria-label={silent ? `${label}: not known` : `${label}: ${percent(used, 0)} of the limit used`}
      className="relative h-2 w-full min-w-20 overflow-hidden rounded-mark bg-raised"
    >
      {silent ? <span className="hatch absolute inset-0" /> : null}
      {silent ? null : (
        <span
          className={cx("absolute inset-y-0 left-0", tone)}
          style={{ width: `${(Math.min(share, 1) / span) * 100}%` }}
        />
      )}
      {!silent && share > 1 ? (
        <span
          className={cx("absolute inset-y-0 opacity-70", tone)}
          style={{ left: `${100 / span}%`, width: `${((share - 1) / span) * 100}%` }}
        >
          <span className="hatch absolute inset-0" />
        </span>
      ) : null}
      <span className="absolute inset-y-0 w-px bg-fg/70" style={{ left: `${100 / span}%` }} />
    </div>
  );
}
