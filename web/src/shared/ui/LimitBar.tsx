import { percent } from "../format/numbers";
import { cx } from "./cx";

type Props = {
  used: number | null;
  state: string;
  label: string;
  /** Shares from which the rule warns and acts, where it does before its limit. */
  warnAt?: number | null;
  actsAt?: number | null;
  /** A lockout of the rule is open. */
  holds?: boolean;
  /** What is no limit of risk is not near one. */
  calm?: boolean;
};

const SPAN = 1.25; // the bar ends at 125 %

/** How much of a limit is used: ticks where it warns, acts and binds; whatever is beyond goes on past it, hatched. */
export function LimitBar({ used, state, label, warnAt, actsAt, holds = false, calm = false }: Props) {
  const known = used !== null && state !== "unknown";
  if (!known && state !== "unknown") return <span className="sr-only">{label}: nothing to measure</span>;
  const share = Math.max(0, Math.min(used ?? 0, SPAN));
  const tone =
    holds || state === "unknown"
      ? "bg-safety"
      : !calm && (state === "bound" || (used ?? 0) >= (warnAt ?? 0.8))
        ? "bg-near"
        : "bg-accent";
  const at = (value: number) => `${(Math.min(value, SPAN) / SPAN) * 100}%`;
  return (
    <div
      role="img"
      aria-label={known ? `${label}: ${percent(used, 0)} of the limit used` : `${label}: not known`}
      className={cx(
        "relative h-2 w-full min-w-20 overflow-hidden rounded-mark bg-raised",
        !known && "outline outline-safety",
      )}
    >
      {known ? (
        <span className={cx("absolute inset-y-0 left-0", tone)} style={{ width: at(Math.min(share, 1)) }} />
      ) : (
        <span className="hatch absolute inset-0" />
      )}
      {known && share > 1 ? (
        <span
          className={cx("absolute inset-y-0 opacity-70", tone)}
          style={{ left: at(1), width: `${((share - 1) / SPAN) * 100}%` }}
        >
          <span className="hatch absolute inset-0" />
        </span>
      ) : null}
      {[warnAt, actsAt].map((one) =>
        typeof one === "number" && one > 0 && one < 1 ? (
          <span key={one} className="absolute inset-y-0 w-px bg-fg/45" style={{ left: at(one) }} />
        ) : null,
      )}
      <span className="absolute inset-y-0 w-0.5 bg-fg/80" style={{ left: at(1) }} />
    </div>
  );
}
