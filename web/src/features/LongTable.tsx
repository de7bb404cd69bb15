import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef } from "react";
import { cx } from "@/shared/ui/cx";
import { type Column, Head, Table } from "@/shared/ui/Table";

type Props<T> = {
  label: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
};

const PLAIN = 60;
const ROW = 32;

/** A table of many rows: only those in view are in the page; few rows are a plain table. */
export function LongTable<T>(props: Props<T>) {
  return props.rows.length <= PLAIN ? <Table {...props} dense /> : <Windowed {...props} />;
}

function Windowed<T>({ label, columns, rows, keyOf }: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const window = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 12,
  });
  const shown = window.getVirtualItems();
  const [above, below] = [shown[0]?.start ?? 0, window.getTotalSize() - (shown.at(-1)?.end ?? 0)];
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form, a section a landmark
    <div ref={box} className="-mx-4 max-h-[28rem] overflow-auto px-4" tabIndex={0} role="group" aria-label={label}>
      <table className="w-full border-collapse" aria-rowcount={rows.length + 1}>
        <caption className="sr-only">{label}</caption>
        <Head columns={columns} sticky />
        <tbody>
          {above > 0 ? <Space height={above} columns={columns.length} /> : null}
          {shown.map(({ index }) => {
            const row = rows[index] as T;
            return (
              <tr key={keyOf(row)} aria-rowindex={index + 2} className="h-8 border-b border-line/60 hover:bg-raised/50">
                {columns.map((one) => (
                  <td
                    key={one.name}
                    className={cx(
                      "pr-4 whitespace-nowrap last:pr-0",
                      one.right && "text-right",
                      one.wide && "max-desk:hidden",
                    )}
                  >
                    {one.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
          {below > 0 ? <Space height={below} columns={columns.length} /> : null}
        </tbody>
      </table>
    </div>
  );
}

function Space({ height, columns }: { height: number; columns: number }) {
  return (
    <tr>
      <td colSpan={columns} style={{ height, padding: 0 }} />
    </tr>
  );
}
