import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef } from "react";
import { TABLET, useMedia } from "./media";

type Props<T> = {
  label: string;
  rows: readonly T[];
  /** What is in a slot: it changes, the slot stays where it is. */
  row: (row: T) => ReactNode;
  /** Height of a slot on a desk, and where rows take two lines. */
  height: number;
  narrow: number;
  /** The last rows are in sight. */
  onEnd?: () => void;
  /** Somebody reads further down, or is at the top again. */
  onAway?: (away: boolean) => void;
};

/** Many rows in a window of their own: only those in sight are there, each in a slot of one height. */
export function Rows<T>({ label, rows, row, height, narrow, onEnd, onAway }: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const size = useMedia(TABLET) ? height : narrow;
  const slots = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => size,
    overscan: 10,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another height is another place for every slot
  useEffect(() => slots.measure(), [size]);
  const last = slots.getVirtualItems().at(-1)?.index ?? 0;
  useEffect(() => {
    if (rows.length > 0 && last >= rows.length - 1) onEnd?.();
  }, [last, rows.length, onEnd]);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form, a section a landmark
    <div
      ref={box}
      tabIndex={0}
      role="group"
      aria-label={label}
      className="-mx-4 overflow-y-auto px-4"
      style={{ height: Math.min(rows.length * size, 640), maxHeight: "65dvh" }}
      onScroll={(event) => onAway?.(event.currentTarget.scrollTop > size / 2)}
    >
      <ul aria-live="off" className="relative" style={{ height: slots.getTotalSize() }}>
        {slots.getVirtualItems().map((slot) => {
          const shown = rows[slot.index];
          return shown === undefined ? null : (
            <li
              key={slot.index}
              aria-setsize={rows.length}
              aria-posinset={slot.index + 1}
              className="absolute inset-x-0 overflow-hidden border-b border-line/60"
              style={{ top: slot.start, height: size }}
            >
              {row(shown)}
            </li>
          );
        })}
      </ul>
    </div>
  );
}
